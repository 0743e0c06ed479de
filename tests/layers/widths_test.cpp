#include "espalier/layers/widths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <ostream>
#include <string>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/models.h"
#include "espalier/layers/sequential.h"
#include "support/narrowing.h"
#include "support/two_matrices.h"

namespace espalier {
namespace {

using testing::with_numbers_everywhere;

// --- every model of the zoo ------------------------------------------------------------------------------------------

struct ZooCase {
  std::string model;
  Shape input;  // reduced: enough for every layer to have something to do
  Index tokens = 0;
  // Dropout draws by the places of units, which are others when some are gone.
  Mode mode = Mode::training;
};

std::ostream& operator<<(std::ostream& out, const ZooCase& row) {
  return out << row.model;
}

const std::vector<ZooCase> zoo_cases{
    {.model = "lenet-300-100", .input = {1, 6, 6}},
    {.model = "mlp:12-9-7-5", .input = {12}},
    {.model = "lenet-5", .input = {1, 16, 16}},
    {.model = "conv-2", .input = {3, 6, 6}},
    {.model = "conv-4", .input = {3, 4, 4}},
    {.model = "conv-6", .input = {3, 8, 8}},
    {.model = "resnet-20", .input = {3, 8, 8}},
    {.model = "vgg-small", .input = {3, 8, 8}},
    {.model = "linear", .input = {9}},
    {.model = "tabular:9-7", .input = {8}},
    {.model = "tabular:9-7+norm+dropout=0.2", .input = {8}, .mode = Mode::evaluation},
    {.model = "tabular-resnet:6x3", .input = {5}},
    {.model = "cnn-1d", .input = {24, 3}},
    {.model = "gru:9", .input = {7, 3}},
    {.model = "attention:12x4x2", .input = {4, 3}},
    {.model = "attention:12x3x2+tokens=11", .input = {5}, .tokens = 11},
    {.model = "average:3xtabular:6-5", .input = {7}},
};

class EveryModel : public ::testing::TestWithParam<ZooCase> {
 protected:
  ModulePtr made() const {
    return with_numbers_everywhere(make_model(GetParam().model, {.input = GetParam().input, .outputs = outputs}));
  }
  std::vector<Tile> tiles(Index samples, Index lanes) const {
    std::vector<Tile> made = testing::make_tiles(GetParam().input, samples, lanes);
    for (Tile& tile : made)
      for (Index i = 0; GetParam().tokens > 0 && i < tile.input.features(); ++i)
        for (Index lane = 0; lane < tile.input.lanes(); ++lane)
          tile.input.row(i)[lane] = static_cast<Real>(
              std::min(GetParam().tokens - 1, static_cast<Index>(std::abs(tile.input.row(i)[lane]) * 5)));
    return made;
  }
  // How many groups to take out: 20, or so many as ESPALIER_GROUPS says, 20 at a time.
  static Index groups() {
    const char* asked = std::getenv("ESPALIER_GROUPS");
    return asked ? std::atoll(asked) : 20;
  }
  static constexpr Index outputs = 5;
};

TEST(Zoo, HasARowHereForEveryFamilyOfModels) {
  for (const ModelFamily& family : models().entries()) {
    if (family.name.starts_with("narrow:")) continue;  // models_test.cpp adds them to the catalogue
    EXPECT_TRUE(std::ranges::any_of(zoo_cases, [&](const ZooCase& row) { return family.matches(row.model); }))
        << family.name;
  }
}

TEST_P(EveryModel, ComputesWithoutGroupsWhatItComputesWithThemMasked_2) {
  constexpr Index at_once = 20, samples = 13, lanes = 16;
  constexpr Real relative = static_cast<Real>(1e-5);
  const std::vector<Tile> batch = tiles(samples, lanes);
  for (Index done = 0; done < groups() && !HasFatalFailure(); done += at_once)
    testing::expect_masked_equals_narrow([&] { return made(); }, GetParam().input, batch, GetParam().mode, at_once,
                                         Random(static_cast<std::uint64_t>(done), "groups"), relative);
}

TEST_P(EveryModel, HasEachRowAndColumnInOneGroupAndEqualGroups_1_3) {
  const ModulePtr model = made();
  std::map<std::pair<std::string, bool>, int> seen;
  for (const Width& width : widths_of(*model, GetParam().input)) {
    EXPECT_GE(width.groups, 1);
    EXPECT_FALSE(width.name.empty());
    for (const Place& place : width.places) {
      if (place.of == Place::Of::rows || place.of == Place::Of::columns) {
        EXPECT_EQ(++seen[std::pair(place.name, place.of == Place::Of::rows)], 1) << place.name;
      }
      for (Index g = 0; width.fixed.empty() && g < width.groups; ++g) {
        EXPECT_EQ(std::ssize(place.indices_of(g)) * width.groups, std::ssize(place.group)) << width.name;
      }
    }
  }
  // Of every matrix it is said what its rows and columns stand for.
  model->visit_parameters([&](const Parameter& W) {
    if (!W.prunable()) return;
    EXPECT_EQ((seen[std::pair(W.name(), true)]), 1) << W.name();
    if (!W.name().starts_with("embedding")) {
      EXPECT_EQ((seen[std::pair(W.name(), false)]), 1) << W.name();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryModel, ::testing::ValuesIn(zoo_cases), [](const auto& row) {
  std::string name;
  for (const char c : row.param.model) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

// --- what is coupled -------------------------------------------------------------------------------------------------

std::vector<std::string> names(const std::vector<Width>& widths, bool fixed) {
  std::vector<std::string> found;
  for (const Width& width : widths)
    if (width.fixed.empty() != fixed) found.push_back(fmt::format("{} {}", width.name, width.groups));
  return found;
}
using Names = std::vector<std::string>;

TEST(Widths, OfAChainAreItsHiddenLayers) {
  const auto widths = widths_of(*make_model("mlp:6-5-4-3", {.input = {6}, .outputs = 3}), {6});
  EXPECT_EQ(names(widths, false), (Names{"fc1 5", "fc2 4"}));
  EXPECT_EQ(text_of(width_named(widths, "fc1"), 3),
            "  fc1.weight  row 3                     makes it\n"
            "  fc1.bias    row 3                     is added to it\n"
            "  fc2.weight  column 3                  reads it\n");
}

TEST(Widths, OfAResidualNetworkAreItsStagesAndTheInsidesOfItsBlocks) {
  const auto widths = widths_of(*make_model("resnet-20", {.input = {3, 8, 8}, .outputs = 10}), {3, 8, 8});
  const Names found = names(widths, false);
  EXPECT_EQ(std::ssize(found), 3 + 9) << "three stages that add up, and between the two convolutions of nine blocks";
  EXPECT_EQ(found[0], "conv1 16");
  EXPECT_EQ(std::ranges::count(found, "stage2.block1.conv2 32"), 1);
  EXPECT_EQ(std::ranges::count(found, "stage3.block2.conv1 64"), 1);
}

TEST(Widths, OfAttentionAreHeadsAndWhatALayerNormalisationTakesTogetherIsFixed) {
  const auto widths = widths_of(*make_model("attention:12x4x1", {.input = {3, 5}, .outputs = 2}), {3, 5});
  EXPECT_EQ(names(widths, false), (Names{"block1.attention.query 4", "block1.fc1 48"}));
  EXPECT_EQ(text_of(width_named(widths, "block1.attention.query"), 1),
            "  block1.attention.query.weight   rows 3-5                  makes it\n"
            "  block1.attention.query.bias     rows 3-5                  is added to it\n"
            "  block1.attention.key.weight     rows 3-5                  makes it\n"
            "  block1.attention.key.bias       rows 3-5                  is added to it\n"
            "  block1.attention.value.weight   rows 3-5                  makes it\n"
            "  block1.attention.value.bias     rows 3-5                  is added to it\n"
            "  block1.attention.output.weight  columns 3-5               reads it\n");
  EXPECT_EQ(width_named(widths, "input").fixed, "layer_norm takes all of them together");
}

TEST(Widths, AUnitOfARecurrentLayerIsARowOfEachGate) {
  const auto widths = widths_of(*make_model("gru:4", {.input = {3, 2}, .outputs = 2}), {3, 2});
  EXPECT_EQ(text_of(width_named(widths, "gru.input"), 2),
            "  gru.input.weight   rows 2, 6, 10             makes it\n"
            "  gru.input.bias     rows 2, 6, 10             is added to it\n"
            "  gru.hidden.weight  rows 2, 6, 10             makes it\n"
            "  gru.hidden.weight  column 2                  reads it\n"
            "  gru.hidden.bias    rows 2, 6, 10             is added to it\n"
            "  output.weight      column 2                  reads it\n");
}

TEST(Widths, OfGroupedConvolutionsTheSameChannelOfEachGroupGoes) {
  Sequential model;
  model.add<Conv2d>(Conv2dOptions{.name = "a", .in = 1, .out = 4}, 1)
      .add<Conv2d>(Conv2dOptions{.name = "b",
                                 .in = 4,
                                 .out = 6,
                                 .window = {.kernel_height = 3, .kernel_width = 3, .groups = 2},
                                 .bias = false},
                   1)
      .add<BatchNorm>(BatchNormOptions{.name = "norm", .channels = 6})
      .add<Linear>(LinearOptions{.name = "out", .in = 6 * 16, .out = 2}, 1);
  const auto widths = widths_of(model, {1, 6, 6});
  EXPECT_EQ(names(widths, false), (Names{"a 2", "b 3"}));
  const Width& b = width_named(widths, "b");
  EXPECT_EQ(text_of(b, 1),
            "  b.weight               rows 1, 4                 makes it\n"
            "  norm.gamma             rows 1, 4                 scales it\n"
            "  norm.beta              rows 1, 4                 is added to it\n"
            "  norm.running_mean      numbers 1, 4              is known of it\n"
            "  norm.running_variance  numbers 1, 4              is known of it\n"
            "  out.weight             columns 16-31, 64-79      reads it\n");
}

TEST(Widths, ALayerCanSayWhatIsTiedInsideIt) {
  Sequential model;
  model.add<testing::TwoMatrices>(4, 3, 5, 1).add<Linear>(LinearOptions{.name = "out", .in = 5, .out = 2}, 1);
  const auto widths = widths_of(model, {4});
  EXPECT_EQ(names(widths, false), (Names{"U 5", "W 3"}));
}

TEST(Widths, RefusesToCutALayerOrWhatIsFixedAndNamesIt_4) {
  const auto message = [](const std::string& width, std::vector<Index> stay) -> std::string {
    const ModulePtr model = make_model("attention:4x2x1", {.input = {3, 5}, .outputs = 2});
    const auto widths = widths_of(*model, {3, 5});
    Kept kept = all_of(widths);
    kept[&width_named(widths, width) - widths.data()] = std::move(stay);
    try {
      narrow(*model, widths, kept);
    } catch (const UsageError& error) {
      EXPECT_EQ(census_of(*model).positions,
                census_of(*make_model("attention:4x2x1", {.input = {3, 5}, .outputs = 2})).positions)
          << "the model is as it was";
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(message("block1.fc1", {}),
            "[narrow] block1.fc1: expected at least 1 of its 16 to stay, got none: the layer would be cut");
  EXPECT_EQ(message("output", {0}),
            "[narrow] output: expected all of its 2 to stay, for they are the network's outputs");
  EXPECT_EQ(message("block1.fc1", {3, 1}), "[narrow] block1.fc1: expected ascending groups below 16, got 1");
  EXPECT_EQ(message("block1.fc1", {7}), "none");
}

TEST(Widths, TakeTheirOptimizerSlotsAndPatternsWithThem) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr model = make_model("mlp:3-4-2", {.input = {3}, .outputs = 2});
    Parameter& W = *parameters_of(*model)[0];
    if (storage != Storage::dense) W.become(Pattern::make(4, 3, {0, 1, 2, 4, 5}, {0, 1, 0, 2, 2}), storage);
    W.add_slot("momentum");
    W.for_each_weight([&](Index r, Index c, Index at) { W.slot("momentum")[at] = static_cast<Real>(10 * r + c); });
    const auto widths = widths_of(*model, {3});
    Kept kept = all_of(widths);
    kept[&width_named(widths, "fc1") - widths.data()] = {1, 2};
    narrow(*model, widths, kept);
    EXPECT_EQ(W.rows(), 2);
    EXPECT_EQ(W.storage(), storage);
    W.for_each_weight(
        [&](Index r, Index c, Index at) { EXPECT_EQ(W.slot("momentum")[at], static_cast<Real>(10 * (r + 1) + c)); });
    EXPECT_EQ(W.nonzeros(), storage == Storage::dense ? 6 : 3);
  }
}

}  // namespace
}  // namespace espalier
