#include "espalier/layers/dropout.h"

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/core/random.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

Var dropout(const Var& x, Real p, std::string_view purpose, Halo halo) {
  Tape& tape = x.tape();
  if (!tape.training() || p == 0) return x;
  Tensor y = tape.make(x.shape(), halo), kept = tape.make(x.shape());
  // kept[i, lane] = 0 or 1/(1-p);  y = kept x
  const Real scale = 1 / (1 - p);
  for (Index lane = 0; lane < y.lanes(); ++lane) {
    const Random random(tape.options().seed, purpose, tape.options().step,
                        static_cast<std::uint64_t>(tape.first_sample() + lane));
    for (Index i = 0; i < y.features(); ++i)
      kept.row(i)[lane] = random.uniform(static_cast<std::uint64_t>(i)) < static_cast<double>(p) ? Real{0} : scale;
  }
  put(x.value(), y, Write::overwrite);
  for (Index i = 0; i < y.features(); i += y.line()) kernels::multiply(kept.row(i), y.row(i), y.line() * y.stride());
  return tape.record({.operation = "dropout", .inputs = {x}}, y, [x, kept](Tape& t, Tensor& dY) {
    // dX = kept dY, in place
    kernels::multiply(kept.data(), dY.data(), dY.features() * dY.stride());
    t.give_gradient(x, std::move(dY));
  });
}

Dropout::Dropout(std::string name, Real p) : name_(std::move(name)), purpose_("dropout/" + name_), p_(p) {
  require(p >= 0 && p < 1, "[dropout] {}: expected a probability in [0, 1), got {}", name_, p);
}

OnnxValue Dropout::to_onnx(OnnxGraph&, const OnnxValue& x) const {
  return x;
}

}  // namespace espalier
