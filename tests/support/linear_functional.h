// A loss that lets every output speak: loss[lane] = sum over outputs of c[output, lane] y[output, lane], with c drawn
// at random and different for every lane. Its gradient is a random combination of all rows of the Jacobian.
#pragma once

#include "espalier/core/random.h"
#include "espalier/core/tape.h"

namespace espalier::testing {

// A sample's numbers depend on its place in the batch, not on the tile or the lane it sits in.
inline Real functional_weight(Index sample, Index output) {
  const Random random(97, "linear-functional", 0, static_cast<std::uint64_t>(sample));
  return static_cast<Real>(random.normal(static_cast<std::uint64_t>(output)));
}

inline Var linear_functional(const Var& y) {
  Tape& tape = y.tape();
  Tensor c = tape.make(y.shape()), loss = tape.make({1});
  for (Index o = 0; o < c.features(); ++o)
    for (Index lane = 0; lane < c.lanes(); ++lane) c.row(o)[lane] = functional_weight(tape.first_sample() + lane, o);
  loss.fill(0);
  for (Index o = 0; o < c.features(); ++o)
    for (Index lane = 0; lane < loss.valid(); ++lane) loss.row(0)[lane] += c.row(o)[lane] * y.value().row(o)[lane];
  return tape.record({.operation = "linear_functional", .inputs = {y}}, loss, [y, c](Tape& t, Tensor& dL) {
    // dy = c dL
    Tensor dy = t.make(y.shape());
    for (Index o = 0; o < c.features(); ++o)
      for (Index lane = 0; lane < c.lanes(); ++lane) dy.row(o)[lane] = c.row(o)[lane] * dL.row(0)[lane];
    t.give_gradient(y, std::move(dy));
  });
}

// a + b, each of which gets a gradient of its own.
inline Var sum(const Var& a, const Var& b) {
  Tape& tape = a.tape();
  Tensor y = tape.make(a.shape());
  for (Index i = 0; i < y.features(); ++i)
    for (Index lane = 0; lane < y.lanes(); ++lane) y.row(i)[lane] = a.value().row(i)[lane] + b.value().row(i)[lane];
  return tape.record({.operation = "sum", .inputs = {a, b}}, y, [a, b](Tape& t, Tensor& dY) {
    Tensor copy = t.make(dY.shape());
    for (Index i = 0; i < dY.features(); ++i) std::copy_n(dY.row(i), dY.lanes(), copy.row(i));
    t.give_gradient(a, std::move(copy));
    t.give_gradient(b, std::move(dY));
  });
}

}  // namespace espalier::testing
