// espalier inspect: a trained network in letters.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/tool/inspect_model.h"
#include "apps/tool/terminal_plot.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/text.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

class Inspect : public ::testing::Test {
 protected:
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  void train(const std::string& flags) {
    const Ran ran = tool("train --epochs 2 --threads 1 --overwrite --out " + path("run") + " " + flags);
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Inspect, ShowsLayersHistogramsPictureAndCurvesOfARun) {
  train("--data synthetic-digits --model mlp:784-12-10 --density 0.1 --interval 10");
  const Ran ran = tool("inspect " + path("run"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(read_file(path("run/result.json"), megabyte));
  EXPECT_PRED2(contains, ran.out, "mlp:784-12-10, trained on synthetic-digits, for samples [1, 28, 28]");
  EXPECT_PRED2(contains, ran.out,
               with_commas(result["sparse"]["nonzeros"].get<double>()) + " of 9,550 parameters are left");
  // What the table says of bytes is what the file has, but for its header.
  const std::string row =
      ran.out.substr(ran.out.find("fc1.weight  "), ran.out.find('\n', ran.out.find("fc1.weight  ")));
  EXPECT_PRED2(contains, row, "12 x 784");
  EXPECT_PRED2(contains, row, result["layers"][0]["file_form"].get<std::string>());
  EXPECT_PRED2(contains, ran.out, "\nvalues of fc1.weight, the ");
  EXPECT_PRED2(contains, ran.out, "over the 28 x 28 image: how many of the 12 units read a pixel");
  std::size_t rows = 0;
  for (std::size_t at = ran.out.find("\n  |"); at != std::string::npos; at = ran.out.find("\n  |", at + 1)) ++rows;
  EXPECT_EQ(rows, 28u) << "a row of letters for each of pixels";
  for (const char* title : {"accuracy on validation samples   o dense   * sparse\n", "training loss ", "density "})
    EXPECT_PRED2(contains, ran.out, std::string("\n") + title);
  // A file alone says the same, but for the curves.
  std::filesystem::copy_file(path("run/model.safetensors"), path("model"));
  const Ran alone = tool("inspect " + path("model"));
  ASSERT_EQ(alone.code, exit_done) << alone.err;
  EXPECT_EQ(alone.out.find("training loss"), std::string::npos);
  EXPECT_PRED2(contains, ran.out, alone.out.substr(alone.out.find("\nparameter ")));
}

TEST_F(Inspect, NamesTheColumnsThatAreReadMost) {
  std::string csv = "height,colour,label\n";
  for (int r = 0; r < 120; ++r)
    csv += fmt::format("{},{},{}\n", r % 10, r % 3 ? "red" : "green", r % 10 < 5 ? "no" : "yes");
  write_file_atomically(path("rows.csv"), csv);
  train("--data " + path("rows.csv") + " --model tabular:6 --density 0.5 --no-dense");
  const Ran ran = tool("inspect " + path("run"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_PRED2(contains, ran.out, "columns that fc1.weight reads");
  EXPECT_PRED2(contains, ran.out, "height");
}

TEST_F(Inspect, ShowsTheMatrixOfAConvolution) {
  train("--data synthetic-signals --model cnn-1d --no-dense");
  EXPECT_PRED2(contains, tool("inspect " + path("run")).out, "which weights are kept, a row for each output");
}

TEST_F(Inspect, SaysWhatIsWrongWithWhatItIsGiven) {
  EXPECT_EQ(tool("inspect " + path("nothing")).code, exit_file);
  write_file_atomically(path("metrics.jsonl"), "{\"side\":\"sparse\",\"epoch\":1,\"train_loss\":0.5}\n{\"side\"");
  try {
    curves_of_run(path("metrics.jsonl"));
    ADD_FAILURE();
  } catch (const FileError& error) {
    EXPECT_PRED2(contains, error.what(), "line 2: expected a JSON object");
  }
}

TEST(TerminalPlot, DrawsTheEndsOfCurvesWhereTheyAre) {
  const std::vector<Series> series{{.name = "up", .mark = '*', .x = {1, 2, 3}, .y = {0, 5, 10}},
                                   {.name = "down", .mark = 'o', .x = {1, 2, 3}, .y = {10, 5, 0}}};
  const std::string text = curves_text("two", series, "epoch");
  EXPECT_TRUE(text.starts_with("two   * up   o down\n        10 |o")) << text;
  EXPECT_PRED2(contains, text, "\n         0 |*");
  EXPECT_PRED2(contains, text, "#") << "they meet";
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(curves_text("none", std::vector<Series>{{.name = "a", .x = {1}, .y = {nan}}}, "x"), "");
  EXPECT_FALSE(curves_text("one", std::vector<Series>{{.name = "a", .x = {1}, .y = {2}}}, "x").empty());
}

TEST(TerminalPlot, CountsEveryValueInItsHistogramOnce) {
  std::vector<double> values;
  for (int n = 0; n < 160; ++n) values.push_back(n / 10.0);
  const std::string text = histogram_text(values);
  std::istringstream lines(text);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += std::stoul(line.substr(22, 9));
  EXPECT_EQ(count, 160u) << text;
  EXPECT_EQ(histogram_text({}), "");
  EXPECT_PRED2(contains, histogram_text(std::vector<double>{2, 2}), "all 2 of them are 2");
}

TEST(TerminalPlot, LeavesOnlyEmptyCellsOfAGridBlank) {
  std::vector<double> values(100 * 100, 0);
  values[0] = 1e-6;
  values[99 * 100 + 99] = 1;
  const std::string text = grid_text(values, 100, 100, 1, 4, 4);
  EXPECT_EQ(text, "  |.   |\n  |    |\n  |    |\n  |   .|\n");
  EXPECT_EQ(grid_text(std::vector<double>{0, 1}, 1, 2, 1), "  | @|\n");
}

}  // namespace
}  // namespace espalier
