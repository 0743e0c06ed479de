#include "espalier/layers/initialise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "espalier/core/error.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::Density;
using testing::pattern_of;
using testing::same_bits;

constexpr Index rows = 300, cols = 200;

struct Formula {
  const char* name;
  double (*variance)(double fan_in, double fan_out);
  double fourth_moment;  // E[w^4] / variance^2: how far a sample variance may stray
  double (*bound)(double fan_in, double fan_out);
};

const Formula formulas[] = {{"kaiming", [](double in, double) { return 2 / in; }, 3,
                             [](double, double) { return std::numeric_limits<double>::infinity(); }},
                            {"kaiming-uniform", [](double in, double) { return 2 / in; }, 1.8,
                             [](double in, double) { return std::sqrt(6 / in); }},
                            {"xavier", [](double in, double out) { return 2 / (in + out); }, 1.8,
                             [](double in, double out) { return std::sqrt(6 / (in + out)); }},
                            {"lecun-uniform", [](double in, double) { return 1 / (3 * in); }, 1.8,
                             [](double in, double) { return std::sqrt(1 / in); }},
                            {"signed-constant", [](double in, double) { return 2 / in; }, 1,
                             [](double in, double) { return std::sqrt(2 / in); }},
                            {"unit-normal", [](double, double) { return 1.0; }, 3,
                             [](double, double) { return std::numeric_limits<double>::infinity(); }}};

TEST(Initialise, EveryFormulaHasItsMeanVarianceAndBoundAtAnyDensity) {
  for (const Formula& formula : formulas)
    for (const Density density : {Density::full, Density::tenth}) {
      SCOPED_TRACE(::testing::Message() << formula.name << " " << density);
      Parameter W("W", pattern_of(rows, cols, density));
      initialise(W, initialiser_named(formula.name), 1);
      const auto n = static_cast<double>(W.nonzeros());
      const double in = n / rows, out = n / cols;
      double sum = 0, squares = 0;
      for (const Real w : W.value()) {
        sum += static_cast<double>(w);
        squares += static_cast<double>(w) * static_cast<double>(w);
        EXPECT_LE(std::abs(static_cast<double>(w)), formula.bound(in, out) * (1 + 1e-6));
      }
      const double variance = formula.variance(in, out);
      EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(variance / n));
      EXPECT_NEAR(squares / n / variance, 1, 5 * std::sqrt((formula.fourth_moment - 1) / n) + 1e-6);
    }
}

TEST(Initialise, ALayerBornSparseHasTheDenseLayersWeightsUpToTheScale) {
  for (const Formula& formula : formulas) {
    SCOPED_TRACE(formula.name);
    Parameter dense("fc1.weight", rows, cols), sparse("fc1.weight", pattern_of(rows, cols, Density::tenth));
    initialise(dense, initialiser_named(formula.name), 1);
    initialise(sparse, initialiser_named(formula.name), 1);
    const double scale = std::sqrt(formula.variance(0.1 * cols, 0.1 * rows) / formula.variance(cols, rows));
    sparse.for_each_weight([&](Index r, Index c, Index at) {
      const auto expected = scale * static_cast<double>(dense.value()[r * cols + c]);
      ASSERT_NEAR(sparse.value()[at], expected, 1e-6 * std::abs(expected));
    });
  }
}

TEST(Initialise, DependsOnTheSeedAndTheName) {
  Parameter a("a", 5, 7), again("a", 5, 7), b("b", 5, 7), other("a", 5, 7);
  initialise(a, Initialiser::kaiming, 1);
  initialise(again, Initialiser::kaiming, 1);
  initialise(b, Initialiser::kaiming, 1);
  initialise(other, Initialiser::kaiming, 2);
  EXPECT_TRUE(same_bits(a.value(), again.value()));
  EXPECT_FALSE(same_bits(a.value(), b.value()));
  EXPECT_FALSE(same_bits(a.value(), other.value()));
}

TEST(Initialise, TouchesLiveWeightsOnlyAndNoSlot) {
  Parameter W("W", rows, cols);
  W.add_slot("velocity");
  W.become(pattern_of(rows, cols, Density::half), Storage::masked);
  initialise(W, Initialiser::kaiming, 1);
  const auto mask = W.pattern()->mask();
  for (std::size_t n = 0; n < mask.size(); ++n) EXPECT_EQ(W.value()[n] != 0, mask[n] == 1);
  for (const Real number : W.slot("velocity")) EXPECT_EQ(number, 0);
}

TEST(Initialise, CopesWithNoWeightAtAll) {
  Parameter W("W", pattern_of(3, 4, Density::nothing));
  EXPECT_NO_THROW(initialise(W, Initialiser::xavier, 1));
}

TEST(Initialise, AnUnknownNameIsRefusedWithTheKnownOnes) {
  try {
    initialiser_named("heh");
    ADD_FAILURE() << "expected a UsageError";
  } catch (const UsageError& error) {
    const std::string message = error.what();
    for (const Formula& formula : formulas) EXPECT_NE(message.find(formula.name), std::string::npos) << message;
    EXPECT_NE(message.find("heh"), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier
