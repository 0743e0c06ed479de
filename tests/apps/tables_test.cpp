// Tables through the tool: raw files in, predictions out.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/table.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

class ToolTables : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end())).string();
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  testing::TemporaryFolder folder_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

constexpr const char* quick = " --no-dense --epochs 2 --batch 64 --interval 5 --threads 2 ";

TEST_F(ToolTables, TrainOnAFileAndPredictItsRows) {
  const std::string csv = synthetic_table_csv({.rows = 1500, .missing = 0.05});
  const std::string file = write("rows.csv", csv);
  const Ran trained = tool("train --data " + file + quick + "--json --out " + path("run"));
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  const auto result = nlohmann::json::parse(trained.out);
  EXPECT_EQ(result["dataset"], "rows");
  EXPECT_EQ(result["model"], default_table_model);
  EXPECT_EQ(result["input_columns"], 40);
  EXPECT_PRED2(contains, trained.err, "1500 rows, 40 columns");
  EXPECT_PRED2(contains, trained.err, "missing values: ");

  // Applied to the whole file, and to the same rows without the target and in another order of columns.
  const Ran predicted = tool("predict " + path("run") + " " + file + " --out " + path("out.csv"));
  ASSERT_EQ(predicted.code, exit_done) << predicted.err;
  EXPECT_PRED2(contains, predicted.out, "1500 rows, written to ");
  EXPECT_PRED2(contains, predicted.out, "of 1500 rows whose y is known: accuracy ");
  const auto answers = lines_of(read_file(path("out.csv"), megabyte));
  ASSERT_EQ(answers.size(), 1501u);
  EXPECT_EQ(answers[0], "y,p(high),p(low)");
  EXPECT_TRUE(answers[1].starts_with("high,") || answers[1].starts_with("low,")) << answers[1];

  CsvReader reader("rows.csv", csv);
  std::string turned = "extra";
  const auto add_reversed = [&](const auto& fields) {
    for (std::size_t c = fields.size() - 1; c-- > 0;) (turned += ",") += fields[c];
    turned += "\n";
  };
  add_reversed(reader.columns());
  while (reader.next()) {
    turned += "1";
    add_reversed(reader.fields());
  }
  const Ran again = tool("predict " + path("run") + " " + write("turned.csv", turned));
  ASSERT_EQ(again.code, exit_done) << again.err;
  EXPECT_EQ(lines_of(again.out), answers);
  EXPECT_PRED2(contains, again.err, "ignored 1 columns absent from the training file");
}

// What is saved is what was scored: measuring in between has moved nothing.
TEST_F(ToolTables, PredictFindsTheFiguresOfTheRunOnItsTestFile) {
  for (const bool regression : {false, true})
    for (const char* model : {"tabular:16-16", "tabular:16-16+norm+dropout=0.1", "tabular-resnet:12x2"}) {
      SCOPED_TRACE(fmt::format("{}, {}", model, regression ? "regression" : "classification"));
      const std::string train = write("train.csv", synthetic_table_csv({.rows = 600, .regression = regression}));
      const std::string test =
          write("test.csv", synthetic_table_csv({.rows = 300, .first = 600, .regression = regression}));
      const Ran trained = tool("train --overwrite --data " + train + " --test-data " + test + quick +
                               "--density 0.3 --model " + model + " --json --out " + path("run"));
      ASSERT_EQ(trained.code, exit_done) << trained.err;
      const auto run = nlohmann::json::parse(trained.out)["sparse"];
      const auto number = [&](const char* key) { return run.at(key).get<double>(); };
      const Ran predicted = tool("predict " + path("run") + " " + test + " --out " + path("out.csv"));
      ASSERT_EQ(predicted.code, exit_done) << predicted.err;
      EXPECT_PRED2(contains, predicted.out,
                   regression ? fmt::format("RMSE {:.5g}, MAE {:.5g}, R2 {:.4f}\n", number("test_rmse"),
                                            number("test_mae"), number("test_r2"))
                              : fmt::format("accuracy {:.2f} %, balanced {:.2f} %, AUC {:.4f}, log-loss {:.4f}\n",
                                            100 * number("test_accuracy"), 100 * number("test_balanced_accuracy"),
                                            number("test_auc"), number("test_log_loss")));
    }
}

TEST_F(ToolTables, RegressionIsPredictedInOriginalUnits) {
  std::string csv = "x,z,y\n";
  for (int r = 0; r < 600; ++r) csv += fmt::format("{},{},{}\n", r % 100, r % 7, 5000 + 3.5 * (r % 100));
  const std::string file = write("rows.csv", csv);
  const Ran trained =
      tool("train --data " + file + " --no-dense --epochs 15 --density 0.5 --json --out " + path("run"));
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  EXPECT_GT(nlohmann::json::parse(trained.out)["sparse"]["test_r2"].get<double>(), 0.9);
  const Ran predicted = tool("predict " + path("run") + " " + file);
  ASSERT_EQ(predicted.code, exit_done) << predicted.err;
  const auto answers = lines_of(predicted.out);
  ASSERT_EQ(answers.size(), 601u);
  EXPECT_EQ(answers[0], "y");
  EXPECT_NEAR(std::stod(answers[1 + 50]), 5000 + 3.5 * 50, 60);
}

TEST_F(ToolTables, SparseRowsAreTrainedOnAndPredicted) {
  std::string rows;
  for (int r = 0; r < 300; ++r)
    rows += r % 2 ? fmt::format("+1 1:1 {}:1\n", 3 + r % 5) : fmt::format("-1 2:1 {}:1\n", 3 + r % 4);
  const std::string file = write("rows.svm", rows);
  const Ran trained = tool("train --data " + file + quick + "--json --out " + path("run"));
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  const Ran predicted = tool("predict " + path("run") + " " + write("more.svm", "1 1:1 99:1\n-1 2:1\n"));
  ASSERT_EQ(predicted.code, exit_done) << predicted.err;
  EXPECT_EQ(lines_of(predicted.out)[0], "target,p(-1),p(+1)");
  EXPECT_PRED2(contains, predicted.err, "ignored 1 numbers of features absent from the training file");
  EXPECT_EQ(tool("predict " + path("run") + " " + write("rows.csv", "a,b\n1,2\n")).code, exit_usage);
}

TEST_F(ToolTables, ConfigOfATableRunsAgainToTheSameBits) {
  const std::string file = write("rows.csv", synthetic_table_csv({.rows = 600, .regression = true}));
  ASSERT_EQ(
      tool("train --data " + file + quick + "--scaling robust --encoding ordinal --ignore x3 --out " + path("a")).code,
      exit_done);
  ASSERT_EQ(tool("train --threads 3 --config " + path("a") + "/config.toml --out " + path("b")).code, exit_done);
  EXPECT_EQ(read_file(path("a") + "/model.safetensors", megabyte),
            read_file(path("b") + "/model.safetensors", megabyte));
}

TEST_F(ToolTables, MisuseEndsInOneLineAndADocumentedCode) {
  const std::string good = write(
      "good.csv", "x,w,y\n" + [] {
        std::string rows;
        for (int r = 0; r < 60; ++r) rows += fmt::format("{},{},{}\n", r, r % 3 ? "a" : "b", r % 2 ? "no" : "yes");
        return rows;
      }());
  ASSERT_EQ(tool("train --data " + good + quick + "--out " + path("run")).code, exit_done);
  struct Bad {
    std::string line;
    int code;
    const char* message;
  };
  int bad_files = 0;
  const auto data = [&](const std::string& text) {
    return "train --data " + write(fmt::format("{}/bad.csv", ++bad_files), text);
  };
  const auto sparse = [&](const std::string& text) {
    return "train --data " + write(fmt::format("{}/bad.svm", ++bad_files), text);
  };
  const auto predict = [&](const std::string& text) {
    return "predict " + path("run") + " " + write(fmt::format("{}/bad.csv", ++bad_files), text) + " --out " +
           path("none.csv");
  };
  const std::string bad_folder = folder_.path().string();
  for (const Bad& bad : {
           Bad{"train --data absent.csv", exit_file, "absent.csv: expected a table, found no such file"},
           Bad{"train --data table.xls", exit_usage, "or a file that ends in .csv, .tsv, .svm, .libsvm or .txt"},
           Bad{data(""), exit_file, "line 1: expected a table, found an empty file"},
           Bad{data("x,y\n"), exit_file, "expected rows behind the header, found the end of the file"},
           Bad{data("x,y\n1,2\n3\n"), exit_file, "line 3: expected 2 fields, found 1"},
           Bad{data("x,y\n1,\"2\n"), exit_file, "line 2: expected a closing quote, found the end of the file"},
           Bad{data(std::string("x,y\n1,\0002\n", 9)), exit_file, "line 2: expected text, found a NUL byte"},
           Bad{data("x,x,y\n1,2,3\n"), exit_file, "expected different names of columns, found \"x\" as column 1 and 2"},
           Bad{data("x,y\n1," + std::string(100000, 'a') + "\n"), exit_file, "expected fields of at most 65536 bytes"},
           Bad{data("x,y\n1,nan\n2,\n"), exit_file, "column y, the target: expected values, found none"},
           Bad{data("x,y\n1,2.5\n2,inf\n"), exit_file, "expected finite numbers, found 1 infinite ones"},
           Bad{data("x,y\n1,a\n2,b\n3,c\n"), exit_file, "expected classes of two rows and more"},
           Bad{"train --target z --data " + good, exit_usage, "[--target] "},
           Bad{"train --ignore z --data " + good, exit_usage, "[--ignore] "},
           Bad{"train --task ranking --data " + good, exit_usage,
               "[--task] expected auto or classification or regression"},
           Bad{"train --task regression --data " + good, exit_file,
               "line 2: column y, the target: expected a number, found \"yes\""},
           Bad{"train --scaling most --data " + good, exit_usage, "[--scaling] expected"},
           Bad{"train --encoding hash --data " + good, exit_usage, "[--encoding] expected"},
           Bad{"train --test-fraction 1.5 --data " + good, exit_usage, "[--test-fraction] expected"},
           Bad{"train --test-data t.csv --data mnist", exit_usage, "[--test-data] expected data that are a table, too"},
           Bad{"train --test-data absent.csv --data " + good, exit_file,
               "absent.csv: expected a table, found no such file"},
           Bad{sparse("1 3:1 2:1\n"), exit_file, "bad.svm: line 1: expected ascending indices, found 2 after 3"},
           Bad{sparse("1 3:1 3:1\n"), exit_file,
               "bad.svm: line 1: expected ascending indices, found 3 after 3 (repeated)"},
           Bad{sparse("1 0:1\n"), exit_file, "bad.svm: line 1: expected an index from 1 to 16777216, found 0"},
           Bad{"predict " + bad_folder + " " + good, exit_file,
               "expected the folder of one run, or a model's file, found no model.safetensors in it"},
           Bad{"predict " + path("run") + " absent.csv", exit_file, "absent.csv: expected a table, found no such file"},
           Bad{predict("x,y\n1,no\n"), exit_file, "line 1: expected a column w, which the model was trained with"},
           Bad{predict("x,w\n1,a\n2\n"), exit_file, "line 3: expected 2 fields, found 1"},
           Bad{predict("x,w\n"), exit_file, "expected rows, found none"},
       }) {
    const Ran ran = tool(bad.line);
    EXPECT_EQ(ran.code, bad.code) << bad.line << "\n" << ran.err;
    EXPECT_PRED2(contains, ran.err, bad.message) << bad.line;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path("none.csv"))) << "half-written";
}

// Of 40 columns 10 bear on the target. Magnitude alone keeps some of the others; decay lets go of what the loss does
// not hold.
TEST_F(ToolTables, PruningFindsTheColumnsThatMatter) {
  const Ran ran = tool(
      "train --data synthetic-table --no-dense --epochs 10 --density 0.005 --weight-decay 0.005 --threads 2 --json "
      "--out " +
      path("run"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  const auto survivors = result["surviving_inputs"].get<std::set<std::string>>();
  for (const std::string& column : relevant_columns()) EXPECT_TRUE(survivors.contains(column)) << column;
  EXPECT_LE(survivors.size(), relevant_columns().size() + 3);
  EXPECT_GT(result["sparse"]["validation_accuracy"].get<double>(), 0.9);
}

TEST(SurvivingInputs, AreTheColumnsWithAWeightThatIsNotZero) {
  const DataParts parts =
      load_table_text("t",
                      [] {
                        std::string text = "a,w,b,y\n";
                        for (int r = 0; r < 90; ++r)
                          text += fmt::format("{},{},{},{}\n", r / 2, std::vector{"p", "q", "r"}[r % 3], r * r, r % 2);
                        return text;
                      }(),
                      {});
  ASSERT_EQ(parts.preprocessing->features(), 5);
  Sequential model("m");
  model.add(std::make_unique<Linear>(LinearOptions{.name = "fc1", .in = 5, .out = 2}, 1));
  Parameter& W = *parameters_of(model).front();
  std::ranges::fill(W.value(), Real{0});
  EXPECT_TRUE(surviving_inputs(model, *parts.preprocessing).empty());
  W.value()[5 + 2] = Real{0.1};  // second unit, "w = q"
  EXPECT_EQ(surviving_inputs(model, *parts.preprocessing), (std::vector<std::string>{"w"}));
  W.value()[4] = Real{-0.1};
  EXPECT_EQ(surviving_inputs(model, *parts.preprocessing), (std::vector<std::string>{"w", "b"}));
}

}  // namespace
}  // namespace espalier
