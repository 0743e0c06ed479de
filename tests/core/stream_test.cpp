// Streams: the layout, and the products that read it, which give the bits of the products that read panels.
#include "espalier/core/layouts/stream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "espalier/core/kernels/sparse_stream.h"
#include "espalier/core/layouts/transpose.h"
#include "espalier/core/products.h"
#include "espalier/core/reading_pass.h"
#include "espalier/core/threads.h"
#include "reference/products.h"
#include "support/forced_target.h"
#include "support/numbers.h"
#include "support/patterns.h"

namespace espalier {
namespace {

using testing::all_densities;
using testing::Density;
using testing::fill_normal;
using testing::fill_padding;
using testing::normal_tensor;
using testing::pattern_of;
using testing::same_bits;
using testing::valid_numbers;

struct Extents {
  Index rows, cols;
};
// The last two have more than one block of rows, more than one panel, and rows of very different length.
constexpr Extents extents[] = {{1, 1}, {1, 40}, {40, 1}, {5, 7}, {37, 83}, {130, 257}, {1030, 70}, {70, 2100}};

// Row r has about r * r weights: counts from none to all of them in every panel.
PatternPtr uneven_pattern(Index rows, Index cols) {
  const Random random(3, "uneven");
  std::vector<Index> positions;
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < cols; ++c) {
      const double share = static_cast<double>(r) / static_cast<double>(rows);
      if (random.uniform(static_cast<std::uint64_t>(r * cols + c)) < share * share) positions.push_back(r * cols + c);
    }
  return Pattern::from_positions(rows, cols, positions);
}

// body(pattern) for patterns of all kinds and extents.
template <typename Body>
void for_each_pattern(Body&& body) {
  for (const auto& [rows, cols] : extents) {
    SCOPED_TRACE(fmt::format("{} x {}", rows, cols));
    for (const Density density : all_densities) {
      SCOPED_TRACE(density);
      body(pattern_of(rows, cols, density));
    }
    SCOPED_TRACE("uneven");
    body(uneven_pattern(rows, cols));
  }
}

// --- the layout ------------------------------------------------------------------------------------------------------

// Every weight of the matrix once; visits sorted by count; columns ascending within a visit, panel after panel.
void expect_stream_of(const Compressed& matrix, const Stream& stream, const Compressed& original) {
  std::vector<int> met(matrix.index.size(), 0);
  std::vector<Index> next = matrix.begin;
  std::size_t weights = 0;
  for (std::size_t b = 0; b < stream.blocks.size(); ++b)
    for (Index panel = 0; panel < stream.count; ++panel) {
      const Stream::Part part = stream.part(static_cast<Index>(b), panel);
      ASSERT_EQ(part.first_weight, weights);
      std::size_t visit = 0, n = 0;
      int previous = 0;
      for (const Stream::Group& group : part.groups) {
        ASSERT_GT(int{group.count}, previous) << "groups come by count";
        previous = group.count;
        for (int i = 0; i < group.visits; ++i, ++visit) {
          const Index row = stream.blocks[b].first_row + part.row[visit];
          ASSERT_LT(row, stream.blocks[b].last_row);
          ASSERT_EQ(static_cast<Index>(part.begin[visit]), next[row]) << "a row is read from left to right";
          for (int k = 0; k < group.count; ++k, ++n) {
            const std::size_t at = part.begin[visit] + static_cast<std::size_t>(k);
            ++met[at];
            ASSERT_EQ(part.first_column + part.column[n], matrix.index[at]);
            ASSERT_LT(part.column[n], stream.width);
          }
          next[row] += group.count;
          ASSERT_LE(next[row], matrix.begin[row + 1]);
        }
      }
      ASSERT_EQ(n, part.weights);
      ASSERT_LE(n, stream.largest_part);
      weights += n;
    }
  EXPECT_EQ(weights, stream.weights());
  EXPECT_EQ(met, std::vector<int>(original.index.size(), 1));
}

TEST(Stream, OfAnyWidthMeetsEachWeightOnceInTheOrderOfItsRow) {
  for_each_pattern([](const PatternPtr& pattern) {
    const Compressed& forward = pattern->compressed();
    for (const Index width : {Index{1}, Index{3}, Index{16}, Index{100}, Index{100'000}}) {
      expect_stream_of(forward, pattern->derived<Stream>({.width = width}), forward);
      expect_stream_of(pattern->derived<Transpose>(), pattern->derived<Stream>({.width = width, .transposed = true}),
                       forward);
      const Stream::Key of_gradient{.width = width, .rows = Stream::Rows::of_gradient};
      const Stream& gradient = pattern->derived<Stream>(of_gradient);
      expect_stream_of(forward, gradient, forward);
      ASSERT_EQ(gradient.blocks.size(), pattern->blocks().size());
      for (std::size_t b = 0; b < gradient.blocks.size(); ++b)
        EXPECT_EQ(gradient.blocks[b].first, pattern->blocks()[b].first);
      EXPECT_LE(gradient.width, Stream::widest_of_gradient) << "the kernel has room for so many weights of a visit";
    }
  });
}

TEST(Stream, CopiesValuesIntoItsOrder) {
  for_each_pattern([](const PatternPtr& pattern) {
    for (const bool transposed : {false, true}) {
      const Compressed& matrix = transposed ? pattern->derived<Transpose>() : pattern->compressed();
      const Stream& stream = pattern->derived<Stream>({.width = 32, .transposed = transposed});
      std::vector<Real> value(pattern->nonzeros()), copy(stream.weights());
      for (std::size_t n = 0; n < value.size(); ++n) value[n] = static_cast<Real>(n);
      stream.copy_values(*pattern, value, copy);
      for (std::size_t b = 0; b < stream.blocks.size(); ++b)
        for (Index panel = 0; panel < stream.count; ++panel) {
          const Stream::Part part = stream.part(static_cast<Index>(b), panel);
          std::size_t n = 0, visit = 0;
          for (const Stream::Group& group : part.groups)
            for (int i = 0; i < group.visits; ++i, ++visit)
              for (int k = 0; k < group.count; ++k, ++n) {
                const std::size_t at = part.begin[visit] + static_cast<std::size_t>(k);
                ASSERT_EQ(copy[part.first_weight + n], value[transposed ? matrix.slot[at] : at]);
              }
        }
    }
  });
}

TEST(Stream, PanelsGetWiderTheSparserTheMatrixAndRowsAreReadWholeInTheEnd) {
  for (const Index columns : {Index{100}, Index{1024}, Index{5000}}) {
    Index before = 0, before_of_gradient = 0;
    for (const double density : {1.0, 0.5, 0.1, 0.05, 0.031, 0.029, 0.001}) {
      const Index width = stream_width(64, density, columns);
      const Index of_gradient = gradient_stream_width(64, density, columns);
      EXPECT_GE(width, before);
      EXPECT_GE(of_gradient, before_of_gradient);
      EXPECT_LE(width, columns);
      before = width;
      before_of_gradient = of_gradient;
    }
    EXPECT_EQ(before, columns);
  }
  EXPECT_GT(stream_width(100'000'000, 0.5, 1024), 0);
  EXPECT_GT(gradient_stream_width(100'000'000, 0.5, 1024), 0);
}

// --- the products ----------------------------------------------------------------------------------------------------

class StreamProducts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!kernels::has_streams()) GTEST_SKIP() << "streams are not read here: they need AVX-512 and Real = float";
  }
};

constexpr auto forward = StreamCopies::Direction::forward, backward = StreamCopies::Direction::transposed;

Parameter csr_weights(const PatternPtr& pattern, std::uint64_t seed = 1) {
  Parameter W("W", pattern);
  fill_normal(W.value(), W, "weights", seed);
  return W;
}

// All numbers of the products of W with some tiles, the last of which may be ragged.
struct Results {
  std::vector<Real> Y, dX, G;
  bool operator==(const Results& other) const {
    return same_bits(Y, other.Y) && same_bits(dX, other.dX) && same_bits(G, other.G);
  }
};

struct Tiles {
  Tiles(Extents of, Index count, Index lanes, Index valid_of_last) {
    for (Index t = 0; t < count; ++t) {
      const Lanes counts{lanes, t + 1 < count ? lanes : valid_of_last};
      X.push_back(normal_tensor({of.cols}, counts, "X", static_cast<std::uint64_t>(t)));
      dY.push_back(normal_tensor({of.rows}, counts, "dY", static_cast<std::uint64_t>(t)));
      fill_padding(X.back(), testing::nan);
      fill_padding(dY.back(), testing::nan);
    }
  }
  std::vector<OuterPair> pairs() const {
    std::vector<OuterPair> pairs;
    for (std::size_t t = 0; t < X.size(); ++t) pairs.push_back({&dY[t], &X[t]});
    return pairs;
  }
  std::vector<Tensor> X, dY;
};

std::vector<Real> gradient(const Parameter& W, const Tiles& tiles) {
  std::vector<Real> G(static_cast<std::size_t>(W.stored()));
  for (std::size_t b = 0; b < W.blocks().size(); ++b) {
    const RowBlock& block = W.blocks()[b];
    outer(W, b, tiles.pairs(), std::span(G).subspan(block.first, block.weights()));
  }
  return G;
}

Results products_of(const Parameter& W, const Tiles& tiles, Reading reading) {
  const ForcedReading forced(reading);
  Results results;
  Parameter bias("b", W.rows(), 1, Role::bias);
  fill_normal(bias.value(), bias, "bias");
  for (std::size_t t = 0; t < tiles.X.size(); ++t) {
    Tensor Y({W.rows()}, tiles.X[t].lane_counts()), dX({W.cols()}, tiles.X[t].lane_counts());
    multiply(W, tiles.X[t], Y, {.bias = &bias, .activation = Activation::relu});
    multiply_transposed(W, tiles.dY[t], dX);
    multiply(W, tiles.X[t], Y, {}, Write::add);
    multiply_transposed(W, tiles.dY[t], dX, Write::add);
    const std::vector<Real> y = valid_numbers(Y), dx = valid_numbers(dX);
    results.Y.insert(results.Y.end(), y.begin(), y.end());
    results.dX.insert(results.dX.end(), dx.begin(), dx.end());
  }
  results.G = gradient(W, tiles);
  return results;
}

// Once as they are missed, and once from fresh copies.
void expect_streams_give_the_bits_of_panels(const Parameter& W, const Tiles& tiles) {
  const Results panels = products_of(W, tiles, Reading::panels);
  EXPECT_TRUE(products_of(W, tiles, Reading::streams) == panels) << "from the values themselves";
  W.refresh_streams(forward);
  W.refresh_streams(backward);
  const Index width = stream_width(tiles.X[0].lanes(), W.density(), W.cols());
  ASSERT_NE(W.in_stream(forward, width), nullptr) << "it was missed";
  EXPECT_TRUE(products_of(W, tiles, Reading::streams) == panels) << "from copies";
}

TEST_F(StreamProducts, GiveTheBitsOfPanelsForEveryPatternLanesAndRaggedTile) {
  for_each_pattern([](const PatternPtr& pattern) {
    for (const Index lanes : {16, 48, 64, 144}) {
      SCOPED_TRACE(lanes);
      const Tiles tiles({pattern->rows(), pattern->cols()}, 3, lanes, lanes - 3);
      expect_streams_give_the_bits_of_panels(csr_weights(pattern), tiles);
    }
  });
}

TEST_F(StreamProducts, GiveTheBitsOfPanelsForAnyNumberOfLanesAndTiles) {
  const PatternPtr pattern = uneven_pattern(90, 400);
  for (Index lanes = 16; lanes <= 160; lanes += 16)
    for (const Index count : {1, 2, 5, 17}) {
      SCOPED_TRACE(fmt::format("{} tiles of {}", count, lanes));
      expect_streams_give_the_bits_of_panels(csr_weights(pattern), Tiles({90, 400}, count, lanes, lanes));
    }
  for (Index valid = 0; valid <= 64; ++valid) {
    SCOPED_TRACE(fmt::format("{} valid lanes", valid));
    expect_streams_give_the_bits_of_panels(csr_weights(pattern), Tiles({90, 400}, 2, 64, valid));
  }
}

TEST_F(StreamProducts, AreTheSumsOfTheirDefinition) {
  const ForcedReading forced(Reading::streams);
  constexpr reference::Wide few_eps = 4 * reference::Wide{testing::epsilon};
  const auto expect_sums = [](const reference::Matrix& exact, const Tensor& Y) {
    for (Index r = 0; r < exact.rows; ++r)
      for (Index lane = 0; lane < exact.cols; ++lane)
        ASSERT_LE(std::abs(Y.row(r)[lane] - exact.at(r, lane).value), few_eps * exact.at(r, lane).magnitude);
  };
  for_each_pattern([&](const PatternPtr& pattern) {
    const Parameter W = csr_weights(pattern);
    const Tiles tiles({W.rows(), W.cols()}, 2, 32, 17);
    for (int fresh = 0; fresh < 2; ++fresh) {
      Tensor Y({W.rows()}, tiles.X[1].lane_counts()), dX({W.cols()}, tiles.X[1].lane_counts());
      multiply(W, tiles.X[1], Y);
      multiply_transposed(W, tiles.dY[1], dX);
      expect_sums(reference::multiply(W, tiles.X[1]), Y);
      expect_sums(reference::multiply_transposed(W, tiles.dY[1]), dX);
      W.refresh_streams(forward);
      W.refresh_streams(backward);
    }
    const std::vector<Real> G = gradient(W, tiles);
    W.for_each_weight([&](Index r, Index c, Index at) {
      reference::Sum sum;
      for (const auto& [dY, X] : tiles.pairs())
        for (Index lane = 0; lane < X->valid(); ++lane) sum.add(reference::Wide{dY->row(r)[lane]} * X->row(c)[lane]);
      ASSERT_LE(std::abs(G[at] - sum.value), few_eps * sum.magnitude);
    });
  });
}

TEST_F(StreamProducts, NoticeThatValuesChanged) {
  Parameter W = csr_weights(pattern_of(130, 257, Density::tenth));
  const Tiles tiles({130, 257}, 2, 64, 50);
  const Index width = stream_width(64, W.density(), 257);
  for (std::uint64_t seed = 2; seed < 6; ++seed) {
    expect_streams_give_the_bits_of_panels(W, tiles);
    fill_normal(W.value(), W, "weights", seed);
    EXPECT_EQ(W.in_stream(forward, width), nullptr) << "value() made it stale";
    if (seed % 2 == 0) {
      W.refresh_streams(forward);
      EXPECT_NE(W.in_stream(forward, width), nullptr);
    }
  }
}

TEST_F(StreamProducts, NoticeThatThePatternChanged) {
  Parameter W = csr_weights(pattern_of(130, 257, Density::half));
  const Tiles tiles({130, 257}, 2, 64, 50);
  for (const Density density : {Density::tenth, Density::half, Density::one_weight, Density::nothing, Density::full}) {
    expect_streams_give_the_bits_of_panels(W, tiles);
    W.become(pattern_of(130, 257, density, 7), Storage::csr);  // drops some, and grows some, which are zero
    EXPECT_EQ(W.in_stream(forward, stream_width(64, W.density(), 257)), nullptr);
  }
  W.become(W.pattern(), Storage::masked);
  W.refresh_streams(forward);  // of a matrix that has no streams: does nothing
  W.become(pattern_of(130, 257, Density::tenth), Storage::csr);
  const std::vector<Index> rows{0, 5, 9, 100}, columns{1, 2, 3, 250, 256};
  W.select(rows, columns);
  fill_normal(W.value(), W, "weights");
  expect_streams_give_the_bits_of_panels(W, Tiles({4, 5}, 2, 64, 50));
}

TEST_F(StreamProducts, OfACopiedParameterReadItsOwnValues) {
  Parameter W = csr_weights(pattern_of(37, 83, Density::half));
  const Tiles tiles({37, 83}, 1, 64, 64);
  expect_streams_give_the_bits_of_panels(W, tiles);
  Parameter other = W;
  EXPECT_EQ(other.in_stream(forward, stream_width(64, W.density(), 83)), nullptr);
  fill_normal(other.value(), other, "weights", 5);
  expect_streams_give_the_bits_of_panels(other, tiles);
  W = other;
  expect_streams_give_the_bits_of_panels(W, tiles);
  EXPECT_TRUE(products_of(W, tiles, Reading::streams) == products_of(other, tiles, Reading::panels));
}

TEST_F(StreamProducts, AreTheSameOnAnyNumberOfThreadsWhileCopiesAreRefreshed) {
  const Parameter W = csr_weights(pattern_of(130, 257, Density::tenth));
  std::vector<Tiles> batches;
  std::vector<Results> expected;
  for (const Index lanes : {16, 64, 128}) {  // of other widths than the copy
    batches.emplace_back(Extents{130, 257}, 2, lanes, lanes - 1);
    expected.push_back(products_of(W, batches.back(), Reading::panels));
  }
  const ForcedReading forced(Reading::streams);
  std::vector<int> wrong(24, 0);
  for (const int threads : {1, 4}) {
    const Parameter fresh = W;  // has no copies yet
    parallel_for(24, threads, [&](Index i) {
      const auto which = static_cast<std::size_t>(i) % batches.size();
      if (i % 5 == 4) fresh.refresh_streams(i % 2 == 0 ? forward : backward);
      Tensor Y({130}, batches[which].X[0].lane_counts());
      multiply(fresh, batches[which].X[0], Y);
      Tensor again({130}, batches[which].X[0].lane_counts());
      multiply(W, batches[which].X[0], again);
      wrong[static_cast<std::size_t>(i)] += !same_bits(valid_numbers(Y), valid_numbers(again));
      wrong[static_cast<std::size_t>(i)] += !same_bits(gradient(fresh, batches[which]), expected[which].G);
    });
  }
  EXPECT_EQ(wrong, std::vector<int>(24, 0));
}

TEST(Reading, StreamsAreReadOnlyWhereTheyCanBe) {
  for (const std::int64_t target : testing::targets()) {
    const testing::ForcedTarget forced(target);
    EXPECT_FALSE(reads_streams(Pass::forward, 1)) << "one lane has layouts of its own";
    for (const Pass pass : {Pass::forward, Pass::transposed, Pass::outer}) {
      const ForcedReading panels(Reading::panels);
      EXPECT_FALSE(reads_streams(pass, 64));
    }
    const ForcedReading streams(Reading::streams);
    EXPECT_EQ(reads_streams(Pass::forward, 64), kernels::has_streams());
    EXPECT_EQ(kernel_name(csr_weights(pattern_of(37, 83, Density::half)), 64).starts_with("csr streams "),
              kernels::has_streams());
  }
}

}  // namespace
}  // namespace espalier
