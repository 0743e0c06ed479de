// Known values. Gradients, padding and the rest are in contract_test.cpp.
#include "espalier/layers/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "support/numbers.h"

namespace espalier {
namespace {

using testing::epsilon;

// The first feature of f(x) in every lane, for 16 values of x.
std::vector<Real> applied(const Module& module, const std::vector<Real>& values) {
  Tile tile;
  tile.input = Tensor({3}, {16, 16});
  std::copy(values.begin(), values.end(), tile.input.row(1));
  Tape tape(/*poison=*/true);
  const Var y = module.forward(tape.begin(tile, {}));
  return {y.value().row(1), y.value().row(1) + 16};
}

const std::vector<Real> sixteen{-100, -20, -5, -2, -1, -0.5, -0.25, 0, 0.125, 0.25, 0.5, 1, 2, 5, 20, 100};

void expect_formula(const Module& module, const std::function<double(double)>& formula) {
  const std::vector<Real> y = applied(module, sixteen);
  for (std::size_t lane = 0; lane < 16; ++lane) {
    const double expected = formula(static_cast<double>(sixteen[lane]));
    EXPECT_NEAR(y[lane], expected, 4 * static_cast<double>(epsilon) * std::max(1.0, std::abs(expected)))
        << module.name() << "(" << sixteen[lane] << ")";
  }
}

TEST(Activations, FollowTheirFormulas) {
  expect_formula(Activate(Activation::relu), [](double x) { return x > 0 ? x : 0; });
  expect_formula(Activate(Activation::tanh), [](double x) { return std::tanh(x); });
  expect_formula(Activate(Activation::sigmoid), [](double x) { return 1 / (1 + std::exp(-x)); });
  expect_formula(Gelu(), [](double x) { return x / 2 * std::erfc(-x / std::numbers::sqrt2); });
}

TEST(Activations, ReluPassesNoGradientAtZero) {
  Tile tile;
  tile.input = Tensor({1}, {16, 16});
  Tape tape;
  const Var x = tape.begin(tile, {.input_gradient = true});
  tape.backward(activate(x, Activation::relu), 1);
  for (Index lane = 0; lane < 16; ++lane) EXPECT_EQ(tape.node(0).gradient.row(0)[lane], 0);
}

TEST(Activations, HaveNames) {
  EXPECT_EQ(Activate(Activation::relu).name(), "relu");
  EXPECT_EQ(Activate(Activation::tanh).name(), "tanh");
  EXPECT_EQ(Activate(Activation::sigmoid).name(), "sigmoid");
  EXPECT_EQ(Gelu().name(), "gelu");
}

}  // namespace
}  // namespace espalier
