// espalier predict as its users meet it: a file of rows in, an answer to each of them out.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/experiment/trained_network.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::megabyte;
using testing::Ran;
using testing::tool;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// A run on 200 rows: x and w say what the label is.
class PredictCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string csv = "name,x,w,label\n";
    for (int r = 0; r < 200; ++r)
      csv += fmt::format("n{},{},{},{}\n", r % 50, r % 20, r % 3 ? "a" : "b", r % 20 < 10 ? "no" : "yes");
    training_file_ = write("rows.csv", csv);
    const Ran ran = tool("train --data " + training_file_ + " --ignore name" + quick + "--out " + path("run"));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
  }
  std::string write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end())).string();
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  Ran predict(const std::string& text, const std::string& flags = "") {
    return tool("predict " + path("run") + " " + write("asked.csv", text) + " " + flags);
  }
  static constexpr const char* quick =
      " --no-dense --epochs 30 --batch 32 --model tabular:16 --density 0.5 --threads 1 ";
  testing::TemporaryFolder folder_;
  std::string training_file_;
};

TEST_F(PredictCommand, KeepsColumnsInFrontOfTheAnswers) {
  const std::string asked = "id,x,w,note\n7,3,a,\"one, two\"\n8,15,b,\"say \"\"hi\"\"\"\n9,15,b,\n";
  const auto kept = lines_of(predict(asked, "--keep id,note").out);
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_EQ(kept[0], "id,note,label,p(no),p(yes)");
  EXPECT_TRUE(kept[1].starts_with("7,\"one, two\",no,")) << kept[1];
  EXPECT_TRUE(kept[2].starts_with("8,\"say \"\"hi\"\"\",yes,")) << kept[2];
  EXPECT_TRUE(kept[3].starts_with("9,,yes,")) << kept[3];
  EXPECT_EQ(lines_of(predict(asked, "--keep all").out)[0], "id,x,w,note,label,p(no),p(yes)");
  const Ran wrong = predict(asked, "--keep identity");
  EXPECT_EQ(wrong.code, exit_usage);
  EXPECT_PRED2(contains, wrong.err, "[--keep] ");
  EXPECT_PRED2(contains, wrong.err, "id, x, w, note, got \"identity\"");
}

TEST_F(PredictCommand, CallsTheAnswerOtherwiseWhereAKeptColumnHasItsName) {
  const Ran ran = predict("x,w,label\n3,a,no\n", "--keep label");
  EXPECT_EQ(lines_of(ran.out)[0], "label,predicted label,p(no),p(yes)") << ran.err;
}

TEST_F(PredictCommand, CountsTargetsThatAreNoClassAndLeavesThemOutOfTheMetrics) {
  const Ran ran = predict("x,w,label\n3,a,no\n4,a,unknown\n15,b,?\n15,b,tbd\n16,b,yes\n17,a,\n");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(lines_of(ran.out).size(), 7u);
  EXPECT_PRED2(contains, ran.err, "2 are no classes of the model, the first is \"unknown\" in line 3");
  EXPECT_PRED2(contains, ran.err, "of 2 rows whose label is known: accuracy 100.00 %");
}

TEST_F(PredictCommand, AnswersRowsThatCannotBeReadWithEmptyFields) {
  const std::string asked = "x,w\n3\n3,a\n4,a,5\n15,b\n1,2,3,4\n";
  const Ran refused = predict(asked);
  EXPECT_EQ(refused.code, exit_file);
  EXPECT_PRED2(contains, refused.err, "line 2: expected 2 fields, found 1");
  EXPECT_EQ(predict(asked, "--skip-bad-rows 2").code, exit_file);
  const Ran ran = predict(asked, "--skip-bad-rows 3 --keep x");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 6u);
  for (const std::size_t bad : {1u, 3u, 5u}) EXPECT_EQ(lines[bad], ",,,") << bad;
  EXPECT_TRUE(lines[2].starts_with("3,no,")) << lines[2];
  EXPECT_PRED2(contains, ran.err, "5 rows");
  EXPECT_PRED2(contains, ran.err,
               "3 rows have no answer, for they could not be read: another number of fields, first in "
               "line 2");
}

TEST_F(PredictCommand, AnswersARowThatRepeatsTheHeaderWithEmptyFields) {
  const Ran ran = predict("x,w\n3,a\nx,w\n15,b\n");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2], ",,");
  EXPECT_TRUE(lines[3].starts_with("yes,")) << lines[3];
  EXPECT_PRED2(contains, ran.err, "1 rows have no answer, for they repeat the header, first in line 3");
}

TEST_F(PredictCommand, SaysHowManyRowsWereTrainedOn) {
  const Ran same = tool("predict " + path("run") + " " + training_file_ + " --out " + path("out.csv"));
  ASSERT_EQ(same.code, exit_done) << same.err;
  EXPECT_PRED2(contains, same.out, "144 of the 200 rows are rows that the network was trained on");  // 200 * 0.8 * 0.9
  EXPECT_EQ(predict("x,w\n300,a\n").err.find("trained on"), std::string::npos);
  std::filesystem::remove(folder_.path() / "run/trained_rows.safetensors");  // of a run from before
  EXPECT_EQ(tool("predict " + path("run") + " " + training_file_).err.find("trained on"), std::string::npos);
}

TEST_F(PredictCommand, ShowsATableByClassWhereTargetsAreKnown) {
  const Ran ran = tool("predict " + path("run") + " " + training_file_ + " --out " + path("out.csv"));
  EXPECT_PRED2(contains, ran.out,
               "by class               rows  precision    recall        F1   taken for:     no    yes");
  EXPECT_PRED2(contains, ran.out, "\nno                      100 ");
  EXPECT_EQ(predict("x,w\n3,a\n").err.find("by class"), std::string::npos);
}

TEST_F(PredictCommand, NeverWritesOverWhatItReads) {
  const std::string model = read_file(path("run/model.safetensors"), megabyte);
  std::filesystem::create_symlink("rows.csv", path("link.csv"));
  std::filesystem::create_hard_link(path("run/config.toml"), path("hard.toml"));
  for (const std::string& out : {training_file_, path("./rows.csv"), path("link.csv"), path("run/model.safetensors"),
                                 path("run/trained_rows.safetensors"), path("run/metrics.jsonl"), path("hard.toml")}) {
    const Ran ran = tool("predict " + path("run") + " " + training_file_ + " --out " + out);
    EXPECT_EQ(ran.code, exit_usage) << out;
    EXPECT_TRUE(ran.err.starts_with("error: [--out] expected ")) << ran.err;
  }
  EXPECT_EQ(read_file(path("run/model.safetensors"), megabyte), model);
  EXPECT_TRUE(read_file(training_file_, megabyte).starts_with("name,x,w,label\nn0,0,b,no\n"));
  EXPECT_EQ(tool("predict " + path("run") + " " + training_file_ + " --out " + path("run/answers.csv")).code, exit_done)
      << "a file of one's own beside them is no trouble";
}

TEST_F(PredictCommand, WritesIntoAFifoAndThroughALink) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  std::string received;
  std::jthread reader([&] {
    const int file = ::open(path("fifo").c_str(), O_RDONLY);
    char buffer[4096];
    for (ssize_t got; (got = ::read(file, buffer, sizeof buffer)) > 0;) received.append(buffer, buffer + got);
    ::close(file);
  });
  EXPECT_EQ(tool("predict " + path("run") + " " + training_file_ + " --out " + path("fifo")).code, exit_done);
  reader.join();
  EXPECT_EQ(lines_of(received).size(), 201u);
  EXPECT_TRUE(std::filesystem::is_fifo(path("fifo")));

  write("real.csv", "old");
  std::filesystem::create_symlink("real.csv", path("out.csv"));
  EXPECT_EQ(tool("predict " + path("run") + " " + training_file_ + " --out " + path("out.csv")).code, exit_done);
  EXPECT_TRUE(std::filesystem::is_symlink(path("out.csv")));
  EXPECT_EQ(read_file(path("real.csv"), megabyte), received);
}

TEST_F(PredictCommand, TakesTheTrainingFilesFormatForAFileOfAnyEnding) {
  write("rows.data", read_file(training_file_, megabyte));
  EXPECT_EQ(tool("predict " + path("run") + " " + path("rows.data")).code, exit_done);
  write("rows.svm", "x,w\n3,a\n");
  EXPECT_EQ(tool("predict " + path("run") + " " + path("rows.svm")).code, exit_usage);
  EXPECT_EQ(tool("predict " + path("run") + " " + path("rows.svm") + " --format csv").code, exit_done);
}

TEST_F(PredictCommand, OfSparseRowsAnswersThoseWithoutATargetToo) {
  std::string rows;
  for (int r = 0; r < 200; ++r)
    rows += r % 2 ? fmt::format("+1 1:1 {}:1\n", 3 + r % 5) : fmt::format("-0 2:1 {}:1\n", 3 + r % 4);
  const Ran trained = tool("train --data " + write("rows.svm", rows) + quick + "--out " + path("sparse"));
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  const std::string asked = write("asked.svm", "1:1 3:1\nunknown 2:1 3:1\n5 1:1\n0 2:1\n1 x\n1.0 1:1\n");
  EXPECT_EQ(tool("predict " + path("sparse") + " " + asked).code, exit_file);
  const Ran ran = tool("predict " + path("sparse") + " " + asked + " --skip-bad-rows 1");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], "target,p(-0),p(+1)");
  EXPECT_TRUE(lines[1].starts_with("+1,")) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("-0,")) << lines[2];
  EXPECT_EQ(lines[5], ",,");
  EXPECT_PRED2(contains, ran.err, "2 targets are no classes of the model, the first is \"unknown\" in line 2");
  EXPECT_PRED2(contains, ran.err, "1 rows have no answer, for they could not be read; line 5: expected index:value");
  EXPECT_PRED2(contains, ran.err, "of 2 rows whose target is known: accuracy 100.00 %");
  EXPECT_EQ(tool("predict " + path("sparse") + " " + asked + " --skip-bad-rows 1 --keep id").code, exit_usage);
}

TEST_F(PredictCommand, OneColumnMayBeEmpty) {
  std::string csv = "x,label\n";
  for (int r = 0; r < 100; ++r) csv += fmt::format("{},{}\n", r % 10, r % 10 < 5 ? "no" : "yes");
  ASSERT_EQ(tool("train --data " + write("one.csv", csv) + quick + "--out " + path("one")).code, exit_done);
  const Ran ran = tool("predict " + path("one") + " " + write("ask.csv", "x\n1\n\n9\n2\n"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(lines_of(ran.out).size(), 5u);
}

// --- a model's file alone -------------------------------------------------------------------------------------------

TEST_F(PredictCommand, AModelsFileAloneAnswersAsItsRunDoes) {
  const std::string expected = tool("predict " + path("run") + " " + training_file_).out;
  EXPECT_FALSE(std::filesystem::exists(path("run/preprocessing.json")));
  std::filesystem::create_directory(path("elsewhere"));
  std::filesystem::copy_file(path("run/model.safetensors"), path("elsewhere/any-name"));
  std::filesystem::remove_all(path("run"));
  const Ran ran = tool("predict " + path("elsewhere/any-name") + " " + training_file_);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(ran.out, expected);
  EXPECT_EQ(ran.err.find("trained on"), std::string::npos);
  const Ran over =
      tool("predict " + path("elsewhere/any-name") + " " + training_file_ + " --out " + path("elsewhere/any-name"));
  EXPECT_EQ(over.code, exit_usage) << over.err;
}

TEST_F(PredictCommand, SaysWhereItsModelComesFrom) {
  const ModelCard card = read_card(path("run/model.safetensors"));
  EXPECT_EQ(card.model, "tabular:16");
  EXPECT_EQ(card.input.rank(), 1);
  EXPECT_EQ(card.outputs, 2);
  EXPECT_EQ(card.dataset, training_file_);
  EXPECT_EQ(card.seed, 1u);
  EXPECT_TRUE(card.fingerprint);
  EXPECT_FALSE(card.version.empty());
}

// The files of a run as they were before models had it all themselves.
TEST_F(PredictCommand, ARunOfTheOlderFormatStillPredicts) {
  const std::string expected = tool("predict " + path("run") + " " + training_file_).out;
  SafeTensors file = load_safetensors(path("run/model.safetensors"));
  write("run/preprocessing.json", file.metadata.at("preprocessing"));
  file.sealed = false;
  file.metadata["format"] = "espalier-1";
  for (const char* key : {"version", "input", "outputs", "preprocessing", "seed", "fingerprint"})
    file.metadata.erase(key);
  save_safetensors(file, path("run/model.safetensors"));
  const Ran ran = tool("predict " + path("run") + " " + training_file_);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_EQ(ran.out, expected);
  EXPECT_EQ(tool("evaluate " + path("run") + " --data " + training_file_).code, exit_done);
  std::filesystem::remove(path("run/preprocessing.json"));
  const Ran alone = tool("predict " + path("run") + " " + training_file_);
  EXPECT_EQ(alone.code, exit_file);
  EXPECT_PRED2(contains, alone.err, "which files of espalier-1 do not have");
}

TEST_F(PredictCommand, GivesProbabilitiesToNineDigits) {
  std::size_t longest = 0;
  for (const std::string& line : lines_of(predict("x,w\n3,a\n15,b\n9.5,a\n").out)) {
    if (line.starts_with("label")) continue;
    const std::size_t comma = line.find(','), second = line.rfind(',');
    const double no = std::stod(line.substr(comma + 1)), yes = std::stod(line.substr(second + 1));
    EXPECT_NEAR(no + yes, 1, 2e-9) << line;
    longest = std::max(longest, line.size());
  }
  EXPECT_GE(longest, 24u) << "a label and two probabilities, of which at least one is not 0 or 1 to nine digits";
}

TEST_F(PredictCommand, AnAnswerThatIsNotFiniteIsAnError) {
  SafeTensors file = load_safetensors(path("run/model.safetensors"));
  for (SafeTensor& tensor : file.tensors)  // finite weights whose products are not
    if (tensor.dtype == "F32")
      for (std::size_t at = 0; at + 4 <= tensor.data.size(); at += 4) {
        const float huge = 3e38f;
        std::memcpy(tensor.data.data() + at, &huge, sizeof huge);
      }
  save_safetensors(file, path("run/model.safetensors"));
  const Ran ran = predict("x,w\n300,a\n");
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_PRED2(contains, ran.err, "asked.csv: row 1: expected a finite answer, found NaN or Inf");
  EXPECT_EQ(ran.out, "");
}

TEST_F(PredictCommand, EveryFlippedBitAndEveryTruncationOfTheModelIsRefused) {
  const std::string bytes = read_file(path("run/model.safetensors"), megabyte), file = path("damaged");
  const auto refused = [&](const std::string& damaged) {
    std::filesystem::remove(file);  // some file systems wait for the disk when a file is overwritten
    write("damaged", damaged);
    try {
      open_network(file);
      return false;
    } catch (const FileError& error) {
      return std::string(error.what()).find('\n') == std::string::npos;
    }
  };
  EXPECT_FALSE(refused(bytes));
  for (std::size_t length = 0; length < bytes.size(); ++length)
    ASSERT_TRUE(refused(bytes.substr(0, length))) << "cut to " << length;
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ASSERT_TRUE(refused(damaged)) << "bit " << bit << " of byte " << at;
    }
  const Ran ran = tool("predict " + file + " " + training_file_);
  EXPECT_EQ(ran.code, exit_file);
  EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
}

TEST_F(PredictCommand, MembersOfAnAverageStandInTheOneFile) {
  ASSERT_EQ(
      tool("train --data " + training_file_ + " --ignore name --members 3" + quick + "--out " + path("three")).code,
      exit_done);
  const Ran run = tool("predict " + path("three") + " " + training_file_),
            file = tool("predict " + path("three/model.safetensors") + " " + training_file_);
  ASSERT_EQ(run.code, exit_done) << run.err;
  EXPECT_EQ(run.out, file.out);
  const Ran evaluated = tool("evaluate " + path("three/model.safetensors") + " --data " + training_file_);
  EXPECT_PRED2(contains, evaluated.out, "of 200 rows whose label is known: accuracy 100.00 %");
}

TEST_F(PredictCommand, EvaluateSaysHowGoodANetworkIsOnOtherRows) {
  const Ran ran = tool("evaluate " + path("run") + " --data " + training_file_);
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("of 200 rows whose label is known: accuracy 100.00 %")) << ran.out;
  EXPECT_PRED2(contains, ran.out, "by class");
  EXPECT_PRED2(contains, ran.err, "144 of the 200 rows are rows that the network was trained on");
  const Ran as_json = tool("evaluate " + path("run") + " --json --data " + training_file_);
  EXPECT_EQ(nlohmann::json::parse(as_json.out).at("test_accuracy"), 1.0);
  EXPECT_EQ(nlohmann::json::parse(as_json.out).at("samples"), 200);
  const Ran unknown = tool("evaluate " + path("run") + " --data " + write("asked.csv", "x,w\n3,a\n"));
  EXPECT_EQ(unknown.code, exit_file);
  EXPECT_PRED2(contains, unknown.err, "expected rows whose label is known, found none");
  for (const char* data : {"mnist", "synthetic-table"}) {
    const Ran other = tool("evaluate " + path("run") + " --data " + data);
    EXPECT_EQ(other.code, exit_usage);
    EXPECT_PRED2(contains, other.err, "[--data] expected a file of rows, for the network is a table's");
  }
}

}  // namespace
}  // namespace espalier
