// The tool as its users meet it: words in, files and an exit code out.
#include "support/tool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_text.h"
#include "espalier/datasets/text.h"
#include "espalier/experiment/baselines.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::megabyte;
using testing::Ran;
using testing::tool;

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count(text, '\n'));
}

const std::string quick = "train --data synthetic-digits --epochs 2 --batch 128 --interval 20 --density 0.1 ";

TEST(Tool, LeavesARunFolderWhoseResultHasEveryDocumentedKey) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "run";
  const Ran ran = tool(quick + "--json --out " + out.string());
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  for (const char* key :
       {"dataset", "model", "method", "seed", "threads", "lanes", "epochs", "dense", "sparse", "ratios", "layers"})
    EXPECT_TRUE(result.contains(key)) << key;
  for (const char* side : {"dense", "sparse"})
    for (const char* key : {"test_accuracy", "parameters", "forward_flops", "file_bytes", "train_step_seconds",
                            "train_seconds", "inference_seconds", "latency_seconds"})
      EXPECT_TRUE(result[side].contains(key)) << side << "." << key;
  for (const char* key : {"nonzeros", "density", "effective_nonzeros", "forward_flops_executed", "forward_flops_useful",
                          "train_flops_executed", "removed_units"})
    EXPECT_TRUE(result["sparse"].contains(key)) << key;
  for (const char* key : {"parameters", "forward_flops", "file_bytes", "train_step", "inference", "latency"})
    EXPECT_TRUE(result["ratios"].contains(key)) << key;
  for (const char* key : {"name", "shape", "density", "storage", "kernel", "forward_flops_executed", "seconds"})
    EXPECT_TRUE(result["layers"][0].contains(key)) << key;

  EXPECT_EQ(result["sparse"]["nonzeros"], std::llround(0.1 * 266200) + 410);
  EXPECT_GT(result["sparse"]["test_accuracy"], 0.9);
  EXPECT_EQ(result["sparse"]["file_bytes"], std::filesystem::file_size(out / "model.safetensors"));
  EXPECT_EQ(nlohmann::json::parse(read_file(out / "result.json", megabyte)), result);
  for (const auto& entry : std::filesystem::directory_iterator(out))
    EXPECT_FALSE(entry.path().filename().string().starts_with("checkpoint")) << entry.path();
  std::istringstream metrics(read_file(out / "metrics.jsonl", megabyte));
  std::size_t epochs = 0, prunings = 0;
  for (std::string line; std::getline(metrics, line);) {
    const auto entry = nlohmann::json::parse(line);
    epochs += entry.contains("epoch");
    prunings += entry.contains("pruned_at_step");
  }
  EXPECT_EQ(epochs, 4u);
  EXPECT_GE(prunings, 3u);

  // The file gives back the network that was measured.
  const ModulePtr model = make_model("lenet-300-100", {.input = {1, 28, 28}, .outputs = 10, .seed = 9});
  load_model(*model, out / "model.safetensors");
  EXPECT_EQ(census_of(*model).nonzeros(), result["sparse"]["nonzeros"]);
}

TEST(Tool, RunsAgainFromItsOwnConfigToTheSameBitsOnAnotherNumberOfThreads) {
  const testing::TemporaryFolder folder;
  const std::string first = (folder.path() / "first").string(), second = (folder.path() / "second").string();
  ASSERT_EQ(tool(quick + "--no-dense --optimizer adamw --rate 0.002 --seed 7 --threads 2 --out " + first).code,
            exit_done);
  ASSERT_EQ(tool("train --no-dense --threads 3 --config " + first + "/config.toml --out " + second).code, exit_done);
  EXPECT_EQ(read_file(first + "/model.safetensors", megabyte), read_file(second + "/model.safetensors", megabyte));
}

TEST(Tool, RunsAConvolutionalNetAgainToTheSameBitsOnAnotherNumberOfThreads) {
  const testing::TemporaryFolder folder;
  const std::string first = (folder.path() / "first").string(), second = (folder.path() / "second").string();
  ASSERT_EQ(tool("train --data synthetic-digits --model lenet-5 --epochs 1 --rate 0.01 --no-dense --seed 7 --threads 1 "
                 "--out " +
                 first)
                .code,
            exit_done);
  ASSERT_EQ(tool("train --no-dense --threads 3 --config " + first + "/config.toml --out " + second).code, exit_done);
  EXPECT_EQ(read_file(first + "/model.safetensors", megabyte), read_file(second + "/model.safetensors", megabyte));
  const auto result = nlohmann::json::parse(read_file(first + "/result.json", megabyte));
  EXPECT_EQ(result["lanes"], 16);
  EXPECT_GT(result["sparse"]["test_accuracy"].get<double>(), 0.5);
  ASSERT_EQ(result["layers"].size(), 4u);
  EXPECT_EQ(result["layers"][1]["name"], "conv2.weight");
  EXPECT_GT(result["layers"][1]["forward_flops_executed"].get<double>(), 0);
}

TEST(Tool, LeavesASeedAndAMaskOfANetworkWhoseWeightsWereNeverTrained) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "run";
  const Ran ran =
      tool("train --data synthetic-digits --method edge-popup --epochs 1 --no-dense --json --out " + out.string());
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  EXPECT_EQ(result["density"], 0.5);
  EXPECT_EQ(result["sparse"]["nonzeros"], 133'100 + 410);
  EXPECT_GT(result["sparse"]["test_accuracy"].get<double>(), 0.5);
  for (const auto& layer : result["layers"]) EXPECT_EQ(layer["file_form"], "seed+bitmap");
  const double entropy = result["sparse"]["mask_entropy_bytes"], bytes = result["sparse"]["file_bytes"];
  EXPECT_EQ(entropy, 266'200.0 / 8);  // a bit per position
  EXPECT_EQ(bytes, static_cast<double>(std::filesystem::file_size(out / "model.safetensors")));
  EXPECT_LT(bytes, 1.05 * entropy);

  const ModulePtr model = make_model("lenet-300-100", {.input = {1, 28, 28}, .outputs = 10, .seed = 9});
  load_model(*model, out / "model.safetensors");
  EXPECT_EQ(census_of(*model).live, 133'100);
}

// Stops the tool before the given step (counted over dense twin and sparse network), lets it go on, and compares with
// a run without an interruption.
void expect_same_bits_after_interruption(const std::string& command, std::initializer_list<Index> stops) {
  const testing::TemporaryFolder folder;
  const std::string whole = (folder.path() / "whole").string(), pieces = (folder.path() / "pieces").string();
  ASSERT_EQ(tool(command + " --out " + whole).code, exit_done);
  bool first = true;
  for (const Index stop : stops) {
    interrupt_after(stop);
    const Ran ran = first ? tool(command + " --out " + pieces) : tool("train --resume " + pieces);
    EXPECT_EQ(ran.code, exit_interrupted) << ran.err;
    EXPECT_NE(ran.err.find("--resume " + pieces), std::string::npos) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(pieces + "/result.json"));
    first = false;
  }
  interrupt_after(-1);
  const Ran ran = tool("train --resume " + pieces);
  EXPECT_EQ(ran.code, exit_done) << ran.err;
  const auto read = [](const std::string& file) { return read_file(file, 64 * megabyte); };
  EXPECT_EQ(read(whole + "/model.safetensors"), read(pieces + "/model.safetensors"));
  // Everything in the metrics but the clock.
  const auto metrics = [&](const std::string& run) {
    std::istringstream lines(read(run + "/metrics.jsonl"));
    std::vector<nlohmann::json> entries;
    for (std::string line; std::getline(lines, line);) {
      entries.push_back(nlohmann::json::parse(line));
      entries.back().erase("seconds");
    }
    return entries;
  };
  EXPECT_EQ(metrics(whole), metrics(pieces));
  EXPECT_EQ(read(whole + "/masks.jsonl"), read(pieces + "/masks.jsonl"));
  const auto figures = [&](const std::string& run) {
    return nlohmann::json::parse(read(run + "/result.json"))["sparse"];
  };
  for (const char* key : {"train_flops_executed", "train_flops_useful", "test_loss", "test_accuracy"})
    EXPECT_EQ(figures(whole)[key], figures(pieces)[key]) << key;
  for (const auto& entry : std::filesystem::directory_iterator(pieces))
    EXPECT_FALSE(entry.path().filename().string().starts_with("checkpoint")) << entry.path();
}

TEST(Tool, GoesOnAfterAnInterruptionToTheBitsOfARunThatHadNone) {
  // 85 steps an epoch: in the twin's first epoch, at its very end, between two epochs of the sparse network, later.
  expect_same_bits_after_interruption(quick, {40, 131, 86, 50});
}

TEST(Tool, GoesOnWithTheSameViewsOfAugmentedImages) {
  expect_same_bits_after_interruption(quick + "--no-dense --augment crop-flip", {40, 60});
}

TEST(Tool, GoesOnWithTheScoresOfAMethodThatTrainsScores) {
  expect_same_bits_after_interruption("train --data synthetic-digits --epochs 1 --method supermask --no-dense",
                                      {10, 40});
}

TEST(Tool, GoesOnWithTheDensePassesThatNoStepHasCountedYet) {
  // The 11th question comes after the 10th step and the exchange behind it, whose dense pass the next step counts.
  for (const char* method : {"rigl", "snfs"})
    expect_same_bits_after_interruption(
        std::string(
            "train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --interval 10 --no-dense --method ") +
            method,
        {1, 11, 11, 30});
}

TEST(Tool, GoesOnInTheMiddleOfARewindingRound) {
  expect_same_bits_after_interruption(
      "train --data synthetic-digits --epochs 1 --schedule iterative --rounds 2 --rewind 10 --density 0.25 --no-dense",
      {5, 50, 60, 100});
}

TEST(Tool, GoesOnWithAControlAsWithItsTicket) {
  // 85 steps a training: while the ticket is found, in its last round, and twice in the control's training.
  expect_same_bits_after_interruption(
      "train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --method lottery --rounds 1 --density 0.25 "
      "--control reinit --no-dense",
      {50, 60, 80, 30});
}

TEST(Tool, GoesOnWithAControlOfAMethodThatTrainedScores) {
  // The ticket's training is over when its control is interrupted: what the method remembered is gone, and not missed.
  expect_same_bits_after_interruption(
      "train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --method movement --control reinit --no-dense",
      {120, 20});
}

TEST(Tool, GoesOnWithTheRunningStatisticsThatWereRewoundTo) {
  // 3 steps, then 2 from step 1 on; stopped before the last of the first training, when what to go back to is past.
  const testing::TemporaryFolder folder;
  const DataParts images = synthetic_images(48, 16);
  const DataParts data{"synthetic-images", images.train, images.test, images.test, ""};
  RunConfig config{.model = "resnet-20", .threads = 1, .lanes = 16, .epochs = 1, .batch = 16, .method = "lottery"};
  config.schedule.rounds = 1;
  config.rewind = "1";
  config = settled(config);
  const auto statistics = [](const Trained& trained) {
    std::vector<Real> all;
    for (const auto& [name, numbers] : state_of(*trained.model)) all.insert(all.end(), numbers.begin(), numbers.end());
    return all;
  };
  const std::vector<Real> whole = statistics(train_side(config, data, Side::sparse, {}));
  interrupt_after(3);
  EXPECT_THROW(train_side(config, data, Side::sparse, {}, {.file = folder.path() / "checkpoint"}), InterruptedError);
  interrupt_after(-1);
  EXPECT_EQ(statistics(train_side(config, data, Side::sparse, {}, {.file = folder.path() / "checkpoint"})), whole);
}

TEST(Tool, RefusesToGoOnWhereThereIsNoRun) {
  const Ran ran = tool("train --resume no-such-run");
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_NE(ran.err.find("no-such-run"), std::string::npos);
}

TEST(Tool, GivesEachSeedAndDensityAFolderAndSumsThemUp) {
  const testing::TemporaryFolder folder;
  const std::string out = (folder.path() / "many").string();
  const Ran ran = tool(
      "train --data synthetic-digits --epochs 1 --interval 20 --density 0.2,0.1 --seeds 2 --no-dense --out " + out);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  for (const char* name :
       {"magnitude-0.2-elements-1", "magnitude-0.2-elements-2", "magnitude-0.1-elements-1", "magnitude-0.1-elements-2"})
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(out) / name / "result.json")) << name;
  EXPECT_NE(ran.out.find("density 0.2"), std::string::npos);
  EXPECT_NE(ran.out.find("+-"), std::string::npos);
}

TEST(Tool, RewindsToTheStartInEachIterativeRound) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "ticket";
  const Ran ran = tool(
      "train --data synthetic-digits --epochs 1 --schedule iterative --rounds 2 --rewind init --density 0.25 "
      "--no-dense --json --out " +
      out.string());
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_NEAR(nlohmann::json::parse(ran.out)["sparse"]["density"].get<double>(), 0.25, 1e-5);
  const std::string metrics = read_file(out / "metrics.jsonl", megabyte);
  for (const char* round : {"\"round\":0", "\"round\":1", "\"round\":2"})
    EXPECT_NE(metrics.find(round), std::string::npos) << round;
}

// Trains on synthetic digits and gives back the network that it left behind.
ModulePtr trained(const std::string& model_name, const std::string& flags) {
  const testing::TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  const Ran ran = tool("train --data synthetic-digits --epochs 1 --interval 20 --no-dense --model " + model_name + " " +
                       flags + " --out " + out);
  EXPECT_EQ(ran.code, exit_done) << ran.err;
  ModulePtr model = make_model(model_name, {.input = {1, 28, 28}, .outputs = 10, .seed = 9});
  load_model(*model, out + "/model.safetensors");
  const Census census = census_of(*model);
  const auto result = nlohmann::json::parse(read_file(out + "/result.json", megabyte));
  EXPECT_EQ(census.nonzeros(), result["sparse"]["nonzeros"]);
  return model;
}

TEST(Tool, TrainsTwoOfFourToExactlyThat) {
  const ModulePtr model = trained("mlp:784-16-12-10", "--structure 2:4");
  for (const Parameter* W : parameters_of(*model)) {
    if (!W->prunable()) continue;
    std::vector<int> live(W->positions() / 4, 0);
    W->for_each_weight([&](Index r, Index c, Index) { ++live[(r * W->cols() + c) / 4]; });
    for (const int group : live) EXPECT_EQ(group, 2);
  }
}

TEST(Tool, TrainsBlocksThatAreThereOrNot) {
  const ModulePtr model =
      trained("mlp:784-16-12-10", "--structure block:4x4 --allocation lamp --density 0.1 --protect output.weight");
  Index kept = 0;
  for (const Parameter* W : parameters_of(*model)) {
    if (!W->prunable() || W->name() == "output.weight") continue;
    std::map<std::pair<Index, Index>, int> live;
    W->for_each_weight([&](Index r, Index c, Index) { ++live[{r / 4, c / 4}]; });
    for (const auto& [block, weights] : live) EXPECT_EQ(weights, 16);
    kept += W->nonzeros();
  }
  constexpr Index asked = (784 * 16 + 16 * 12) / 10;
  EXPECT_LE(kept, asked + 1);
  EXPECT_GT(kept, asked - 2 * 16);  // a block may not fit, in each of two layers
}

TEST(Tool, TrainsRowsOfEqualFanInToTheDensitiesGivenByLayer) {
  const ModulePtr model =
      trained("mlp:784-16-12-10", "--structure fan-in --schedule linear --allocation fc1=0.05,fc2.weight=0.5,output=1");
  const auto parameters = parameters_of(*model);
  const std::map<std::string, Index> in_a_row{{"fc1.weight", 39}, {"fc2.weight", 8}, {"output.weight", 12}};
  for (const Parameter* W : parameters) {
    if (!W->prunable()) continue;
    std::map<Index, Index> live;
    W->for_each_weight([&](Index r, Index, Index) { ++live[r]; });
    EXPECT_EQ(live.size(), static_cast<std::size_t>(W->rows()));
    for (const auto& [row, weights] : live) EXPECT_EQ(weights, in_a_row.at(W->name())) << W->name();
  }
}

TEST(Tool, KnowsTheKernelsOfAConvolutionalNetForErk) {
  const ModulePtr model = trained("lenet-5", "--allocation erk --density 0.01 --rate 0.01");
  // in + out + kh + kw, and in + out: 31, 80, 1300, 510 parts of 1921, of 4305 weights; as er: 45, 550, 1300, 510.
  std::map<std::string, Index> live;
  for (const Parameter* W : parameters_of(*model))
    if (W->prunable()) live[W->name()] = W->nonzeros();
  EXPECT_EQ(live, (std::map<std::string, Index>{
                      {"conv1.weight", 70}, {"conv2.weight", 179}, {"fc1.weight", 2913}, {"output.weight", 1143}}));
}

TEST(Tool, AFixedDensityMayBeRepeatedAndARunOfItRepeats) {
  const testing::TemporaryFolder folder;
  const std::string first = (folder.path() / "first").string(), second = (folder.path() / "second").string();
  const std::string again = "train --no-dense --density 0.5 --config " + first + "/config.toml --out " + second;
  ASSERT_EQ(tool("train --data synthetic-digits --epochs 1 --no-dense --model mlp:784-16-12-10 --structure 2:4 --out " +
                 first)
                .code,
            exit_done);
  const RunConfig config = from_toml(first + "/config.toml");
  EXPECT_EQ(config.structure, "2:4");
  EXPECT_EQ(config.allocation, "uniform");
  EXPECT_EQ(config.schedule.density, 0.5);
  ASSERT_EQ(tool(again).code, exit_done);
  EXPECT_EQ(read_file(first + "/model.safetensors", megabyte), read_file(second + "/model.safetensors", megabyte));
}

// result.json and metrics.jsonl of a small ticket.
std::pair<nlohmann::json, std::vector<nlohmann::json>> ticket(const std::string& flags) {
  const testing::TemporaryFolder folder;
  const std::string out = (folder.path() / "ticket").string();
  const Ran ran = tool(
      "train --data synthetic-digits --model mlp:784-32-16-10 --epochs 1 --method lottery --rounds 1 "
      "--density 0.25 --no-dense --json --out " +
      out + " " + flags);
  EXPECT_EQ(ran.code, exit_done) << ran.err;
  std::vector<nlohmann::json> epochs;
  std::istringstream lines(read_file(out + "/metrics.jsonl", megabyte));
  for (std::string line; std::getline(lines, line);)
    if (nlohmann::json entry = nlohmann::json::parse(line); entry.contains("epoch")) epochs.push_back(entry);
  const ModulePtr model =
      make_model(from_toml(out + "/config.toml").control == "small-dense" ? "mlp:784-8-4-10" : "mlp:784-32-16-10",
                 {.input = {1, 28, 28}, .outputs = 10});
  load_model(*model, out + "/model.safetensors");  // fits
  return {nlohmann::json::parse(ran.out), epochs};
}

TEST(Tool, RewindingTheRateOnlyKeepsWhatWasLearnt) {
  const auto loss_of_last_epoch = [](const std::string& rewind) {
    return ticket("--rewind " + rewind).second.back()["train_loss"].get<double>();
  };
  EXPECT_LT(loss_of_last_epoch("rate"), 0.7 * loss_of_last_epoch("init"));
}

TEST(Tool, TrainsEachControlOnceMoreInThePlaceOfTheTicket) {
  const auto [found, rounds] = ticket("");
  ASSERT_EQ(rounds.size(), 2u);
  for (const char* control : {"reinit", "random-pattern", "shuffled-mask"}) {
    const auto [result, epochs] = ticket(fmt::format("--control {}", control));
    EXPECT_EQ(result["control"], control);
    ASSERT_EQ(epochs.size(), 3u);
    EXPECT_EQ(epochs[1]["train_loss"], rounds[1]["train_loss"]);  // the ticket was found as before
    EXPECT_EQ(epochs[2]["round"], 2);
    EXPECT_NE(epochs[2]["train_loss"], rounds[1]["train_loss"]);
    for (std::size_t l = 0; l < 3; ++l) EXPECT_EQ(result["layers"][l]["density"], found["layers"][l]["density"]);
  }
}

TEST(Tool, ASmallDenseControlNeedsNoMethodAndHasAsManyParameters) {
  const auto [result, epochs] = ticket("--control small-dense");
  EXPECT_EQ(epochs.size(), 1u);
  EXPECT_EQ(result["sparse"]["density"], 1.0);
  EXPECT_NEAR(result["sparse"]["nonzeros"].get<double>(), 0.25 * (784 * 32 + 32 * 16 + 160) + 58, 400);
}

TEST(Tool, ComparesSparseWithDenseSeedBySeed) {
  const testing::TemporaryFolder folder;
  const Ran ran = tool("train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --seeds 2 --json --out " +
                       (folder.path() / "pairs").string());
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  std::vector<double> points;
  for (const auto& result : nlohmann::json::parse(ran.out))
    points.push_back(
        100 * (result["sparse"]["test_accuracy"].get<double>() - result["dense"]["test_accuracy"].get<double>()));
  ASSERT_EQ(points.size(), 2u);
  const double half = std::abs(points[0] - points[1]) / 2;  // standard error of a pair; sd is sqrt(2) times that
  const std::string table = read_file(folder.path() / "pairs" / "table.txt", megabyte);
  EXPECT_NE(table.find(fmt::format("{:+.2f} +- {:.2f} (standard error {:.2f})", (points[0] + points[1]) / 2,
                                   half * std::sqrt(2), half)),
            std::string::npos)
      << table;
}

TEST(Tool, AugmentsWhatItTrainsOnAndRecordsHow) {
  const testing::TemporaryFolder folder;
  const auto trained = [&](const std::string& augment) {
    const std::string out = (folder.path() / augment).string();
    const Ran ran = tool("train --data synthetic-digits --model mlp:784-16-10 --epochs 1 --no-dense --augment " +
                         augment + " --out " + out);
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_EQ(from_toml(out + "/config.toml").augment, augment);
    return read_file(out + "/model.safetensors", megabyte);
  };
  EXPECT_NE(trained("none"), trained("flip"));
}

// --- models for tables, metrics and baselines ------------------------------------------------------------------------

TEST(Tool, SaysMoreOfAClassifierThanItsAccuracyAndWhatItHasToBeat) {
  const testing::TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  const Ran ran = tool(
      "train --data synthetic-digits --model tabular:32+norm+dropout=0.1 --epochs 1 --interval 20 --class-weights "
      "balanced --baselines --out " +
      out);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(read_file(out + "/result.json", megabyte));
  EXPECT_FALSE(result["baselines"]["linear"]["solved"].get<bool>()) << "784 features of ten classes take their time";
  const std::string linear = fmt::format("linear, {} passes", result["baselines"]["linear"]["epochs"].get<Index>());
  for (const std::string& word :
       {std::string("balanced accuracy"), std::string("AUC"), std::string("majority class"), linear})
    EXPECT_NE(ran.out.find(word), std::string::npos) << word << "\n" << ran.out;
  EXPECT_EQ(ran.out.find("linear, solved"), std::string::npos) << ran.out;
  for (const char* side : {"dense", "sparse"})
    for (const char* key : {"test_accuracy", "test_balanced_accuracy", "test_auc", "test_log_loss"})
      EXPECT_GT(result[side][key].get<double>(), 0) << side << "." << key;
  EXPECT_FALSE(result["sparse"].contains("test_rmse"));
  EXPECT_GT(result["sparse"]["test_auc"].get<double>(), 0.9);
  const auto& baselines = result["baselines"];
  EXPECT_NEAR(baselines["majority"]["test_accuracy"].get<double>(), 0.1, 0.05);
  EXPECT_NEAR(baselines["majority"]["test_balanced_accuracy"].get<double>(), 0.1, 1e-9);
  EXPECT_EQ(baselines["majority"]["test_auc"], 0.5);
  EXPECT_GT(baselines["linear"]["test_accuracy"].get<double>(), 0.5);
  EXPECT_EQ(baselines["linear"]["parameters"], 7850);
  EXPECT_EQ(from_toml(out + "/config.toml").class_weights, "balanced");
}

TEST(Tool, GoesOnAfterAnInterruptionOfTheLinearBaselineAndAfter) {
  // 85 steps a training: in the baseline's, in the network's.
  expect_same_bits_after_interruption(
      "train --data synthetic-digits --model tabular:16 --epochs 1 --no-dense --baselines", {40, 100});
}

// x in [-1, 1]^4; targets of mean 3 and deviation 20 in their own units.
DataParts surface() {
  const TargetScale scale{.mean = 3, .deviation = 20};
  return {"surface", std::make_shared<testing::Surface>(512, scale), std::make_shared<testing::Surface>(64, scale),
          std::make_shared<testing::Surface>(128, scale), "generated"};
}

RunConfig regression_config() {
  RunConfig config{.model = "tabular:32-16", .epochs = 30, .batch = 64};
  config.schedule.density = 0.5;
  config.schedule.interval = 20;
  config.optimizer.weight_decay = 0;
  config = settled(config);
  return config;
}

TEST(Regression, IsTrainedOnSquaredErrorsAndSpokenOfInOriginalUnits) {
  const testing::TemporaryFolder folder;
  const RunConfig config = regression_config();
  const DataParts data = surface();
  const RunFolder run(folder.path() / "run");
  ::testing::internal::CaptureStderr();
  MetricsLog log(run, config.epochs);
  const Trained dense = train_side(config, data, Side::dense, log.observer(Side::dense));
  const Trained sparse = train_side(config, data, Side::sparse, log.observer(Side::sparse));
  Result result = result_of(config, data, &dense, sparse);
  EXPECT_TRUE(wants_baselines(config, data)) << "it is a table";
  result.baselines = baselines_of(config, data);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("validation RMSE"), std::string::npos);

  for (const SideResult* side : {&*result.dense, &result.sparse}) {
    EXPECT_FALSE(to_json(*side).contains("test_accuracy"));
    EXPECT_NEAR(side->test->rmse, 20 * std::sqrt(side->test_loss), 1e-3);
    EXPECT_LT(side->test->mae, side->test->rmse);
    EXPECT_GT(*side->validation, 0);
    EXPECT_GT(side->test->r2, 0.8);
  }
  const Metrics &mean = result.baselines[0].test, &linear = result.baselines[1].test;
  EXPECT_EQ(result.baselines[0].name, "mean");
  EXPECT_LT(std::abs(mean.r2), 0.05);
  EXPECT_GT(linear.r2, 0.3) << "half of it is linear";
  EXPECT_LT(linear.r2, result.sparse.test->r2) << "and half is a product";

  const std::string page = page_of(result);
  EXPECT_EQ(to_json(result)["baselines"]["linear"]["solved"], true);
  for (const char* word : {"test RMSE", "test MAE", "test R2", "mean target", "linear, solved"})
    EXPECT_NE(page.find(word), std::string::npos) << word << "\n" << page;
  EXPECT_EQ(page.find("accuracy"), std::string::npos) << page;
  const std::string table = seeds_table_of({result, result});
  EXPECT_NE(table.find("test RMSE"), std::string::npos) << table;
  EXPECT_NE(table.find("linear"), std::string::npos) << table;
  EXPECT_EQ(table.find("error %"), std::string::npos) << table;
  EXPECT_NE(read_file(folder.path() / "run" / "metrics.jsonl", megabyte).find("validation_rmse"), std::string::npos);
}

// The numbers of tokens are names: a weighted sum of them says nothing.
TEST(Baselines, OfTextHaveNoLinearModel) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.path() / "some.txt", synthetic_text(4000));
  const DataParts data = load_text(folder.path() / "some.txt");
  EXPECT_TRUE(wants_baselines({}, data));
  const std::vector<BaselineResult> baselines = baselines_of({}, data);
  ASSERT_EQ(baselines.size(), 1u);
  EXPECT_EQ(baselines[0].name, "majority");
  EXPECT_GT(baselines[0].test.accuracy, 0);
}

TEST(Regression, LearnsUnderEachOfItsLosses) {
  for (const char* loss : {"mse", "huber", "quantile"}) {
    RunConfig config = regression_config();
    config.loss = loss;
    config = settled(config);
    EXPECT_GT(train_side(config, surface(), Side::dense, {}).metrics.r2, 0.7) << loss;
  }
}

TEST(Regression, AHighQuantileLiesAboveMostTargets) {
  RunConfig config = regression_config();
  config.model = "linear";
  config.loss = "quantile";
  config.quantile = 0.9;
  config.epochs = 100;
  config = settled(config);
  const DataParts data = surface();
  const Trained trained = train_side(config, data, Side::dense, {});
  const std::vector<Real> outputs = Inference(*trained.model, 1).outputs(Loader(data.train, {.lanes = 16}));
  std::vector<Real> target(2);
  double below = 0;
  for (Index i = 0; i < 512; ++i) {
    data.train->target(i, target);
    below += target[0] < outputs[2 * i];  // the second is linear: met, not exceeded
  }
  EXPECT_NEAR(below / 512, 0.9, 0.02);
}

TEST(Regression, RefusesWhatIsForClasses) {
  const auto says = [](const std::string& loss, const std::string& weights) -> std::string {
    RunConfig config = regression_config();
    config.loss = loss;
    config.class_weights = weights;
    try {
      loss_of(config, surface());
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(says("cross-entropy", "none").find("numbers to predict"), std::string::npos);
  EXPECT_NE(says("auto", "balanced").find("[class-weights]"), std::string::npos);
  EXPECT_EQ(says("huber", "none"), "");
}

TEST(Regression, IsPrunedByScoresOfItsOwnLoss) {
  for (const char* method : {"grasp", "snip", "rigl"}) {
    RunConfig config = regression_config();
    config.method = method;
    config.schedule = {.density = 0.5};
    config.allocation = config.structure = config.rewind = "auto";
    config.settings.clear();
    config.loss = "huber";
    config.epochs = 8;
    config = settled(config);
    const Trained trained = train_side(config, surface(), Side::sparse, {});
    EXPECT_NEAR(census_of(*trained.model).density(), 0.5, 0.02) << method;
    EXPECT_GT(trained.metrics.r2, 0.2) << method;
  }
}

TEST(Regression, ASmallDenseControlIsATableModelToo) {
  RunConfig config = regression_config();
  config.model = "tabular:32-16+norm";
  config.control = "small-dense";
  config.epochs = 2;
  const Trained trained = train_side(config, surface(), Side::sparse, {});
  EXPECT_TRUE(trained.model->name().starts_with("tabular:")) << trained.model->name();
  EXPECT_TRUE(trained.model->name().ends_with("+norm")) << trained.model->name();
}

TEST(Tool, TrainsModelsOfSequencesToTheEnd) {
  const testing::TemporaryFolder folder;
  for (const char* method : {"magnitude", "wanda", "obs", "rigl"}) {
    const std::string out = (folder.path() / method).string();
    const Ran ran =
        tool(fmt::format("train --model gru:4 --epochs 1 --no-dense --density 0.5 --method {} --out {}", method, out));
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_EQ(from_toml(out + "/config.toml").data, "synthetic-signals") << "what suits the model";
    EXPECT_NE(ran.out.find("gru.hidden.weight"), std::string::npos) << ran.out;
  }
}

TEST(Tool, ChoosesDataThatSuitsTheModel) {
  // Both in one folder, MNIST's broken: an error from its reader says that it was chosen.
  const testing::TemporaryFolder folder;
  for (const char* name :
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"})
    folder.write(fmt::format("cifar10/{}.bin", name), std::vector<std::uint8_t>(3073, 7));
  folder.write("mnist/train-images-idx3-ubyte", std::vector<std::uint8_t>{1});
  std::vector<std::uint8_t> unlike(2 * 3073, 9);
  std::fill(unlike.begin() + 3073, unlike.end(), std::uint8_t{3});
  folder.write("cifar10/data_batch_2.bin", unlike);
  RunConfig config;
  config.data_dir = folder.path().string();
  EXPECT_THROW(load_data(config), FileError);
  config.model = "resnet-20";
  const DataParts data = load_data(config);
  EXPECT_EQ(data.name, "cifar10");
  EXPECT_EQ(config.data, "cifar10");
  EXPECT_EQ(data.train->shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(data.train->samples(), 6);
}

TEST(Tool, BenchesADenseAndASparseNetworkWithTheKeysOfResultJson) {
  const Ran ran = tool("bench --model mlp:64-96-10 --density 0.1 --batch 32 --lanes 16 --repetitions 2 --json");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  for (const char* side : {"dense", "sparse"})
    for (const char* key :
         {"train_step_seconds", "inference_seconds", "latency_seconds", "forward_flops", "file_bytes"})
      EXPECT_GT(result[side][key].get<double>(), 0) << side << "." << key;
  EXPECT_EQ(result["dense"]["forward_flops"], 2 * (64 * 96 + 96 * 10));
  EXPECT_EQ(result["sparse"]["forward_flops_executed"], 2 * (614 + 96));
}

TEST(Tool, BenchesASparseNetworkWithoutItsTwin) {
  const Ran ran =
      tool("bench --model mlp:512-512-10 --density 0.05 --sparse-only --batch 16 --lanes 16 --repetitions 1 --json");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  EXPECT_FALSE(result.contains("dense"));
  EXPECT_LT(result["sparse"]["last_loss"], result["sparse"]["first_loss"]);
}

TEST(Tool, BenchesMaskUpdatesBesideAStaticStep) {
  const Ran ran = tool("bench pruning --model mlp:64-96-10 --density 0.1 --batch 32 --lanes 16 --repetitions 2 --json");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  const double step = result["static_step_seconds"];
  EXPECT_GT(step, 0);
  for (const char* method : {"magnitude", "set", "rigl"}) {
    const double update = result[method]["update_seconds"];
    EXPECT_GE(update, result[method]["event_seconds"].get<double>()) << method;
    EXPECT_NEAR(result[method]["share_of_training"], update / (100 * step + update), 1e-9) << method;
    EXPECT_NEAR(result[method]["step_over_static"], 1 + update / (100 * step), 1e-9) << method;
  }
}

TEST(Tool, VerifiesItsKernelsBeforeItTimesThem) {
  const Ran ran = tool("bench kernels --rows 100 --cols 70 --lanes 16 --json");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  // Streams are timed besides where they run: on Intel's processors with AVX-512.
  const auto result = nlohmann::json::parse(ran.out);
  Index others = 0;
  for (const auto& kernel : result["kernels"])
    others += kernel["kernel"].get<std::string>().find("streams") == std::string::npos;
  EXPECT_EQ(others, 10);
}

TEST(Tool, PrintsHelpAndVersionToStdout) {
  for (const char* line : {"--help", "train --help", "bench --help", "bench kernels --help", "--version"}) {
    const Ran ran = tool(line);
    EXPECT_EQ(ran.code, exit_done) << line;
    EXPECT_FALSE(ran.out.empty()) << line;
    EXPECT_TRUE(ran.err.empty()) << line;
  }
}

// Every bad command line: one line on stderr that names what was wrong, nothing on stdout, the documented code.
struct Bad {
  std::string line;
  int code;
  std::string says;
};
void PrintTo(const Bad& bad, std::ostream* to) {
  *to << bad.line;
}

class BadInput : public ::testing::TestWithParam<Bad> {};

TEST_P(BadInput, GetsOneClearLineAndTheDocumentedCode) {
  const testing::TemporaryFolder folder;
  std::string line = GetParam().line;
  if (line.find("--out") == std::string::npos && line.starts_with("train"))
    line += " --out " + (folder.path() / "run").string();
  const Ran ran = tool(line);
  EXPECT_EQ(ran.code, GetParam().code) << ran.err;
  EXPECT_TRUE(ran.out.empty()) << ran.out;
  EXPECT_EQ(lines_of(ran.err), 1u) << ran.err;
  EXPECT_NE(ran.err.find(GetParam().says), std::string::npos) << ran.err;
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "run" / "result.json"));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInput,
    ::testing::Values(
        Bad{"", exit_usage, "expected one of its commands, train, sweep, recommend"},
        Bad{"fly", exit_usage, "got \"fly\""}, Bad{"plot", exit_usage, "got \"plot\""},
        Bad{"bench kernals", exit_usage, "did you mean kernels?"},
        Bad{"train epochs 3", exit_usage, "did you mean --epochs?"},
        Bad{"train --methd rigl", exit_usage, "got \"--methd\"; did you mean --method?"},
        Bad{"train --method rigel", exit_usage, "did you mean rigl?"},
        Bad{"train --model mpl:784-10", exit_usage, "did you mean mlp:784-10?"},
        Bad{"train --data people.cvs", exit_usage, "did you mean people.csv?"},
        Bad{"train --data data/mnist", exit_usage, "did you mean mnist in the folder data?"},
        Bad{"train --recipe tabel-rigl", exit_usage, "did you mean table-rigl?"},
        Bad{"export nowhere --to csv --out x", exit_usage, "did you mean csr?"},
        Bad{"train --bogus 1", exit_usage, "--bogus"}, Bad{"train --epochs many", exit_usage, "--epochs"},
        Bad{"train --epochs 0", exit_usage, "--epochs"}, Bad{"train --density 0", exit_usage, "(0, 1]"},
        Bad{"train --density 1.5", exit_usage, "(0, 1]"}, Bad{"train --density -0.1", exit_usage, "(0, 1]"},
        Bad{"train --density nan", exit_usage, "(0, 1]"}, Bad{"train --density 0.1,2", exit_usage, "(0, 1]"},
        Bad{"train --method psychic", exit_usage, "psychic"}, Bad{"train --schedule never", exit_usage, "never"},
        Bad{"train --structure rows", exit_usage, "\"rows\""}, Bad{"train --structure 4:2", exit_usage, "4:2"},
        Bad{"train --data synthetic-digits --structure 2:4 --density 0.1", exit_usage, "comes to 0.5, got 0.1"},
        Bad{"train --data synthetic-digits --structure 2:4 --density 0.5,0.25", exit_usage, "comes to 0.5, got 0.25"},
        Bad{"train --structure 2:4 --allocation er", exit_usage, "[--allocation] expected none or uniform"},
        Bad{"train --data synthetic-digits --structure 2:5", exit_usage, "fc1.weight (300 x 784)"},
        Bad{"train --data synthetic-digits --model lenet-5 --structure 2:4", exit_usage, "conv1.weight (20 x 25)"},
        Bad{"train --data synthetic-digits --structure block:4x4", exit_usage, "output.weight (10 x 100)"},
        Bad{"train --data synthetic-digits --structure fan-in --density 0.001", exit_usage, "ask for more"},
        Bad{"train --data synthetic-digits --allocation fc1=0.1,fc2=0.1", exit_usage, "none for output"},
        Bad{"train --data synthetic-digits --allocation fc1=0.1,fc2=0.1,output=1,fc3=1", exit_usage, "one for fc3"},
        Bad{"train --data synthetic-digits --allocation fc1=0.1,fc2=0.1,output=1 --density 0.1", exit_usage,
            "comes to 0.10"},
        Bad{"train --allocation fc1=2", exit_usage, "fc1=2"},
        Bad{"train --data synthetic-digits --schedule iterative --rounds 400 --epochs 2", exit_usage, "rounds"},
        Bad{"train --allocation fair", exit_usage, "fair"}, Bad{"train --optimizer lbfgs", exit_usage, "lbfgs"},
        Bad{"train --data imagenet", exit_usage, "imagenet"}, Bad{"train --model resnet-152", exit_usage, "resnet-152"},
        Bad{"train --model mlp:784", exit_usage, "mlp:784"},
        Bad{"train --model mlp:784-x-10", exit_usage, "mlp:784-x-10"},
        Bad{"train --data synthetic-digits --model mlp:100-10", exit_usage, "100 inputs"},
        Bad{"train --data synthetic-digits --model mlp:784-20", exit_usage, "10"},
        Bad{"train --data synthetic-digits --model mlp:784-2000000000-10", exit_usage, "GB"},
        Bad{"train --loss hinge", exit_usage, "\"hinge\""}, Bad{"train --huber-delta 0", exit_usage, "[--huber-delta]"},
        Bad{"train --quantile 1", exit_usage, "[--quantile]"},
        Bad{"train --class-weights fair", exit_usage, "none or balanced"},
        Bad{"train --data synthetic-digits --loss mse", exit_usage, "auto or cross-entropy for data of classes"},
        Bad{"train --model tabular:", exit_usage, "tabular:256-256"},
        Bad{"train --model tabular:8+dropout=2", exit_usage, "+dropout=2"},
        Bad{"train --model tabular-resnet:8", exit_usage, "tabular-resnet:128x3"},
        Bad{"train --data synthetic-digits --model tabular-resnet:8x1 --control small-dense", exit_usage,
            "got tabular-resnet:8x1"},
        Bad{"train --rate -0.1", exit_usage, "learning rate"},
        Bad{"train --rate-schedule linear", exit_usage, "constant, step or cosine"},
        Bad{"train --momentum 1", exit_usage, "momentum"}, Bad{"train --threads -2", exit_usage, "--threads"},
        Bad{"train --lanes 17", exit_usage, "--lanes"}, Bad{"train --batch 0", exit_usage, "--batch"},
        Bad{"train --seeds 0", exit_usage, "--seeds"}, Bad{"train --begin 0.7 --end 0.3", exit_usage, "begin"},
        Bad{"train --rewind tomorrow", exit_usage, "--rewind"}, Bad{"train --rewind init", exit_usage, "iterative"},
        Bad{"train --control placebo", exit_usage, "shuffled-mask"},
        Bad{"train --data synthetic-digits --model lenet-5 --control small-dense", exit_usage, "got lenet-5"},
        Bad{"train --data synthetic-digits --protect nothing.weight", exit_usage, "nothing.weight"},
        Bad{"train --data synthetic-digits --density 0.000004", exit_usage, "without a single weight"},
        Bad{"train --config no-such-config.toml", exit_file, "no-such-config.toml"},
        Bad{"train --data mnist --data-dir no-such-folder", exit_file, "no-such-folder"},
        Bad{"train --data cifar10 --data-dir no-such-folder", exit_file, "files of cifar10 in no-such-folder"},
        Bad{"train --data cifar100 --data-dir no-such-folder", exit_file, "files of cifar100 in no-such-folder"},
        Bad{"train --data imagenet", exit_usage, "[--data] expected auto, mnist, cifar10, cifar100"},
        Bad{"train --data synthetic-images --model mlp:784-10", exit_usage, "784 inputs"},
        Bad{"train --data synthetic-digits --model gru:8", exit_usage, "sequences"},
        Bad{"train --data synthetic-signals --model conv-2", exit_usage, "[64, 3]"},
        Bad{"train --model gru:x", exit_usage, "units"},
        Bad{"train --model gru:8 --augment flip", exit_usage, "[64, 3]"},
        Bad{"train --model cnn-1d --control small-dense", exit_usage, "got cnn-1d"},
        Bad{"train --augment mirror", exit_usage, "[--augment] expected none, flip or crop-flip, got \"mirror\""},
        Bad{"train --data synthetic-digits --out /proc/espalier", exit_file, "/proc/espalier"},
        Bad{"train --data synthetic-digits --rate 1e30 --epochs 1", exit_diverged, "diverged at step"},
        Bad{"bench --density 0", exit_usage, "(0, 1]"}, Bad{"bench --model mlp:784", exit_usage, "mlp:784"},
        Bad{"bench pruning --density 0", exit_usage, "(0, 1]"}, Bad{"bench --model vgg-16", exit_usage, "vgg-small"},
        Bad{"train --data synthetic-digits --model conv-3", exit_usage, "conv-3"},
        Bad{"bench convolution --in 0", exit_usage, "channels"},
        Bad{"bench convolution --extent 1 --kernel 4 --stride 9", exit_usage, "stride"},
        Bad{"bench convolution --in 2048 --out 2048 --extent 512", exit_usage, "2e9"},
        Bad{"bench convolution --density 0", exit_usage, "(0, 1]"}, Bad{"bench kernels --rows 0", exit_usage, "--rows"},
        Bad{"bench kernels --lanes 7", exit_usage, "lanes"}));

TEST(Config, ReadsBackWhatItWrites) {
  const testing::TemporaryFolder folder;
  RunConfig config;
  config.data_dir = "a folder/with \"quotes\" and \\";
  config.seed = 12345678901234;
  config.rate.rate = 0.1 + 0.2;  // 0.30000000000000004
  config.rate.milestones = {0.25, 0.5};
  config.optimizer.epsilon = 1e-8;
  config.protect = {"output.weight"};
  config.storage.csr_below_of = {{"fc1.weight", 0.3}, {"fc2.weight", 0.45}};
  config.dense_twin = false;
  write_file_atomically(folder.path() / "config.toml", to_toml(config));
  const RunConfig back = from_toml(folder.path() / "config.toml");
  EXPECT_EQ(to_toml(back), to_toml(config));
  EXPECT_EQ(back.rate.rate, config.rate.rate);
  EXPECT_EQ(back.storage.csr_below_of, config.storage.csr_below_of);
}

TEST(Config, KeysThatCameLaterAreWrittenOnlyWhereTheySaySomething) {
  const std::string plain = to_toml(RunConfig{});
  for (const char* key : {"[loss]", "huber_delta", "class_weights", "baselines"})
    EXPECT_EQ(plain.find(key), std::string::npos) << key;
  RunConfig config{.loss = "huber", .huber_delta = 0.5, .baselines = true};
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.path() / "config.toml", to_toml(config));
  const RunConfig back = from_toml(folder.path() / "config.toml");
  EXPECT_EQ(back.loss, "huber");
  EXPECT_EQ(back.huber_delta, 0.5);
  EXPECT_TRUE(back.baselines);
  EXPECT_EQ(back.quantile, 0.5);
}

TEST(Config, TablesThatAreNestedTooDeepAreRefusedAndNotFollowed) {
  const testing::TemporaryFolder folder;
  for (const int depth : {200, 40000}) {
    std::string key = "a";
    for (int level = 1; level < depth; ++level) key += ".a";
    for (const std::string& line : {fmt::format("[{}]\n", key), fmt::format("{} = 1\n", key)}) {
      write_file_atomically(folder.path() / "deep.toml", "\n" + line);
      try {
        from_toml(folder.path() / "deep.toml");
        ADD_FAILURE() << depth;
      } catch (const FileError& error) {
        EXPECT_NE(std::string(error.what()).find("line 2: expected at most"), std::string::npos) << error.what();
      }
    }
  }
}

TEST(Config, TheDensityIsTheMethodsOwnUnlessTold) {
  RunConfig by_magnitude, by_scores{.method = "edge-popup"}, told{.method = "edge-popup"};
  told.schedule.density = 0.2;
  for (RunConfig* config : {&by_magnitude, &by_scores, &told}) *config = settled(*config);
  EXPECT_EQ(by_magnitude.schedule.density, 0.1);
  EXPECT_EQ(by_scores.schedule.density, 0.5);
  EXPECT_EQ(told.schedule.density, 0.2);
}

TEST(Config, TheRateIsWhatSuitsModelAndOptimizerUnlessTold) {
  RunConfig by_momentum{.model = "conv-2"}, by_adam{.model = "conv-2"}, told{.model = "conv-2"};
  by_adam.optimizer.name = told.optimizer.name = "adam";
  told.rate.rate = 0.02;
  for (RunConfig* config : {&by_momentum, &by_adam, &told}) *config = settled(*config);
  EXPECT_EQ(by_momentum.rate.rate, 0.01);
  EXPECT_EQ(by_adam.rate.rate, 0.001);
  EXPECT_EQ(told.rate.rate, 0.02);
}

TEST(Config, NamesFileAndKeyOfWhatItDoesNotUnderstand) {
  const testing::TemporaryFolder folder;
  const auto error_of = [&](const std::string& text) -> std::string {
    write_file_atomically(folder.path() / "bad.toml", text);
    try {
      from_toml(folder.path() / "bad.toml");
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(error_of("[run]\nsede = 1\n").find("line 2: unknown key run.sede"), std::string::npos);
  EXPECT_NE(error_of("[run]\nseed = \"one\"\n").find("run.seed"), std::string::npos);
  EXPECT_NE(error_of("[run]\nthreads = 99999999999\n").find("run.threads"), std::string::npos);
  EXPECT_NE(error_of("[run\n").find("line 1"), std::string::npos);
  EXPECT_NE(error_of("seed = 1\n").find("seed"), std::string::npos);
  EXPECT_NE(error_of("[rate]\nschedule = \"linear\"\n").find("line 2: [rate] schedule: expected constant"),
            std::string::npos);
  EXPECT_NE(error_of("[walk]\nseed = 1\n").find("walk.seed"), std::string::npos);
}

}  // namespace
}  // namespace espalier
