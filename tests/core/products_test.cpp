// The three products against their definitions, for every storage, density, shape, number of lanes and valid lanes, on
// every SIMD target that this machine can run.
#include "espalier/core/products.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/flops.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/core/reading_pass.h"
#include "espalier/core/threads.h"
#include "reference/products.h"
#include "support/forced_target.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using reference::Matrix;
using reference::Sum;
using reference::Wide;
using testing::all_densities;
using testing::all_storages;
using testing::Density;
using testing::epsilon;
using testing::fill_normal;
using testing::fill_padding;
using testing::ForcedTarget;
using testing::nan;
using testing::normal_tensor;
using testing::pattern_of;
using testing::same_bits;
using testing::storable;
using testing::valid_numbers;

struct Extents {
  Index rows, cols;
};
constexpr Extents all_extents[] = {{1, 1}, {5, 7}, {37, 83}, {100, 783}, {130, 257}};
// The references are slow: the longest rows, which are there for the panels, are tried with fewer lanes and densities.
bool has_long_rows(const Extents& extents) {
  return extents.cols > 500;
}
std::vector<Index> lanes_for(const Extents& extents) {
  return has_long_rows(extents) ? std::vector<Index>{1, 48, 64} : std::vector<Index>{1, 16, 48, 64, 128};
}
constexpr Activation all_activations[] = {Activation::none, Activation::relu, Activation::tanh, Activation::sigmoid};

// Sums of n rounded terms in any order stay within a few eps of the sum of their magnitudes; sqrt(n) of them would
// already hide a lost term in the larger products.
constexpr Wide few_eps = 4 * Wide{epsilon};

std::vector<Index> valid_counts(Index lanes) {
  return lanes == 1 ? std::vector<Index>{0, 1} : std::vector<Index>{0, 1, lanes - 1, lanes};
}

Parameter weights(const PatternPtr& pattern, Storage storage) {
  Parameter W("W", pattern);
  W.become(pattern, storage);
  fill_normal(W.value(), W, "weights");
  return W;
}

// body(W) for the pattern in every storage it can have.
template <typename Body>
void for_each_storage(const PatternPtr& pattern, Body&& body) {
  for (const Storage storage : all_storages)
    if (storable(*pattern, storage)) {
      SCOPED_TRACE(name_of(storage));
      body(weights(pattern, storage));
    }
}

// body(pattern) at every density.
template <typename Body>
void for_each_density(const Extents& extents, Body&& body) {
  for (const Density density : all_densities) {
    if (has_long_rows(extents) && density != Density::full && density != Density::tenth) continue;
    SCOPED_TRACE(density);
    body(pattern_of(extents.rows, extents.cols, density));
  }
}

// Y's valid lanes are f(start + exact), within rounding.
template <typename Start>
void expect_matches(const Tensor& Y, const Matrix& exact, Activation f, Start&& start) {
  for (Index r = 0; r < Y.features(); ++r)
    for (Index lane = 0; lane < Y.valid(); ++lane) {
      Sum sum = exact.at(r, lane);
      sum.add(start(r, lane));
      const Wide value = reference::activate(f, sum.value);
      // Every activation's slope is at most 1; the activation itself rounds, too.
      ASSERT_LE(std::abs(Y.row(r)[lane] - value), few_eps * (sum.magnitude + std::abs(value)))
          << "row " << r << ", lane " << lane << ": expected " << value << ", got " << Y.row(r)[lane];
    }
}

// --- on every SIMD target --------------------------------------------------------------------------------------------

class Products : public ::testing::TestWithParam<std::tuple<std::int64_t, Extents>> {
 protected:
  std::int64_t target() const { return std::get<0>(GetParam()); }
  Extents extents() const { return std::get<1>(GetParam()); }

 private:
  ForcedTarget forced_{target()};
};

INSTANTIATE_TEST_SUITE_P(EveryTarget, Products,
                         ::testing::Combine(::testing::ValuesIn(testing::targets()), ::testing::ValuesIn(all_extents)),
                         [](const auto& row) {
                           const Extents& extents = std::get<1>(row.param);
                           return fmt::format("{}_{}x{}", kernels::target_name(std::get<0>(row.param)), extents.rows,
                                              extents.cols);
                         });

TEST_P(Products, MultiplyIsTheSumOfWeightsTimesInputsThroughEveryEpilogue) {
  Parameter bias("b", extents().rows, 1, Role::bias);
  fill_normal(bias.value(), bias, "bias");
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents())) {
      Tensor X = normal_tensor({extents().cols}, {lanes, lanes}, "X"), Y({extents().rows}, {lanes, lanes});
      const Matrix exact = reference::multiply(weights(pattern, Storage::csr), X);
      for_each_storage(pattern, [&](const Parameter& W) {
        for (const Activation f : all_activations)
          for (const Parameter* b : {static_cast<const Parameter*>(nullptr), &std::as_const(bias)}) {
            Y.fill(nan);
            multiply(W, X, Y, {.bias = b, .activation = f});
            expect_matches(Y, exact, f, [&](Index r, Index) { return b ? b->value()[r] : 0; });
          }
      });
    }
  });
}

TEST_P(Products, MultiplyMayAddAndHonoursRaggedTiles) {
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents()))
      for (const Index valid : valid_counts(lanes)) {
        Tensor X = normal_tensor({extents().cols}, {lanes, valid}, "X");
        fill_padding(X, nan);
        const Tensor before = normal_tensor({extents().rows}, {lanes, valid}, "Y");
        const Matrix exact = reference::multiply(weights(pattern, Storage::csr), X);
        for_each_storage(pattern, [&](const Parameter& W) {
          Tensor Y = normal_tensor({extents().rows}, {lanes, valid}, "Y");
          multiply(W, X, Y, {}, Write::add);
          expect_matches(Y, exact, Activation::none, [&](Index r, Index lane) { return before.row(r)[lane]; });
        });
      }
  });
}

TEST_P(Products, MultiplyTransposedIsTheSumOverRowsAndMayAdd) {
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents()))
      for (const Index valid : valid_counts(lanes)) {
        Tensor dY = normal_tensor({extents().rows}, {lanes, valid}, "dY");
        fill_padding(dY, nan);
        const Tensor before = normal_tensor({extents().cols}, {lanes, valid}, "dX");
        const Matrix exact = reference::multiply_transposed(weights(pattern, Storage::csr), dY);
        for_each_storage(pattern, [&](const Parameter& W) {
          Tensor dX({extents().cols}, {lanes, valid});
          dX.fill(nan);
          multiply_transposed(W, dY, dX);
          expect_matches(dX, exact, Activation::none, [](Index, Index) { return 0; });
          fill_normal(dX, "dX");
          multiply_transposed(W, dY, dX, Write::add);
          expect_matches(dX, exact, Activation::none, [&](Index r, Index lane) { return before.row(r)[lane]; });
        });
      }
  });
}

// The tiles of a batch: all full but the last.
struct Batch {
  std::vector<Tensor> dY, X;
  std::vector<OuterPair> pairs;
  Batch(Extents extents, Index tiles, Index lanes, Index last_valid, Real padding) {
    for (Index t = 0; t < tiles; ++t) {
      const Index valid = t + 1 == tiles ? last_valid : lanes;
      const auto seed = static_cast<std::uint64_t>(t + 1);
      dY.push_back(normal_tensor({extents.rows}, {lanes, valid}, "dY", seed));
      X.push_back(normal_tensor({extents.cols}, {lanes, valid}, "X", seed));
      fill_padding(dY.back(), padding);
      fill_padding(X.back(), padding);
    }
    for (std::size_t t = 0; t < dY.size(); ++t) pairs.push_back({&dY[t], &X[t]});
  }
};

// The whole gradient in the order of W's arrays, in a buffer that held NaN.
std::vector<Real> gradient(const Parameter& W, std::span<const OuterPair> pairs) {
  std::vector<Real> G(W.value().size(), nan);
  for (std::size_t b = 0; b < W.blocks().size(); ++b) {
    const RowBlock& block = W.blocks()[b];
    outer(W, b, pairs, std::span(G).subspan(block.first, block.weights()));
  }
  return G;
}

void expect_gradient(const Parameter& W, const std::vector<Real>& G, const Matrix& exact) {
  std::vector<bool> live(G.size(), false);
  W.for_each_weight([&](Index r, Index c, Index at) {
    const auto n = static_cast<std::size_t>(at);
    live[n] = true;
    const Sum& sum = exact.at(r, c);
    EXPECT_LE(std::abs(G[n] - sum.value), few_eps * sum.magnitude) << "weight " << r << ", " << c;
  });
  for (std::size_t n = 0; n < G.size(); ++n) EXPECT_TRUE(live[n] || G[n] == 0) << "off the pattern, at " << n;
}

TEST_P(Products, OuterSumsOverTilesAndValidLanesOnThePattern) {
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents()))
      for (const Index tiles : {1, 2, 3, 5, 8, 17}) {
        if (lanes * tiles * extents().rows * extents().cols > 20'000'000) continue;  // smaller extents have them all
        const Index last_valid = tiles % 2 ? lanes : std::max<Index>(lanes - 1, 1);
        const Batch batch(extents(), tiles, lanes, last_valid, nan);
        const Matrix exact = reference::outer(weights(pattern, Storage::csr), batch.pairs);
        for_each_storage(pattern, [&](const Parameter& W) { expect_gradient(W, gradient(W, batch.pairs), exact); });
      }
  });
}

TEST_P(Products, OuterIgnoresWhateverStandsInThePadding) {
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents()))
      for (const Index valid : valid_counts(lanes)) {
        const Batch zeros(extents(), 3, lanes, valid, 0), nans(extents(), 3, lanes, valid, nan);
        for_each_storage(pattern, [&](const Parameter& W) {
          EXPECT_TRUE(same_bits(gradient(W, zeros.pairs), gradient(W, nans.pairs)))
              << lanes << " lanes, " << valid << " valid";
        });
      }
  });
}

TEST_P(Products, OuterOfRaggedTilesIsTheSumOverTheirValidLanes) {
  for_each_density(extents(), [&](const PatternPtr& pattern) {
    for (const Index lanes : lanes_for(extents()))
      for (const Index valid : valid_counts(lanes)) {
        const Batch batch(extents(), 2, lanes, valid, nan);
        const Matrix exact = reference::outer(weights(pattern, Storage::csr), batch.pairs);
        for_each_storage(pattern, [&](const Parameter& W) { expect_gradient(W, gradient(W, batch.pairs), exact); });
      }
  });
}

// --- packed for latency ----------------------------------------------------------------------------------------------

// Rows and columns that fill slices and windows, and that do not; five and seven are too few to pack.
class PackedProducts : public Products {
 protected:
  // body(csr weights, packed), and says which of them must be: other targets, and other extents, go on with dots.
  template <typename Body>
  void for_each_packed(Body&& body) const {
    for (const Density density : all_densities) {
      SCOPED_TRACE(density);
      Parameter W = weights(pattern_of(extents().rows, extents().cols, density), Storage::csr);
      W.pack_for_latency();
      EXPECT_EQ(!W.packed().empty(), kernels::has_slices() && !W.pattern()->derived<Slices>().empty());
      if (density == Density::half || density == Density::full) {
        EXPECT_EQ(!W.packed().empty(), kernels::has_slices() && extents().cols >= Slices::window);
      }
      body(std::as_const(W));
    }
  }
};

INSTANTIATE_TEST_SUITE_P(
    EveryTarget, PackedProducts,
    ::testing::Combine(::testing::ValuesIn(testing::targets()),
                       ::testing::ValuesIn({Extents{5, 7}, Extents{16, 64}, Extents{21, 65}, Extents{37, 83},
                                            Extents{48, 128}, Extents{100, 783}, Extents{130, 257}})),
    [](const auto& row) {
      const Extents& extents = std::get<1>(row.param);
      return fmt::format("{}_{}x{}", kernels::target_name(std::get<0>(row.param)), extents.rows, extents.cols);
    });

TEST_P(PackedProducts, MultiplyIsTheSameSumAndTheSameFlops) {
  Parameter bias("b", extents().rows, 1, Role::bias);
  fill_normal(bias.value(), bias, "bias");
  for_each_packed([&](const Parameter& W) {
    const Tensor X = normal_tensor({extents().cols}, {1, 1}, "X"),
                 before = normal_tensor({extents().rows}, {1, 1}, "Y");
    Tensor Y({extents().rows}, {1, 1});
    const Matrix exact = reference::multiply(W, X);
    for (const Activation f : all_activations)
      for (const Parameter* b : {static_cast<const Parameter*>(nullptr), &std::as_const(bias)}) {
        Y.fill(nan);
        const Flops start = thread_flops();
        multiply(W, X, Y, {.bias = b, .activation = f});
        EXPECT_EQ((thread_flops() - start).executed, static_cast<std::uint64_t>(2 * W.nonzeros()));
        expect_matches(Y, exact, f, [&](Index r, Index) { return b ? b->value()[r] : 0; });
      }
    fill_normal(Y, "Y");
    multiply(W, X, Y, {}, Write::add);
    expect_matches(Y, exact, Activation::none, [&](Index r, Index lane) { return before.row(r)[lane]; });
  });
}

TEST_P(PackedProducts, AnInputThatIsNotFiniteReachesTheRowsThatReadItAndNoOther) {
  for_each_packed([&](const Parameter& W) {
    Tensor X = normal_tensor({extents().cols}, {1, 1}, "X"), Y({extents().rows}, {1, 1}), Z({extents().rows}, {1, 1});
    multiply(W, X, Y);
    for (Index c = 0; c < extents().cols; ++c)
      for (const Real poison : {nan, std::numeric_limits<Real>::infinity()}) {
        const Real fine = std::exchange(X.row(c)[0], poison);
        multiply(W, X, Z);
        X.row(c)[0] = fine;
        for (Index r = 0; r < extents().rows; ++r) {
          if (W.pattern()->live(r, c))
            ASSERT_FALSE(std::isfinite(Z.row(r)[0])) << "row " << r << ", input " << c;
          else
            ASSERT_EQ(Z.row(r)[0], Y.row(r)[0]) << "row " << r << ", input " << c;
        }
      }
  });
}

TEST_P(PackedProducts, OtherProductsDoNotMind) {
  for_each_packed([&](const Parameter& W) {
    const Tensor X = normal_tensor({extents().cols}, {16, 16}, "X"), dY = normal_tensor({extents().rows}, {1, 1}, "dY");
    Tensor Y({extents().rows}, {16, 16}), dX({extents().cols}, {1, 1});
    multiply(W, X, Y);
    expect_matches(Y, reference::multiply(W, X), Activation::none, [](Index, Index) { return 0; });
    multiply_transposed(W, dY, dX);
    expect_matches(dX, reference::multiply_transposed(W, dY), Activation::none, [](Index, Index) { return 0; });
  });
}

TEST(PackedProduct, RunsWithDotsOnATargetThatHasNoSlices) {
  // Packed for one target, multiplied on another: only a test can do that.
  Parameter W = weights(pattern_of(37, 83, Density::half), Storage::csr);
  W.pack_for_latency();
  const Tensor X = normal_tensor({83}, {1, 1}, "X");
  for (const std::int64_t target : testing::targets()) {
    const ForcedTarget forced(target);
    Tensor Y({37}, {1, 1});
    multiply(W, X, Y);
    expect_matches(Y, reference::multiply(W, X), Activation::none, [](Index, Index) { return 0; });
    EXPECT_EQ(kernel_name(W, 1).starts_with("csr slices "), kernels::has_slices() && !W.packed().empty());
    EXPECT_TRUE(kernel_name(W, 16).starts_with(reads_streams(Pass::forward, 16) ? "csr streams " : "csr panels "));
  }
}

// --- whatever the target ---------------------------------------------------------------------------------------------

TEST(ProductTargets, ForcingATargetRunsAnotherKernel) {
  // Targets differ in how many partial sums they keep, hence in how they round. Were forcing without effect, the suite
  // above would test one target several times.
  if (testing::targets().size() < 2) return;
  const Parameter W = weights(pattern_of(37, 83, Density::half), Storage::csr);
  const Batch batch({37, 83}, 2, 64, 63, 0);
  std::vector<Real> best, last;
  {
    const ForcedTarget forced(testing::targets().front());
    best = gradient(W, batch.pairs);
  }
  {
    const ForcedTarget forced(testing::targets().back());
    last = gradient(W, batch.pairs);
  }
  EXPECT_FALSE(same_bits(best, last));
  EXPECT_TRUE(same_bits(best, gradient(W, batch.pairs))) << "leaving the forced target brings the best one back";
}

TEST(Outer, FromManyThreadsAtOnceGivesTheBitsOfOne) {
  // A product may use no memory that another thread's product uses. A BLAS built without locks does, and then a call
  // now and then is plainly wrong.
  constexpr Index callers = 8;
  for_each_storage(Pattern::full(30, 20), [](const Parameter& W) {
    std::vector<Tensor> dY, X;  // other numbers for every caller
    std::vector<std::vector<Real>> expected;
    for (std::uint64_t i = 0; i < callers; ++i) {
      dY.push_back(normal_tensor({30}, {16, 16}, "dY", i));
      X.push_back(normal_tensor({20}, {16, 16}, "X", i));
    }
    const auto gradient_of = [&](std::size_t i) {
      const OuterPair pair{&dY[i], &X[i]};
      return gradient(W, {&pair, 1});
    };
    for (std::size_t i = 0; i < callers; ++i) expected.push_back(gradient_of(i));
    std::atomic<int> wrong = 0;
    for (int repeat = 0; repeat < 500; ++repeat)
      parallel_for(callers, static_cast<int>(callers), [&](Index i) {
        const auto caller = static_cast<std::size_t>(i);
        wrong += !same_bits(gradient_of(caller), expected[caller]);
      });
    EXPECT_EQ(wrong, 0) << "of 4000";
  });
}

TEST(Outer, WithoutTilesIsZero) {
  for_each_storage(Pattern::full(5, 7),
                   [](const Parameter& W) { EXPECT_EQ(gradient(W, {}), std::vector<Real>(W.value().size(), 0)); });
}

TEST(Outer, OfBlocksTogetherIsTheOuterOfTheWhole) {
  for_each_storage(Pattern::random(700, 211, 100'000, Random(1, "blocks")), [](const Parameter& W) {
    ASSERT_GT(W.blocks().size(), 1u);
    const Batch batch({700, 211}, 2, 16, 16, 0);
    expect_gradient(W, gradient(W, batch.pairs), reference::outer(W, batch.pairs));
  });
}

TEST(ProductOperands, PaddingOfTheInputNeverReachesValidLanes) {
  for_each_storage(Pattern::full(37, 83), [](const Parameter& W) {
    for (const Index lanes : {16, 48, 128}) {
      Tensor X = normal_tensor({83}, {lanes, lanes - 3}, "X"), Y({37}, {lanes, lanes - 3});
      fill_padding(X, 0);
      multiply(W, X, Y, {.activation = Activation::tanh});
      const std::vector<Real> with_zeros = valid_numbers(Y);
      fill_padding(X, nan);
      multiply(W, X, Y, {.activation = Activation::tanh});
      EXPECT_TRUE(same_bits(valid_numbers(Y), with_zeros));
    }
  });
}

// --- operations ------------------------------------------------------------------------------------------------------

TEST(ProductFlops, ExecutedIsStoredTimesLanesAndUsefulIsLiveTimesValid) {
  const PatternPtr pattern = pattern_of(37, 83, Density::tenth);
  const auto live = static_cast<std::uint64_t>(pattern->nonzeros()), all = std::uint64_t{37 * 83};
  constexpr std::uint64_t lanes = 64, valid = 50;
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    const Parameter W = weights(pattern, storage);
    const std::uint64_t stored = storage == Storage::csr ? live : all;
    const Tensor X = normal_tensor({83}, {lanes, valid}, "X"), dY = normal_tensor({37}, {lanes, valid}, "dY");
    Tensor Y({37}, {lanes, valid}), dX({83}, {lanes, valid});
    const auto count = [](auto&& product) {
      const Flops before = thread_flops();
      product();
      return thread_flops() - before;
    };
    const Flops forward = count([&] { multiply(W, X, Y); });
    EXPECT_EQ(forward.executed, 2 * stored * lanes);
    EXPECT_EQ(forward.useful, 2 * live * valid);
    const Flops transposed = count([&] { multiply_transposed(W, dY, dX); });
    EXPECT_EQ(transposed.executed, 2 * stored * lanes);
    EXPECT_EQ(transposed.useful, 2 * live * valid);
    const OuterPair pair{&dY, &X};
    const Flops weight_gradient = count([&] { gradient(W, {&pair, 1}); });
    EXPECT_EQ(weight_gradient.executed, 2 * stored * valid);
    EXPECT_EQ(weight_gradient.useful, 2 * live * valid);
  }
}

// --- at the door -----------------------------------------------------------------------------------------------------

TEST(ProductOperands, RefuseOperandsThatDoNotFit) {
  const Parameter W = weights(Pattern::full(5, 7), Storage::csr);
  Tensor seven({7}, {16, 16}), five({5}, {16, 16}), wide({5}, {32, 32}), image({7, 1, 1}, {16, 16}, {1, 1});
  EXPECT_THROW(multiply(W, five, five), UsageError);
  EXPECT_THROW(multiply(W, seven, seven), UsageError);
  EXPECT_THROW(multiply(W, seven, wide), UsageError);
  EXPECT_THROW(multiply(W, image, five), UsageError);
  EXPECT_THROW(multiply_transposed(W, seven, five), UsageError);
  EXPECT_THROW(multiply(W, seven, five, {.activation = Activation::relu}, Write::add), UsageError);
  const Parameter bad_bias("b", 4, 1, Role::bias);
  EXPECT_THROW(multiply(W, seven, five, {.bias = &bad_bias}), UsageError);
}

TEST(Outer, RefusesGradientsAndTilesThatDoNotFit) {
  for_each_storage(Pattern::full(5, 7), [](const Parameter& W) {
    const Tensor X({7}, {64, 64}), dY({5}, {64, 64}), narrow_X({7}, {16, 16}), narrow_dY({5}, {16, 16});
    std::vector<Real> G(35), too_short(34);
    const std::vector<OuterPair> fine{{&dY, &X}}, swapped{{&X, &dY}}, unequal{{&dY, &X}, {&narrow_dY, &narrow_X}};
    EXPECT_NO_THROW(outer(W, 0, fine, G));
    EXPECT_THROW(outer(W, 0, fine, too_short), UsageError);
    EXPECT_THROW(outer(W, 0, swapped, G), UsageError);
    EXPECT_THROW(outer(W, 0, unequal, G), UsageError) << "tiles of one batch have equal lanes";
  });
}

TEST(KernelName, SaysWhatRuns) {
  for_each_storage(Pattern::full(5, 7), [](const Parameter& W) {
    for (const Index lanes : {1, 64}) EXPECT_FALSE(kernel_name(W, lanes).empty());
    EXPECT_NE(kernel_name(W, 1), kernel_name(W, 64));
  });
  EXPECT_NE(kernel_name(weights(Pattern::full(5, 7), Storage::csr), 64),
            kernel_name(weights(Pattern::full(5, 7), Storage::dense), 64));
}

}  // namespace
}  // namespace espalier
