// An average of several networks of one kind that were trained apart: y = (member_1(x) + ... + member_n(x)) / n.
//
// What members get wrong each in its own way becomes less; what they all get wrong stays. The average of n sparse
// networks costs n of them, which may still be less than one dense one.
#pragma once

#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

// Of one average.
inline constexpr Index most_members_of_average = 100;

class Average final : public Module {
 public:
  // Names of parameters and state begin with the member's number: "2.fc1.weight". Throws UsageError without members.
  Average(std::string name, std::vector<ModulePtr> members);
  Var forward(const Var& x) const override;
  // Throws UsageError if the members' outputs are of different shapes.
  Shape output_shape(const Shape& input) const override;
  void visit_parameters(const std::function<void(Parameter&)>& visit) override;
  OnnxValue to_onnx(OnnxGraph& graph, const OnnxValue& x) const override;
  void visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) override;
  void merge_state(std::span<Tape* const> tapes, std::optional<double> weight) override;
  std::string name() const override { return name_; }
  Halo input_halo() const override { return members_.front()->input_halo(); }

  const std::vector<ModulePtr>& members() const { return members_; }

 private:
  std::string name_;
  std::vector<ModulePtr> members_;
};

}  // namespace espalier
