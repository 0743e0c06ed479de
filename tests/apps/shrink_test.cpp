// espalier shrink and espalier inspect.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

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

// A table of twelve columns, ten of which say nothing, and one of words; a network that reads few of them.
class ShrinkInputs : public Shrink {
 protected:
  void SetUp() override {
    std::ofstream table(path("wide.csv"));
    table << "a,b,c,d,e,f,g,h,i,j,word,y\n";
    const Random random(1, "wide");
    for (std::uint64_t i = 0; i < 300; ++i) {
      const auto x = [&](std::uint64_t j) { return random.uniform(16 * i + j); };
      for (std::uint64_t j = 0; j < 10; ++j) table << fmt::format("{},", x(j));
      table << (x(10) < 0.3 ? "red" : x(10) < 0.6 ? "green" : "blue") << (x(0) > x(1) ? ",more\n" : ",less\n");
    }
    table.close();
    const Ran ran = tool("train --data " + path("wide.csv") +
                         " --model tabular:20-10+norm --density 0.12 --epochs 12 --no-dense --out " + path("wide"));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  // That both give every row of the file the same class, and probabilities that differ by rounding only.
  void expect_same_answers(const std::string& a, const std::string& b,
                           const std::string& file_of_b = "wide.csv") const {
    const Ran first = tool("predict " + a + " " + path("wide.csv")),
              second = tool("predict " + b + " " + path(file_of_b));
    ASSERT_EQ(first.code, exit_done) << first.err;
    ASSERT_EQ(second.code, exit_done) << second.err;
    std::istringstream left(first.out), right(second.out);
    Index lines = 0;
    for (std::string x, y; std::getline(left, x); ++lines) {
      ASSERT_TRUE(std::getline(right, y));
      std::istringstream fields_of_x(x), fields_of_y(y);
      for (std::string p, q; std::getline(fields_of_x, p, ',') && std::getline(fields_of_y, q, ',');) {
        if (p.find_first_of("0123456789") == 0) {
          EXPECT_NEAR(std::stod(p), std::stod(q), 1e-4) << x;
        } else {
          EXPECT_EQ(p, q);
        }
      }
    }
    EXPECT_EQ(lines, 301);
  }
  // The table without the columns of these names.
  void write_without(const std::vector<std::string>& gone, const std::string& file) const {
    std::ifstream table(path("wide.csv"));
    std::ofstream out(path(file));
    std::vector<bool> stays;
    for (std::string line; std::getline(table, line);) {
      std::istringstream fields(line);
      std::string text;
      const bool header = stays.empty();
      std::size_t n = 0;
      for (std::string field; std::getline(fields, field, ','); ++n) {
        if (header) stays.push_back(std::ranges::count(gone, field) == 0);
        if (stays[n]) text += (text.empty() ? "" : ",") + field;
      }
      out << text << "\n";
    }
  }
};

TEST_F(ShrinkInputs, ColumnsThatNothingReadsLeaveModelAndPreprocessing) {
  const std::string small = path("small.safetensors");
  const Ran ran = tool("shrink " + path("wide") + " --json --out " + small);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  const auto gone = json["dropped_columns"].get<std::vector<std::string>>(),
             left = json["surviving_inputs"].get<std::vector<std::string>>();
  EXPECT_GT(gone.size(), 0u);
  EXPECT_EQ(gone.size() + left.size(), 11u) << ran.out;
  for (const std::string& name : gone) EXPECT_EQ(std::ranges::count(left, name), 0) << name;
  const TrainedNetwork network = open_network(small);
  EXPECT_EQ(network.card.input, Shape{network.encoder->features()});
  EXPECT_LT(network.encoder->features(), 13);
  EXPECT_EQ(parameters_of(*network.model)[0]->cols(), network.encoder->features());

  // The same answers to the same rows, and to rows without those columns.
  expect_same_answers(path("wide"), small);
  write_without(gone, "fewer.csv");
  expect_same_answers(path("wide"), small, "fewer.csv");
  EXPECT_EQ(tool("evaluate " + small + " --data " + path("wide.csv")).out,
            tool("evaluate " + path("wide") + "/model.safetensors --data " + path("wide.csv")).out);
  EXPECT_EQ(tool("inspect " + small).code, exit_done);
  EXPECT_EQ(tool("sensitivity " + small + " --data " + path("wide.csv") + " --densities 0.5").code, exit_done);
  const Ran again = tool("shrink " + small + " --json --out " + path("smaller.safetensors"));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_TRUE(nlohmann::json::parse(again.out)["dropped_columns"].empty());
}

TEST_F(ShrinkInputs, TheyStayIfThatIsWanted) {
  const Ran ran = tool("shrink " + path("wide") + " --keep-inputs --out " + path("small.safetensors"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(ran.out.find("no inputs any more"), std::string::npos) << ran.out;
  EXPECT_EQ(open_network(path("small.safetensors")).encoder->features(),
            open_network(path("wide")).encoder->features());
  const Ran less = tool("shrink " + path("wide") + " --out " + path("less.safetensors"));
  EXPECT_NE(less.out.find("no inputs any more"), std::string::npos) << less.out;
}

TEST_F(ShrinkInputs, NormsAreFoldedIfThatIsWanted) {
  const std::string plain = path("plain.safetensors"), folded = path("folded.safetensors");
  ASSERT_EQ(tool("shrink " + path("wide") + " --out " + plain).code, exit_done);
  const Ran ran = tool("shrink " + path("wide") + " --fold-norm --json --out " + folded);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["folded_norms"], (std::vector<std::string>{"fc1.norm", "fc2.norm"}));
  EXPECT_TRUE(json["norms_that_stay"].empty());
  EXPECT_LT(std::filesystem::file_size(folded), std::filesystem::file_size(plain));
  EXPECT_EQ(state_of(*open_network(folded).model).size(), 0u);
  expect_same_answers(path("wide"), folded);
  const Ran said = tool("shrink " + path("wide") + " --fold-norm --out " + folded);
  EXPECT_NE(said.out.find("2 batch norms folded into the layers before them"), std::string::npos) << said.out;
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
