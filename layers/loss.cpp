#include "layers/loss.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace espalier {

Var softmax_cross_entropy(const Var& logits, const Tile& tile) {
  Tape& tape = logits.tape();
  const Tensor& z = logits.value();
  const Index classes = z.features(), valid = z.valid();
  require(static_cast<Index>(tile.label.size()) >= valid, "[softmax_cross_entropy] expected {} labels, got {}", valid,
          tile.label.size());
  Tensor p = tape.make(z.shape()), loss = tape.make({1});
  for (Index lane = 0; lane < valid; ++lane) {
    const Index label = tile.label[static_cast<std::size_t>(lane)];
    require(label >= 0 && label < classes, "[softmax_cross_entropy] expected labels below {}, got {}", classes, label);
    Real highest = z.row(0)[lane], sum = 0;  // subtracted, so that exp cannot overflow
    for (Index c = 1; c < classes; ++c) highest = std::max(highest, z.row(c)[lane]);
    for (Index c = 0; c < classes; ++c) sum += p.row(c)[lane] = std::exp(z.row(c)[lane] - highest);
    for (Index c = 0; c < classes; ++c) p.row(c)[lane] /= sum;
    loss.row(0)[lane] = std::log(sum) + highest - z.row(label)[lane];
  }
  std::fill(loss.row(0) + valid, loss.row(0) + z.lanes(), Real{0});
  return tape.record({.operation = "softmax_cross_entropy", .inputs = {logits}}, loss,
                     [logits, p, &tile, classes, valid](Tape& t, Tensor& dL) {
                       // dz = (p - onehot) dL
                       const auto dz = t.gradient_of(logits);
                       if (!dz) return;
                       for (Index c = 0; c < classes; ++c) {
                         Real* row = dz->tensor->row(c);
                         for (Index lane = 0; lane < p.lanes(); ++lane) {
                           const bool is_label = lane < valid && tile.label[static_cast<std::size_t>(lane)] == c;
                           const Real g = lane < valid ? (p.row(c)[lane] - (is_label ? 1 : 0)) * dL.row(0)[lane] : 0;
                           row[lane] = dz->write == Write::add ? row[lane] + g : g;
                         }
                       }
                     });
}

Var mean_squared_error(const Var& y, const Tile& tile) {
  Tape& tape = y.tape();
  const Index outputs = y.value().features(), valid = y.value().valid();
  require(tile.target && tile.target.features() == outputs,
          "[mean_squared_error] expected {} targets per sample, got {}", outputs,
          tile.target ? tile.target.features() : 0);
  require(tile.target.lanes() >= valid, "[mean_squared_error] expected targets for {} samples, got {} lanes", valid,
          tile.target.lanes());
  Tensor loss = tape.make({1});
  loss.fill(0);
  for (Index o = 0; o < outputs; ++o)
    for (Index lane = 0; lane < valid; ++lane) {
      const Real e = y.value().row(o)[lane] - tile.target.row(o)[lane];
      loss.row(0)[lane] += e * e / static_cast<Real>(outputs);
    }
  return tape.record({.operation = "mean_squared_error", .inputs = {y}}, loss,
                     [y, &tile, outputs, valid](Tape& t, Tensor& dL) {
                       // dy = 2 (y - target) / outputs dL
                       const auto dy = t.gradient_of(y);
                       if (!dy) return;
                       for (Index o = 0; o < outputs; ++o) {
                         Real* row = dy->tensor->row(o);
                         for (Index lane = 0; lane < y.value().lanes(); ++lane) {
                           const Real g = lane < valid ? 2 * (y.value().row(o)[lane] - tile.target.row(o)[lane]) /
                                                             static_cast<Real>(outputs) * dL.row(0)[lane]
                                                       : 0;
                           row[lane] = dy->write == Write::add ? row[lane] + g : g;
                         }
                       }
                     });
}

}  // namespace espalier
