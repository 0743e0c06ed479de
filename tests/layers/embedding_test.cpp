// What a lookup table promises besides the contract.
#include "espalier/layers/embedding.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "support/batch_pass.h"

namespace espalier {
namespace {

// Three samples of two tokens, in the first lanes; NaN in all others.
Tile tokens(const std::vector<std::vector<Real>>& samples) {
  Tile tile;
  const auto steps = static_cast<Index>(samples[0].size());
  tile.input = Tensor({steps}, {16, static_cast<Index>(samples.size())});
  tile.input.fill(testing::nan);
  for (std::size_t lane = 0; lane < samples.size(); ++lane)
    for (Index t = 0; t < steps; ++t) tile.input.row(t)[lane] = samples[lane][t];
  return tile;
}

TEST(Embedding, EveryStepIsItsTokensColumnAndOnlyColumnsThatOccurredHaveAGradient) {
  Embedding layer({.vocabulary = 7, .features = 3}, 1);
  const Parameter& W = *parameters_of(layer)[0];
  const std::vector<std::vector<Real>> samples{{4, 0}, {4, 4}, {6, 0}};
  const std::vector<Tile> tiles{tokens(samples)};
  const testing::Pass pass = testing::run_batch(layer, tiles, {.poison = true});
  for (std::size_t sample = 0; sample < 3; ++sample)
    for (Index t = 0; t < 2; ++t)
      for (Index j = 0; j < 3; ++j)
        EXPECT_EQ(pass.output[sample][t * 3 + j], W.value()[j * 7 + static_cast<Index>(samples[sample][t])]);
  // The loss is the sum over outputs of c[sample, output] y[output].
  std::vector<Real> expected(21, 0);
  for (Index sample = 0; sample < 3; ++sample)
    for (Index o = 0; o < 6; ++o)
      expected[o % 3 * 7 + static_cast<Index>(samples[sample][o / 3])] += testing::functional_weight(sample, o);
  testing::expect_close(expected, pass.gradient[0], 8 * testing::epsilon, "dW");
  EXPECT_EQ(pass.forward.executed, 0u);
}

TEST(Embedding, AValidLaneWithNoTokenIsAUsageErrorThatNamesLayerAndNumber) {
  const Embedding layer({.name = "words", .vocabulary = 5, .features = 2}, 1);
  const auto message = [&](Real number) {
    const Tile tile = tokens({{1, 2}, {3, number}});
    Tape tape;
    try {
      layer.forward(tape.begin(tile, {}));
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string("nothing thrown");
  };
  EXPECT_EQ(message(5), "[embedding] words.weight: expected tokens 0 to 4, got 5 at step 1");
  EXPECT_EQ(message(-1), "[embedding] words.weight: expected tokens 0 to 4, got -1 at step 1");
  EXPECT_EQ(message(1.5), "[embedding] words.weight: expected tokens 0 to 4, got 1.5 at step 1");
  EXPECT_EQ(message(testing::nan), "[embedding] words.weight: expected tokens 0 to 4, got nan at step 1");
  EXPECT_EQ(message(4), "nothing thrown");
}

TEST(Embedding, RefusesAVocabularyThatFloatsCannotCount) {
  EXPECT_THROW(Embedding({.vocabulary = (1 << 24) + 1, .features = 1, .pattern = Pattern::from_positions(1, 1, {})}, 1),
               UsageError);
  EXPECT_THROW(Embedding({.vocabulary = 3, .features = 2, .pattern = Pattern::full(3, 2)}, 1), UsageError);
}

}  // namespace
}  // namespace espalier
