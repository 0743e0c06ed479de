// One module after the other.
#pragma once

#include "espalier/layers/module.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

class Sequential final : public Module {
 public:
  explicit Sequential(std::string name = "model") : name_(std::move(name)) {}
  // model.add<Linear>(LinearOptions{...}, seed).add<Dropout>("drop1", 0.5)
  template <typename M, typename... Args>
  Sequential& add(Args&&... args) {
    return add(std::make_unique<M>(std::forward<Args>(args)...));
  }
  Sequential& add(ModulePtr module) {
    if (!modules_.empty()) modules_.back()->set_output_halo(module->input_halo());
    modules_.push_back(std::move(module));
    return *this;
  }

  Var forward(const Var& x) const override {
    Var y = x;
    for (const ModulePtr& module : modules_) y = module->forward(y);
    return y;
  }
  Shape output_shape(const Shape& input) const override {
    Shape shape = input;
    for (const ModulePtr& module : modules_) shape = module->output_shape(shape);
    return shape;
  }
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override {
    OnnxValue y = x;
    for (const ModulePtr& module : modules_) y = module->to_onnx(graph, y);
    return y;
  }
  void visit_parameters(const std::function<void(Parameter&)>& visit) override {
    for (const ModulePtr& module : modules_) module->visit_parameters(visit);
  }
  void visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) override {
    for (const ModulePtr& module : modules_) module->visit_state(visit);
  }
  void merge_state(std::span<Tape* const> tapes, std::optional<double> weight) override {
    for (const ModulePtr& module : modules_) module->merge_state(tapes, weight);
  }
  std::string name() const override { return name_; }
  Halo input_halo() const override { return modules_.empty() ? Halo{} : modules_.front()->input_halo(); }
  void set_output_halo(Halo halo) override {
    if (!modules_.empty()) modules_.back()->set_output_halo(halo);
  }

 private:
  std::string name_;
  std::vector<ModulePtr> modules_;
};

}  // namespace espalier
