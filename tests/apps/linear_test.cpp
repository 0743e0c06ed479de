// The linear baseline is the best linear model, whatever a network's training would have made of it.
#include "espalier/experiment/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/experiment/interrupt.h"
#include "espalier/optim/metrics.h"

namespace espalier {
namespace {

// Rows of numbers, and what they should be mapped to: classes, or numbers.
struct Points final : Dataset {
  Index features = 1, of_classes = 0;
  std::vector<std::vector<Real>> x;
  std::vector<double> y;
  std::string name() const override { return "points"; }
  Index samples() const override { return static_cast<Index>(x.size()); }
  Shape shape() const override { return {features}; }
  Index classes() const override { return of_classes; }
  Index outputs() const override { return of_classes > 0 ? 0 : 1; }
  void read(Index i, std::span<Real> out) const override { std::ranges::copy(x[i], out.begin()); }
  std::int32_t label(Index i) const override { return static_cast<std::int32_t>(y[i]); }
  void target(Index i, std::span<Real> out) const override { out[0] = static_cast<Real>(y[i]); }
};

// Targets are 3 a - 2 b + 1, and a feature of much larger numbers does not matter.
Points plane(Index rows) {
  Points data;
  data.features = 3;
  const Random draw(1, "plane");
  for (Index i = 0; i < rows; ++i) {
    const auto at = [&](std::uint64_t k) { return draw.uniform(3 * static_cast<std::uint64_t>(i) + k); };
    const double a = at(0), b = at(1);
    data.x.push_back({static_cast<Real>(a), static_cast<Real>(b), static_cast<Real>(1e4 * at(2))});
    data.y.push_back(3 * a - 2 * b + 1);
  }
  return data;
}

TEST(Linear, SolvesAPlane) {
  const Points data = plane(500);
  const LinearFit fit = fit_linear(data, data);
  EXPECT_NEAR(fit.weights[0], 3, 1e-3);
  EXPECT_NEAR(fit.weights[1], -2, 1e-3);
  EXPECT_NEAR(fit.weights[2], 0, 1e-6);
  EXPECT_NEAR(fit.weights[3], 1, 1e-2);
  EXPECT_LT(metrics_of(fit.outputs_for(data), data).rmse, 1e-3);
}

// Of 10 rows with x = 1, eight are of class 1; of 10 with x = -1, three: the logits are the logarithms of the odds.
TEST(Linear, LogisticRegressionFindsTheOdds) {
  Points data;
  data.of_classes = 2;
  for (int i = 0; i < 20; ++i) {
    data.x.push_back({static_cast<Real>(i < 10 ? 1 : -1)});
    data.y.push_back(i < 10 ? i < 8 : i < 13);
  }
  const LinearFit fit = fit_linear(data, data);
  EXPECT_TRUE(fit.converged);
  const std::vector<Real> z = fit.outputs_for(data);
  EXPECT_NEAR(z[1] - z[0], std::log(0.8 / 0.2), 1e-3);
  EXPECT_NEAR(z[39] - z[38], std::log(0.3 / 0.7), 1e-3);
}

// Three classes on a line, which no sum of squares and no single threshold tells apart.
Points bands(Index rows) {
  Points data;
  data.of_classes = 3;
  const Random draw(2, "bands");
  for (Index i = 0; i < rows; ++i) {
    const double x = 3 * draw.uniform(static_cast<std::uint64_t>(i));
    data.x.push_back({static_cast<Real>(x)});
    data.y.push_back(std::floor(x));
  }
  return data;
}

TEST(Linear, TellsBandsApart) {
  const Points train = bands(600), test = bands(300);
  EXPECT_GT(metrics_of(fit_linear(train, train).outputs_for(test), test).accuracy, 0.97);
}

TEST(Linear, IsTheSameOnAnyNumberOfThreads) {
  const Points data = bands(500);
  EXPECT_EQ(fit_linear(data, data, 1).weights, fit_linear(data, data, 3).weights);
}

TEST(Linear, ChoosesItsRidgeOnValidationRows) {
  // Noise and more features than rows: what the training rows say of them is worth next to nothing.
  Points train, validation;
  for (Points* part : {&train, &validation}) {
    part->features = 60;
    const Random draw(part == &train ? 3u : 4u, "noise");
    for (std::uint64_t i = 0; i < 50; ++i) {
      auto& row = part->x.emplace_back();
      for (std::uint64_t f = 0; f < 60; ++f) row.push_back(static_cast<Real>(draw.normal(61 * i + f)));
      part->y.push_back(draw.normal(61 * i + 60));
    }
  }
  EXPECT_GE(fit_linear(train, validation).ridge, 0.1);
  EXPECT_LT(fit_linear(train, train).ridge, 1e-4);
}

TEST(Linear, CanBeStopped) {
  const Points data = bands(100);
  interrupt_after(5);
  EXPECT_THROW(fit_linear(data, data), InterruptedError);
  interrupt_after(-1);
}

}  // namespace
}  // namespace espalier
