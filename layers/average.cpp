#include "espalier/layers/average.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/layers/onnx_graph.h"
#include "espalier/layers/residual.h"

namespace espalier {
namespace {

std::string numbered(std::size_t member, const std::string& name) {
  return fmt::format("{}.{}", member + 1, name);
}

// y = x by
Var scaled(const Var& x, Real by) {
  const auto multiply = [by](Tensor& y) {
    for (Index i = 0; i < y.features(); ++i)
      for (Index lane = 0; lane < y.lanes(); ++lane) y.row(i)[lane] *= by;
  };
  Tensor y = x.tape().make(x.shape());
  put(x.value(), y, Write::overwrite);
  multiply(y);
  return x.tape().record({.operation = "scale", .inputs = {x}}, y, [x, multiply](Tape& t, Tensor& dY) {
    // dX = dY by
    multiply(dY);
    t.give_gradient(x, std::move(dY));
  });
}

}  // namespace

Average::Average(std::string name, std::vector<ModulePtr> members)
    : name_(std::move(name)), members_(std::move(members)) {
  require(!members_.empty() && std::ranges::all_of(members_, [](const ModulePtr& member) { return member != nullptr; }),
          "[average] {}: expected at least one member, got none", name_);
  for (std::size_t m = 0; m < members_.size(); ++m)
    for (Parameter* W : parameters_of(*members_[m])) W->rename(numbered(m, W->name()));
}

Var Average::forward(const Var& x) const {
  Var sum = members_.front()->forward(x);
  for (std::size_t m = 1; m < members_.size(); ++m) sum = add(sum, members_[m]->forward(x));
  return scaled(sum, Real{1} / static_cast<Real>(members_.size()));
}

Shape Average::output_shape(const Shape& input) const {
  const Shape shape = members_.front()->output_shape(input);
  for (const ModulePtr& member : members_)
    require(member->output_shape(input) == shape,
            "[average] {}: expected members that give one shape for {}, got {} and {}", name_, input.text(),
            shape.text(), member->output_shape(input).text());
  return shape;
}

OnnxValue Average::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  std::vector<std::string> outputs;
  Shape shape;
  for (std::size_t m = 0; m < members_.size(); ++m) {
    const OnnxValue y = graph.with_prefix(numbered(m, ""), [&] { return members_[m]->to_onnx(graph, x); });
    outputs.push_back(y.name);
    shape = y.shape;
  }
  return graph.add("Mean", name_, std::move(outputs), shape);
}

void Average::visit_parameters(const std::function<void(Parameter&)>& visit) {
  for (const ModulePtr& member : members_) member->visit_parameters(visit);
}

void Average::visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) {
  for (std::size_t m = 0; m < members_.size(); ++m)
    members_[m]->visit_state(
        [&](const std::string& name, std::vector<Real>& numbers) { visit(numbered(m, name), numbers); });
}

void Average::merge_state(std::span<Tape* const> tapes, std::optional<double> weight) {
  for (const ModulePtr& member : members_) member->merge_state(tapes, weight);
}

}  // namespace espalier
