// Kernels of sums over rows and of products of activations against their definitions, for every number of lanes and on
// every SIMD target that this machine can run; and the products with one-hot operands.
#include "reference/lanewise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/flops.h"
#include "espalier/core/kernels/lanewise.h"
#include "espalier/core/products.h"
#include "support/forced_target.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using reference::Numbers;
using reference::Wide;
using testing::epsilon;
using testing::nan;
using testing::normal_tensor;

Numbers lane_of(const Tensor& x, Index lane, Index first, Index rows) {
  Numbers numbers;
  for (Index i = first; i < first + rows; ++i) numbers.push_back(x.row(i)[lane]);
  return numbers;
}

Numbers lane_of(const Tensor& x, Index lane) {
  return lane_of(x, lane, 0, x.features());
}

void expect_lane(const Tensor& got, Index lane, const Numbers& expected, const char* what, Index first = 0) {
  Wide largest = 1;
  for (const Wide v : expected) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(got.row(first + static_cast<Index>(i))[lane], expected[i], 64 * Wide{epsilon} * largest)
        << what << ", row " << i << ", lane " << lane;
}

// body(lanes) on every target, for one lane and several numbers of vectors.
template <typename Body>
void everywhere(Body&& body) {
  for (const std::int64_t target : testing::targets()) {
    const testing::ForcedTarget forced(target);
    for (const Index lanes : {1, 16, 48}) {
      SCOPED_TRACE(::testing::Message() << kernels::target_name(target) << ", lanes " << lanes);
      body(lanes);
    }
  }
}

TEST(LayerNormKernel, IsItsDefinitionForwardAndBackAndPaddingStaysInItsLanes) {
  constexpr Real eps = Real{1e-5f};
  everywhere([&](Index lanes) {
    for (const Index rows : {1, 2, 7, 33}) {
      const Index valid = lanes == 1 ? 1 : lanes - 5;
      Tensor X = normal_tensor({rows}, {lanes, valid}, "X"), dY = normal_tensor({rows}, {lanes, valid}, "dY");
      for (Index i = 0; i < rows; ++i)
        for (Index lane = 0; lane < lanes; ++lane) X.row(i)[lane] += 3;
      testing::fill_padding(X, nan), testing::fill_padding(dY, nan);
      const Tensor gamma = normal_tensor({rows}, {1, 1}, "gamma"), beta = normal_tensor({rows}, {1, 1}, "beta");
      Tensor Y({rows}, {lanes, valid}), dX({rows}, {lanes, valid}), more = dX, statistics({2}, {lanes, valid});
      more = normal_tensor({rows}, {lanes, valid}, "more");
      const Tensor before = normal_tensor({rows}, {lanes, valid}, "more");
      Tensor dgamma({rows}, {1, 1}), dbeta({rows}, {1, 1}), twice = dgamma;
      const kernels::Rows at{rows, lanes, valid};
      kernels::layer_norm(at, X.data(), gamma.data(), beta.data(), eps, statistics.data(), Y.data());
      kernels::layer_norm_backward(at, X.data(), gamma.data(), statistics.data(), dY.data(), dX.data(), /*add=*/false,
                                   dgamma.data(), dbeta.data());
      Numbers sum_gamma(rows, 0), sum_beta(rows, 0);
      const Numbers g = lane_of(gamma, 0), b = lane_of(beta, 0);
      for (Index lane = 0; lane < valid; ++lane) {
        const reference::Normal normal = reference::layer_norm(lane_of(X, lane), g, b, eps);
        const Numbers dy = lane_of(dY, lane);
        if (rows > 2) {  // of two numbers x^ is +-1 and dX nearly 0: nothing but rounding would be compared
          expect_lane(Y, lane, normal.y, "Y");
          expect_lane(dX, lane, reference::layer_norm_backward(normal, g, dy), "dX");
        }
        for (Index i = 0; i < rows; ++i) sum_gamma[i] += dy[i] * normal.normal[i], sum_beta[i] += dy[i];
      }
      if (rows > 2) expect_lane(dgamma, 0, sum_gamma, "dgamma");
      expect_lane(dbeta, 0, sum_beta, "dbeta");
      Tensor unused_gamma({rows}, {1, 1}), unused_beta({rows}, {1, 1});
      kernels::layer_norm_backward(at, X.data(), gamma.data(), statistics.data(), dY.data(), more.data(), /*add=*/true,
                                   unused_gamma.data(), unused_beta.data());
      for (Index lane = 0; lane < valid; ++lane)
        for (Index i = 0; i < rows; ++i)
          EXPECT_NEAR(more.row(i)[lane], before.row(i)[lane] + dX.row(i)[lane], 1e-5) << "adds to what is there";
    }
  });
}

TEST(LayerNormKernel, ALargeMeanDoesNotCancel) {
  everywhere([&](Index lanes) {
    Tensor X = normal_tensor({64}, {lanes, lanes}, "X"), Y({64}, {lanes, lanes}), statistics({2}, {lanes, lanes});
    for (Index i = 0; i < 64; ++i)
      for (Index lane = 0; lane < lanes; ++lane) X.row(i)[lane] += 1000;
    const std::vector<Real> ones(64, 1), zeros(64, 0);
    kernels::layer_norm({64, lanes, lanes}, X.data(), ones.data(), zeros.data(), Real{1e-5f}, statistics.data(),
                        Y.data());
    for (Index lane = 0; lane < lanes; ++lane) {
      Wide squares = 0;
      for (const Wide v : lane_of(Y, lane)) squares += v * v / 64;
      EXPECT_NEAR(squares, 1, 1e-3);
    }
  });
}

TEST(SoftmaxKernel, IsItsDefinitionForwardAndBack) {
  everywhere([&](Index lanes) {
    for (const Index rows : {1, 2, 9}) {
      Tensor S = normal_tensor({rows}, {lanes, lanes}, "S");
      const Tensor scores = normal_tensor({rows}, {lanes, lanes}, "S");
      kernels::softmax(S.data(), rows, lanes);
      Tensor dP = normal_tensor({rows}, {lanes, lanes}, "dP");
      const Tensor slopes = normal_tensor({rows}, {lanes, lanes}, "dP");
      kernels::softmax_backward(S.data(), dP.data(), rows, lanes, Real{0.5});
      for (Index lane = 0; lane < lanes; ++lane) {
        const Numbers p = reference::softmax(lane_of(scores, lane));
        expect_lane(S, lane, p, "P");
        Numbers ds = reference::softmax_backward(p, lane_of(slopes, lane));
        for (Wide& v : ds) v *= Wide{0.5};
        expect_lane(dP, lane, ds, "dS");
      }
    }
  });
}

TEST(SoftmaxKernel, LargeScoresNeitherOverflowNorVanishAndANaNSpoilsItsLaneOnly) {
  everywhere([&](Index lanes) {
    Tensor S({3}, {lanes, lanes});
    for (Index lane = 0; lane < lanes; ++lane) S.row(0)[lane] = 30000, S.row(1)[lane] = 30000, S.row(2)[lane] = -30000;
    if (lanes > 1) S.row(2)[3] = nan;
    kernels::softmax(S.data(), 3, lanes);
    for (Index lane = 0; lane < lanes; ++lane) {
      if (lanes > 1 && lane == 3) {
        for (Index i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(S.row(i)[lane]));
        continue;
      }
      EXPECT_NEAR(S.row(0)[lane], 0.5, 1e-6);
      EXPECT_NEAR(S.row(2)[lane], 0, 1e-30);
    }
  });
}

TEST(ProductsOfActivations, AreTheirDefinitionsForAnyNumberOfVectors) {
  everywhere([&](Index lanes) {
    for (const Index count : {1, 3, 4, 9})
      for (const Index length : {1, 4, 6}) {
        const Index step_rows = length + 2;  // other heads' features lie between
        const Lanes full{lanes, lanes};
        const Tensor a = normal_tensor({length}, full, "a"), p = normal_tensor({count}, full, "p");
        Tensor B = normal_tensor({count * step_rows}, full, "B");
        const Tensor before = normal_tensor({count * step_rows}, full, "B");
        Tensor s({count}, full), y({length}, full);
        const kernels::Vectors of{.count = count, .length = length, .step = step_rows * lanes, .lanes = lanes};
        kernels::lane_dots(of, a.data(), B.data(), Real{0.25}, s.data());
        kernels::lane_mix(of, p.data(), B.data(), y.data());
        kernels::lane_spread(of, p.data(), a.data(), B.data());
        for (Index lane = 0; lane < lanes; ++lane) {
          const Numbers A = lane_of(a, lane), P = lane_of(p, lane);
          Numbers dots, mixed(length, 0);
          for (Index n = 0; n < count; ++n) {
            const Numbers b = lane_of(before, lane, n * step_rows, length);
            dots.push_back(reference::dot(A, b) / 4);
            for (Index j = 0; j < length; ++j) mixed[j] += P[n] * b[j];
            Numbers spread = b;
            for (Index j = 0; j < length; ++j) spread[j] += P[n] * A[j];
            expect_lane(B, lane, spread, "B", n * step_rows);
            for (Index i = n * step_rows + length; i < (n + 1) * step_rows; ++i)
              ASSERT_EQ(B.row(i)[lane], before.row(i)[lane]) << "what lies between is left alone";
          }
          expect_lane(s, lane, dots, "dots");
          expect_lane(y, lane, mixed, "mix");
        }
      }
  });
}

// --- one-hot operands ------------------------------------------------------------------------------------------------

// The matrix X of a lookup: a single 1 in each lane.
Tensor one_hot(Index rows, const std::vector<std::uint32_t>& column, Lanes lanes) {
  Tensor X({rows}, lanes);
  for (Index lane = 0; lane < lanes.count; ++lane) X.row(column[lane])[lane] = 1;
  return X;
}

TEST(LookUp, IsTheProductWithAOneHotMatrixInEveryStorage) {
  constexpr Index rows = 6, cols = 11;
  for (const testing::Density density : testing::all_densities)
    for (const Storage storage : testing::all_storages)
      for (const Lanes lanes : {Lanes{16, 13}, Lanes{1, 1}}) {
        const PatternPtr pattern = testing::pattern_of(rows, cols, density);
        if (!testing::storable(*pattern, storage)) continue;
        SCOPED_TRACE(::testing::Message() << density << " " << name_of(storage) << " " << lanes.count);
        Parameter W("W", rows, cols);
        W.become(pattern, storage);
        testing::fill_normal(W.value(), W, "W");
        std::vector<std::uint32_t> column;
        for (Index lane = 0; lane < lanes.count; ++lane) column.push_back((lane * lane + 3) % cols);
        Tensor X = one_hot(cols, column, lanes), expected({rows}, lanes), Y({rows}, lanes);
        Y.fill(nan);
        multiply(W, X, expected);
        const Flops before = thread_flops();
        look_up(W, column, Y);
        for (Index i = 0; i < rows; ++i)
          for (Index lane = 0; lane < lanes.count; ++lane) EXPECT_EQ(Y.row(i)[lane], expected.row(i)[lane]);
        Tensor dY = normal_tensor({rows}, lanes, "dY");
        testing::fill_padding(dY, nan);
        std::vector<Real> G(W.value().size(), 0), H;
        look_up_outer(W, column, dY, G);
        EXPECT_EQ((thread_flops() - before).executed, 0u) << "nothing is multiplied";
        const OuterPair pair{&dY, &X};
        for (std::size_t b = 0; b < W.blocks().size(); ++b) {
          std::vector<Real> block(W.blocks()[b].weights());
          outer(W, b, std::span(&pair, 1), block);
          H.insert(H.end(), block.begin(), block.end());
        }
        testing::expect_close(H, G, 8 * epsilon, "dW");
      }
}

TEST(LookUp, RefusesOperandsThatDoNotFit) {
  Parameter W("table", 3, 4);
  Tensor Y({3}, {16, 16}), other({4}, {16, 16});
  const std::vector<std::uint32_t> sixteen(16, 0), one(1, 0);
  EXPECT_THROW(look_up(W, one, Y), UsageError);
  EXPECT_THROW(look_up(W, sixteen, other), UsageError);
  std::vector<Real> G(11);
  EXPECT_THROW(look_up_outer(W, sixteen, Y, G), UsageError);
}

}  // namespace
}  // namespace espalier
