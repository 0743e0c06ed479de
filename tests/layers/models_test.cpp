#include "espalier/layers/models.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/layers/builder.h"
#include "support/allocation_counter.h"
#include "support/numbers.h"

namespace espalier {
namespace {

// Fails unless making the model is refused; returns the message.
std::string refusal(const std::string& name, const ModelOptions& options) {
  try {
    make_model(name, options);
  } catch (const UsageError& error) {
    return error.what();
  }
  ADD_FAILURE() << name << ": expected a UsageError";
  return {};
}

TEST(Models, Lenet300100HasItsThreeLayers) {
  const ModulePtr model = make_model("lenet-300-100", {.input = {1, 28, 28}, .outputs = 10});
  const std::vector<Parameter*> parameters = parameters_of(*model);
  std::vector<std::string> names;
  for (const Parameter* parameter : parameters) names.push_back(parameter->name());
  EXPECT_EQ(names, (std::vector<std::string>{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight",
                                             "output.bias"}));
  const Census census = census_of(*model);
  EXPECT_EQ(census.positions, 784 * 300 + 300 * 100 + 100 * 10);
  EXPECT_EQ(census.unprunable, 410);
  EXPECT_EQ(census.parameters(), 266'610);
  EXPECT_EQ(census.density(), 1);
  EXPECT_EQ(model->output_shape({1, 28, 28}), Shape{10});
}

TEST(Models, LenetsTakeImagesOfAnySizeAndAnyNumberOfClasses) {
  for (const char* name : {"lenet-300-100", "lenet-5"})
    for (const Shape& input : {Shape{1, 16, 20}, Shape{3, 32, 32}})
      EXPECT_EQ(make_model(name, {.input = input, .outputs = 62})->output_shape(input), Shape{62}) << name;
  EXPECT_EQ(census_of(*make_model("lenet-300-100", {.input = {1, 16, 20}, .outputs = 62})).positions,
            320 * 300 + 300 * 100 + 100 * 62);
}

struct ImageModelFacts {
  const char* name;
  Shape input;
  Index weights, unprunable;  // by hand, from the papers' tables of layers
};

TEST(Models, OfImagesHaveTheirPapersLayers) {
  const ImageModelFacts all[] = {
      {"lenet-5", {1, 28, 28}, 20 * 25 + 50 * 20 * 25 + 800 * 500 + 500 * 10, 20 + 50 + 500 + 10},
      {"conv-2", {3, 32, 32}, 9 * (3 * 64 + 64 * 64) + 16384 * 256 + 256 * 256 + 256 * 10, 2 * 64 + 2 * 256 + 10},
      {"conv-4",
       {3, 32, 32},
       9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 8192 * 256 + 256 * 256 + 256 * 10,
       2 * 64 + 2 * 128 + 2 * 256 + 10},
      {"conv-6",
       {3, 32, 32},
       9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256) + 4096 * 256 + 256 * 256 + 256 * 10,
       2 * 64 + 2 * 128 + 2 * 256 + 2 * 256 + 10},
      // 19 convolutions and two projections; gamma and beta for each channel they make
      {"resnet-20",
       {3, 32, 32},
       9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64) + 16 * 32 + 32 * 64 + 64 * 10,
       2 * (7 * 16 + 7 * 32 + 7 * 64) + 10},
      {"vgg-small",
       {3, 32, 32},
       9 * (3 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512) + 8192 * 10,
       2 * 2 * (128 + 256 + 512) + 10}};
  for (const ImageModelFacts& facts : all) {
    SCOPED_TRACE(facts.name);
    const ModulePtr model = make_model(facts.name, {.input = facts.input, .outputs = 10});
    const Census census = census_of(*model);
    EXPECT_EQ(census.positions, facts.weights);
    EXPECT_EQ(census.unprunable, facts.unprunable);
    EXPECT_EQ(model->output_shape(facts.input), Shape{10});
    std::set<std::string> names;
    for (const Parameter* parameter : parameters_of(*model)) EXPECT_TRUE(names.insert(parameter->name()).second);
  }
}

TEST(Models, OfImagesTakeOtherImagesAndOtherNumbersOfClasses) {
  const ModulePtr model = make_model("conv-2", {.input = {1, 28, 28}, .outputs = 7});
  EXPECT_EQ(model->output_shape({1, 28, 28}), Shape{7});
  EXPECT_EQ(make_model("resnet-20", {.input = {3, 31, 17}, .outputs = 4})->output_shape({3, 31, 17}), Shape{4});
}

TEST(Models, AnImageThatIsUsedUpOnTheWayIsRefusedWithTheLayerAndTheShapes) {
  const std::string message = refusal("lenet-5", {.input = {1, 8, 8}, .outputs = 10});
  EXPECT_NE(message.find("conv2"), std::string::npos) << message;
  EXPECT_NE(message.find("[20, 2, 2]"), std::string::npos) << message;
  EXPECT_NE(message.find("5 x 5"), std::string::npos) << message;
  EXPECT_NE(refusal("conv-2", {.input = {784}, .outputs = 10}).find("[784]"), std::string::npos);
}

TEST(Models, AnMlpHasReluBetweenItsLayersAndNoneAtTheEnd) {
  const ModulePtr model = make_model("mlp:3-4-2", {.input = {3}, .outputs = 2});
  for (Parameter* parameter : parameters_of(*model))
    for (Real& value : parameter->value()) value = -1;
  Tile tile;
  tile.input = Tensor({3}, {16, 16});
  tile.input.fill(1);
  Tape tape;
  const Var y = model->forward(tape.begin(tile, {}));
  EXPECT_EQ(y.value().row(0)[0], -1) << "hidden units are cut off at zero, the output's bias is not";
}

TEST(Models, BornSparseOnesHaveTheDensityAskedForAndAllocateNothingDense) {
  const ModulePtr model = make_model("mlp:1000-500-10", {.input = {1000}, .outputs = 10, .density = 0.01});
  for (const Parameter* parameter : parameters_of(*model)) {
    if (!parameter->prunable()) continue;
    EXPECT_EQ(parameter->storage(), Storage::csr);
    EXPECT_EQ(parameter->nonzeros(), parameter->positions() / 100);
    EXPECT_EQ(static_cast<Index>(parameter->value().size()), parameter->nonzeros());
  }
  EXPECT_NEAR(census_of(*model).density(), 0.01, 1e-9);
}

TEST(Models, TheSeedDecidesWeightsAndPatterns) {
  const auto weights = [](std::uint64_t seed, double density) {
    const ModulePtr model =
        make_model("mlp:30-20-10", {.input = {30}, .outputs = 10, .seed = seed, .density = density});
    const Parameter& W = *parameters_of(*model)[0];
    return std::vector<Real>(W.value().begin(), W.value().end());
  };
  for (const double density : {1.0, 0.3}) {
    EXPECT_EQ(weights(1, density), weights(1, density));
    EXPECT_NE(weights(1, density), weights(2, density));
  }
}

struct TableModelFacts {
  const char* name;
  Index weights, unprunable;
  std::vector<std::string> parameters;
};

TEST(Models, ForTablesTakeInputsAndOutputsFromTheData) {
  const TableModelFacts all[] = {
      {"linear", 5 * 2, 2, {"output.weight", "output.bias"}},
      {"tabular:6-4",
       5 * 6 + 6 * 4 + 4 * 2,
       6 + 4 + 2,
       {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight", "output.bias"}},
      {"tabular:6+dropout=0.1+norm",
       5 * 6 + 6 * 2,
       2 * 6 + 2,
       {"fc1.weight", "fc1.norm.gamma", "fc1.norm.beta", "output.weight", "output.bias"}},
      {"tabular-resnet:4x1",
       5 * 4 + 2 * 4 * 8 + 4 * 2,
       4 + 2 * 4 + 8 + 4 + 2 * 4 + 2,
       {"input.weight", "input.bias", "block1.norm.gamma", "block1.norm.beta", "block1.fc1.weight", "block1.fc1.bias",
        "block1.fc2.weight", "block1.fc2.bias", "norm.gamma", "norm.beta", "output.weight", "output.bias"}},
      {"tabular-resnet:4x2+norm", 5 * 4 + 4 * 4 * 8 + 4 * 2, 4 + 2 * (2 * 4 + 2 * 8 + 4) + 2 * 4 + 2, {}}};
  for (const TableModelFacts& facts : all) {
    SCOPED_TRACE(facts.name);
    const ModulePtr model = make_model(facts.name, {.input = {5}, .outputs = 2});
    const Census census = census_of(*model);
    EXPECT_EQ(census.positions, facts.weights);
    EXPECT_EQ(census.unprunable, facts.unprunable);
    EXPECT_EQ(model->output_shape({5}), Shape{2});
    std::vector<std::string> names;
    for (const Parameter* parameter : parameters_of(*model)) names.push_back(parameter->name());
    if (!facts.parameters.empty()) {
      EXPECT_EQ(names, facts.parameters);
    }
    EXPECT_NO_THROW(model_profile(facts.name));
  }
}

TEST(Models, ForTablesHaveSuffixesThatMeanSomething) {
  for (const char* name :
       {"tabular:", "tabular:8-", "tabular:0", "tabular:8x2", "tabular:8+", "tabular:8+norm+norm", "tabular:8+dropout",
        "tabular:8+dropout=1", "tabular:8+dropout=-0.1", "tabular:8+dropout=nan", "tabular:8+dropout=0.1x",
        "tabular:8+dropout=0.1+dropout=0.1", "tabular:8+batchnorm", "tabular-resnet:8", "tabular-resnet:8-2",
        "tabular-resnet:8x0", "tabular-resnet:8x2x2", "tabular-resnet:8x99999", "tabular-resnet:8x2+norm+norm"}) {
    EXPECT_NE(refusal(name, {.input = {5}, .outputs = 2}).find(name), std::string::npos) << name;
    EXPECT_THROW(model_profile(name), UsageError) << name << ", without data";
  }
  EXPECT_NE(refusal("linear:5", {.input = {5}, .outputs = 2}).find("linear:5"), std::string::npos);
  EXPECT_NE(refusal("tabular:8", {.input = {5}, .outputs = 0}).find("at least 1"), std::string::npos);
}

TEST(Models, AreNamedAnewWithOtherExtents) {
  EXPECT_EQ(with_extents("tabular:256-128+norm+dropout=0.1", {14, 25, 12, 2}), "tabular:25-12+norm+dropout=0.1");
  EXPECT_EQ(with_extents("lenet-300-100", {784, 30, 10, 10}), "mlp:784-30-10-10");
  EXPECT_THROW(with_extents("tabular-resnet:8x2", {5, 4, 4, 2}), UsageError);
}

TEST(Models, WhatDataTheyWereMadeForIsKnownWithoutData) {
  EXPECT_EQ(model_profile("lenet-300-100").input, Shape{784});
  EXPECT_EQ(model_profile("mlp:784-1024-1024-10").outputs, 10);
  EXPECT_EQ(model_profile("mlp:3-2").input, Shape{3});
  EXPECT_EQ(model_profile("mlp:3-2").outputs, 2);
  EXPECT_EQ(model_profile("conv-4").input, (Shape{3, 32, 32}));
  for (const char* name : {"cnn-1d", "gru:64"}) {
    EXPECT_TRUE(model_profile(name).sequences) << name;
    EXPECT_EQ(model_profile(name).input.rank(), 2) << name;
  }
}

TEST(Models, ThoseOfSequencesTakeAnyStepsFeaturesAndOutputs) {
  for (const char* name : {"cnn-1d", "gru:5", "attention:6x2x1"})
    for (const Shape& input : {Shape{1, 1}, Shape{64, 3}, Shape{17, 20}})
      EXPECT_EQ(make_model(name, {.input = input, .outputs = 4})->output_shape(input), Shape{4}) << name;
  const ModulePtr model = make_model("gru:64", {.input = {64, 3}, .outputs = 8}),
                  sparse = make_model("gru:64", {.input = {64, 3}, .outputs = 8, .density = 0.1});
  EXPECT_EQ(census_of(*model).positions, 3 * 64 * 3 + 3 * 64 * 64 + 8 * 64);
  EXPECT_EQ(census_of(*model).unprunable, 2 * 3 * 64 + 8);
  EXPECT_NEAR(census_of(*sparse).density(), 0.1, 0.001) << "both matrices are born sparse";
  const ModulePtr cnn = make_model("cnn-1d", {.input = {64, 3}, .outputs = 8});
  EXPECT_EQ(census_of(*cnn).positions, 32 * 27 + 64 * 160 + 64 * 320 + 8 * 512);
}

TEST(Models, ThoseThatAttendAreBlocksOfFourMatricesAndAHiddenLayer) {
  constexpr const char* name = "attention:32x4x2";
  const ModulePtr model = make_model(name, {.input = {64, 3}, .outputs = 8}),
                  sparse = make_model(name, {.input = {64, 3}, .outputs = 8, .density = 0.1});
  EXPECT_EQ(census_of(*model).positions, 32 * 3 + 2 * (4 * 32 * 32 + 2 * 32 * 128) + 8 * 32);
  EXPECT_EQ(census_of(*model).unprunable, 32 + 64 * 32 + 2 * (4 * 32 + 128 + 32 + 4 * 32) + 2 * 32 + 8);
  EXPECT_NEAR(census_of(*sparse).density(), 0.1, 0.001) << "all matrices are born sparse";
  const ModulePtr of_tokens = make_model("attention:32x4x1+tokens=100", {.input = {7}, .outputs = 5});
  EXPECT_EQ(of_tokens->output_shape({7}), Shape{5});
  EXPECT_EQ(census_of(*of_tokens).positions, 32 * 100 + 4 * 32 * 32 + 2 * 32 * 128 + 5 * 32);
}

TEST(Models, NamesOfThoseThatAttendSayFeaturesHeadsAndBlocks) {
  for (const char* name : {"attention:", "attention:64", "attention:64x4", "attention:64x5x2", "attention:64x0x2",
                           "attention:64x4x1001", "attention:64x4x2+words=3", "attention:64x4x2+tokens=0"})
    EXPECT_NE(refusal(name, {.input = {64, 3}, .outputs = 8}).find(name), std::string::npos);
  EXPECT_NE(refusal("attention:8x2x1+tokens=9", {.input = {64, 3}, .outputs = 8}).find("[64, 3]"), std::string::npos);
}

TEST(Models, SequencesAreWhatModelsOfSequencesWant) {
  for (const char* name : {"cnn-1d", "gru:64", "attention:8x2x1"})
    EXPECT_NE(refusal(name, {.input = {1, 28, 28}, .outputs = 10}).find("[1, 28, 28]"), std::string::npos) << name;
  for (const char* name : {"gru:", "gru:0", "gru:-3", "gru:64x", "gru:1e3", "gru:99999999999999999999"})
    EXPECT_NE(refusal(name, {.input = {64, 3}, .outputs = 8}).find(name), std::string::npos);
  EXPECT_NE(refusal("gru:1000000", {.input = {64, 3}, .outputs = 8}).find("GB"), std::string::npos);
}

TEST(Models, PreparedForLatencyAnswersAsBefore) {
  const ModulePtr model = make_model("mlp:200-130-3", {.input = {200}, .outputs = 3, .density = 0.3});
  Tile one;
  one.input = testing::normal_tensor({200}, {1, 1}, "X");
  const auto answer = [&] {
    Tape tape;
    return testing::valid_numbers(model->forward(tape.begin(one, {.mode = Mode::inference})).value());
  };
  const std::vector<Real> before = answer();
  prepare_for_latency(*model);
  std::size_t packed = 0;
  for (const Parameter* parameter : parameters_of(*model)) packed += !parameter->packed().empty();
  EXPECT_EQ(packed, kernels::has_slices() ? 1u : 0u) << "the large weight; three rows are too few, biases are dense";
  testing::expect_close(answer(), before, 100 * testing::epsilon, "answers");
}

TEST(Models, AnUnknownNameIsRefusedWithTheKnownOnes) {
  const std::string message = refusal("lenet5000", {.input = {784}, .outputs = 10});
  for (const std::string& known : known_models()) EXPECT_NE(message.find(known), std::string::npos) << message;
  EXPECT_NE(message.find("lenet5000"), std::string::npos) << message;
}

TEST(Models, EachFamilyMatchesTheNamesOfItsFormAndSaysWhatItIs) {
  for (const ModelFamily& family : models().entries()) {
    EXPECT_TRUE(family.matches(family.form)) << family.name;
    EXPECT_EQ(&model_family(family.form), &family) << "another family has taken " << family.form;
    EXPECT_FALSE(family.line.empty()) << family.name;
  }
}

TEST(Models, ProfilesAndModelsAgreeOnTheDataTheyWereMadeFor) {
  for (const char* name : {"lenet-300-100", "lenet-5", "conv-2", "resnet-20", "vgg-small", "mlp:7-5-3", "linear",
                           "tabular:8", "tabular-resnet:8x2", "cnn-1d", "gru:8", "attention:8x2x1"}) {
    const ModelProfile profile = model_profile(name);
    EXPECT_EQ(make_model(name, {.input = profile.input, .outputs = profile.outputs})->output_shape(profile.input),
              Shape{profile.outputs})
        << name;
    EXPECT_EQ(profile.images, profile.input.rank() == 3) << name;
    EXPECT_EQ(profile.sequences, profile.input.rank() == 2) << name;
  }
  for (const char* name : {"lenet-300-100", "mlp:7-5-3", "linear", "tabular:8"})
    EXPECT_TRUE(model_profile(name).chain) << name;
  for (const char* name : {"lenet-5", "tabular-resnet:8x2", "gru:8"}) EXPECT_FALSE(model_profile(name).chain) << name;
}

// Two hidden units. "narrow:3" and "narrow:3+..." of any text.
void add_narrow(const std::string& prefix) {
  if (models().find(prefix)) return;  // if the test is repeated
  models().add({.name = prefix,
                .form = prefix + "OUTPUTS",
                .line = "two hidden units, for a test",
                .profile =
                    [prefix](const std::string& name) {
                      return ModelProfile{.input = {6}, .outputs = number_in(behind(prefix, name), name, 9, "a digit")};
                    },
                .make =
                    [](const std::string& name, const ModelOptions& options) {
                      return Builder(name, options).linear("fc1", 2).linear("output", options.outputs).done();
                    }});
}

TEST(Models, AFamilyFromOutsideTheTreeIsMadeByNameAndLeavesTheOthersWhereTheyAre) {
  const ModelFamily* const mlp_before = &model_family("mlp:3-2");
  add_narrow("narrow:");
  EXPECT_EQ(&model_family("mlp:3-2"), mlp_before);
  EXPECT_EQ(model_profile("narrow:4").outputs, 4);
  EXPECT_EQ(census_of(*make_model("narrow:4", {.input = {6}, .outputs = 4})).positions, 6 * 2 + 2 * 4);
  EXPECT_THROW(model_profile("narrow:44"), UsageError);
  EXPECT_NE(refusal("wide:4", {.input = {6}, .outputs = 4}).find("narrow:OUTPUTS"), std::string::npos);
  EXPECT_THROW(models().add({.name = "lenet-5"}), UsageError);
}

TEST(Models, OfSeveralFamiliesTheOneWithTheLongestNameIsMeant) {
  add_narrow("narrow:");
  add_narrow("narrow:very:");
  EXPECT_EQ(model_family("narrow:very:3").name, "narrow:very:");
  EXPECT_EQ(model_family("narrow:3").name, "narrow:");
}

TEST(Models, MalformedExtentsAreRefused) {
  for (const char* name :
       {"mlp:", "mlp:784", "mlp:784-", "mlp:-784-10", "mlp:784--10", "mlp:784-0-10", "mlp:784-1e3-10", "mlp:784x10",
        "mlp:784-10 ", "mlp:99999999999999999999-10", "mlp:784-4294967296-10"})
    EXPECT_NE(refusal(name, {.input = {784}, .outputs = 10}).find(name), std::string::npos);
}

TEST(Models, AMisfitWithTheDataNamesBothSides) {
  const std::string inputs = refusal("mlp:783-10", {.input = {1, 28, 28}, .outputs = 10});
  EXPECT_NE(inputs.find("783"), std::string::npos) << inputs;
  EXPECT_NE(inputs.find("[1, 28, 28]"), std::string::npos) << inputs;
  const std::string outputs = refusal("mlp:784-10", {.input = {784}, .outputs = 7});
  EXPECT_NE(outputs.find("10"), std::string::npos) << outputs;
  EXPECT_NE(outputs.find("7"), std::string::npos) << outputs;
}

TEST(Models, AbsurdSizesAreRefusedBeforeAnythingLargeIsAllocated) {
  known_models();  // the catalogue itself is allocated here
  // Sparse, the weights would fit; the beginnings of 2 billion rows do not.
  for (const double density : {1.0, 0.5, 1e-6, 1e-12}) {
    const std::uint64_t before = testing::allocations_so_far();
    const std::string message = refusal("mlp:784-2000000000-10", {.input = {784}, .outputs = 10, .density = density});
    EXPECT_NE(message.find("GB"), std::string::npos) << message;
    EXPECT_LT(testing::allocations_so_far() - before, 100u);
  }
  for (const char* name : {"tabular:784-2000000000", "tabular-resnet:2000000000x1000"}) {
    const std::uint64_t before = testing::allocations_so_far();
    EXPECT_NE(refusal(name, {.input = {784}, .outputs = 10}).find("GB"), std::string::npos) << name;
    EXPECT_LT(testing::allocations_so_far() - before, 100u);
  }
}

TEST(Models, ADensityIsAboveZeroAndAtMostOne) {
  for (const double density : {0.0, -0.5, 1.5, std::numeric_limits<double>::quiet_NaN()})
    refusal("mlp:30-10", {.input = {30}, .outputs = 10, .density = density});
}

}  // namespace
}  // namespace espalier
