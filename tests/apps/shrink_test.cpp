// espalier shrink and espalier inspect.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/experiment/trained_network.h"
#include "support/temporary_folder.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::Ran;
using testing::tool;

// A run that leaves dead units: a network for a small table, at one weight in 25.
class Shrink : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream table(path("table.csv"));
    table << "a,b,c,d,y\n";
    const Random random(1, "table");
    for (std::uint64_t i = 0; i < 120; ++i) {
      const auto x = [&](std::uint64_t j) { return random.uniform(4 * i + j); };
      table << fmt::format("{},{},{},{},{}\n", x(0), x(1), x(2), x(3), x(0) > x(1) ? "more" : "less");
    }
    table.close();
    const Ran ran = tool("train --data " + path("table.csv") +
                         " --model tabular:40-30 --density 0.04 --epochs 3 --no-dense --out " + path("run"));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string answers(const std::string& model) const {
    const Ran ran = tool("predict " + model + " " + path("table.csv"));
    EXPECT_EQ(ran.code, exit_done) << ran.err;
    return ran.out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Shrink, WritesASmallerFileWithTheSameAnswersThatOtherCommandsRead) {
  const std::string small = path("small.safetensors");
  const Ran ran = tool("shrink " + path("run") + " --json --out " + small);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_GT(json["removed_units"], 0);
  EXPECT_LT(json["after"]["file_bytes"], json["before"]["file_bytes"]);
  EXPECT_LE(json["after"]["forward_flops"], json["before"]["forward_flops"]);
  EXPECT_EQ(json["after"]["file_bytes"], std::filesystem::file_size(small));
  EXPECT_EQ(json["before"]["file_bytes"], std::filesystem::file_size(path("run/model.safetensors")));
  EXPECT_LT(json["after"]["layers"][0]["units"], 40);
  EXPECT_EQ(json["after"]["layers"][2]["units"], 2);
  const auto result = nlohmann::json::parse(std::ifstream(path("run/result.json")));
  EXPECT_EQ(result["sparse"]["removed_units"], json["removed_units"]);

  EXPECT_EQ(answers(small).substr(0, 40), answers(path("run")).substr(0, 40));
  EXPECT_EQ(tool("evaluate " + small + " --data " + path("table.csv")).code, exit_done);
  EXPECT_EQ(tool("export " + small + " --to csr --out " + path("csr.safetensors")).code, exit_done);
  const Ran again = tool("shrink " + small + " --json --out " + path("smaller.safetensors"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(nlohmann::json::parse(again.out)["removed_units"], 0);
}

TEST_F(Shrink, PrintsBothSizesAndGuardsLayersByName) {
  const Ran ran = tool("shrink " + path("run") + " --protect fc1 --minimum 5 --out " + path("small.safetensors"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_NE(ran.out.find("fc1.weight"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("units taken out"), std::string::npos) << ran.out;
  EXPECT_EQ(open_network(path("small.safetensors")).card.model, "tabular:40-30");
  const Ran wrong = tool("shrink " + path("run") + " --protect fc7 --out " + path("none"));
  EXPECT_EQ(wrong.code, exit_usage);
  EXPECT_NE(wrong.err.find("fc7"), std::string::npos) << wrong.err;
  EXPECT_EQ(tool("shrink " + path("run") + " --minimum 0 --out " + path("none")).code, exit_usage);
  EXPECT_EQ(tool("shrink " + path("run") + " --out " + path("run/model.safetensors")).code, exit_usage);
  EXPECT_EQ(tool("shrink " + path("table.csv") + " --out " + path("none")).code, exit_file);
  EXPECT_FALSE(std::filesystem::exists(path("none")));
}

TEST_F(Shrink, ATrainingGoesOnFromTheNarrowerNetwork) {
  ASSERT_EQ(tool("shrink " + path("run") + " --out " + path("small.safetensors")).code, exit_done);
  std::filesystem::copy_file(path("small.safetensors"), path("run/model.safetensors"),
                             std::filesystem::copy_options::overwrite_existing);
  const Ran ran = tool("train --resume " + path("run") + " --epochs 5");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const TrainedNetwork network = open_network(path("run"));
  EXPECT_LT(parameters_of(*network.model)[0]->rows(), 40);
}

TEST_F(Shrink, InspectSaysWhatGoesTogetherAndWhy) {
  const Ran all = tool("inspect " + path("run") + " --groups");
  ASSERT_EQ(all.code, exit_done) << all.err;
  EXPECT_NE(all.out.find("output: none of its 2 can go, for they are the network's outputs"), std::string::npos)
      << all.out;
  const Ran one = tool("inspect " + path("run") + " --groups --layer fc1 --unit 17");
  EXPECT_EQ(one.out,
            "fc1: 40, of which one at least stays. When number 17 goes, these go:\n"
            "  fc1.weight  row 17                    makes it\n"
            "  fc1.bias    row 17                    is added to it\n"
            "  fc2.weight  column 17                 reads it\n");
  EXPECT_EQ(tool("inspect " + path("run")).code, exit_done);
  EXPECT_EQ(tool("inspect " + path("run") + " --groups --layer fc9").code, exit_usage);
  EXPECT_EQ(tool("inspect " + path("run") + " --groups --layer fc1 --unit 40").code, exit_usage);
}

}  // namespace
}  // namespace espalier
