#include "espalier/layers/sequence.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

void require_sequence(const Shape& shape, const char* operation, const std::string& layer, Index features) {
  require(shape.rank() == 2 && (features == 0 || shape[1] == features),
          "[{}] {}: expected a sequence [steps, {}], got {}", operation, layer,
          features == 0 ? std::string("features") : std::to_string(features), shape.text());
}

Var last_step(const Var& x) {
  Tape& tape = x.tape();
  const Index F = x.shape()[1], before = x.value().features() - F;
  return tape.record({.operation = "last_step", .inputs = {x}}, x.value().slice(before, {F}),
                     [x, F, before](Tape& t, Tensor& dY) {
                       // dX = dY at the last step, 0 before
                       const auto dX = t.gradient_of(x);
                       if (!dX) return;
                       if (dX->write == Write::overwrite && before > 0) dX->tensor->slice(0, {before}).fill(0);
                       Tensor last = dX->tensor->slice(before, {F});
                       put(dY, last, dX->write);
                     });
}

Var mean_over_time(const Var& x) {
  Tape& tape = x.tape();
  const Index T = x.shape()[0], F = x.shape()[1];
  const Real share = Real{1} / static_cast<Real>(T);
  Tensor y = tape.make({F});
  const Index count = F * y.stride();
  // y = sum over t of x_t / T
  y.fill(0);
  for (Index t = 0; t < T; ++t) kernels::add(x.value().row(t * F), y.data(), count);
  for (Index i = 0; i < count; ++i) y.data()[i] *= share;
  return tape.record({.operation = "mean_over_time", .inputs = {x}}, y, [x, T, F, share, count](Tape& t, Tensor& dY) {
    // dX_t = dY / T
    const auto dX = t.gradient_of(x);
    if (!dX) return;
    for (Index i = 0; i < count; ++i) dY.data()[i] *= share;
    for (Index s = 0; s < T; ++s) {
      Tensor dX_s = dX->tensor->slice(s * F, {F});
      put(dY, dX_s, dX->write);
    }
  });
}

Shape LastStep::output_shape(const Shape& input) const {
  require_sequence(input, "last_step", name_);
  return {input[1]};
}

Shape MeanOverTime::output_shape(const Shape& input) const {
  require_sequence(input, "mean_over_time", name_);
  return {input[1]};
}

OnnxValue LastStep::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  const std::string last = graph.whole_numbers(name_ + ".last", {}, {x.shape[0] - 1});
  return graph.add("Gather", name_, {x.name, last}, {x.shape[1]}, {{"axis", 1}});
}

OnnxValue MeanOverTime::to_onnx(OnnxGraph& graph, const OnnxValue& x) const {
  return graph.add("ReduceMean", name_, {x.name}, {x.shape[1]},
                   {{"axes", std::vector<std::int64_t>{1}}, {"keepdims", 0}});
}

}  // namespace espalier
