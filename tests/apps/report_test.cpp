// The page of a run: what it is made of. How it looks and behaves is tests/report.sh's.
#include "espalier/experiment/report.h"

#include <gtest/gtest.h>

#include <fstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
constexpr std::uintmax_t limit_bytes = 1 << 24;

int occurrences(const std::string& text, const std::string& what) {
  int n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

class Pages : public ::testing::Test {
 protected:
  std::filesystem::path run(const std::string& name, const Result& result) const {
    const std::filesystem::path folder = folder_.path() / name;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "result.json") << to_json(result).dump();
    return folder;
  }
  // The data that a page holds.
  static Json data_in(const std::string& page) {
    const std::string begins = R"(<script id="data" type="application/json">)";
    const std::size_t from = page.find(begins) + begins.size();
    return Json::parse(page.substr(from, page.find("</script>", from) - from));
  }
  static Result small() { return {.dataset = "d", .model = "m", .method = "magnitude", .sparse = {.test = Metrics{}}}; }
  testing::TemporaryFolder folder_;
};

TEST_F(Pages, NamesStayTextWhateverTheyAre) {
  const std::string evil = "</script><script>alert(1)</script><!-- \xff";
  Result result = small();
  const int scripts = occurrences(report_of({run("plain", result)}), "</script");
  result.dataset = result.model = evil;
  result.class_names = {evil, "b"};
  result.confusion = Confusion(2);
  result.notes = {evil};
  const auto folder = folder_.path() / "evil";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "result.json") << to_json(result).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::ofstream(folder / "config.toml") << evil;
  const std::string page = report_of({folder});
  EXPECT_EQ(occurrences(page, "</script"), scripts);
  EXPECT_EQ(occurrences(page, "alert(1)<"), 0);
  EXPECT_PRED2(contains, data_in(page)["runs"][0]["result"]["model"].get<std::string>(), "</script><script>alert(1)");
}

TEST_F(Pages, ARunWithoutMetricsMasksAndModelHasOne) {
  const Json data = data_in(report_of({run("old", small())}));
  ASSERT_EQ(data["runs"].size(), 1);
  EXPECT_TRUE(data["runs"][0]["metrics"].empty());
  EXPECT_TRUE(data["runs"][0]["masks"].empty());
  EXPECT_TRUE(data["runs"][0]["network"].is_null());
}

TEST_F(Pages, ALineThatIsNotWholeEndsTheMetrics) {
  const auto folder = run("cut", small());
  std::ofstream(folder / "metrics.jsonl") << "{\"side\":\"sparse\",\"epoch\":1}\n{\"side\":\"spa";
  EXPECT_EQ(data_in(report_of({folder}))["runs"][0]["metrics"].size(), 1);
}

TEST_F(Pages, SeveralRunsAreComparedWithoutTheirMasks) {
  const Json data = data_in(report_of({run("a", small()), run("b", small())}));
  ASSERT_EQ(data["runs"].size(), 2);
  EXPECT_FALSE(data["runs"][0].contains("masks"));
}

TEST_F(Pages, AFileThatIsNoPageIsNotReplaced) {
  const auto folder = run("r", small());
  EXPECT_EQ(write_report(folder), folder / "report.html");
  const std::string page = read_file(folder / "report.html", limit_bytes);
  write_report(folder);  // over the page of before
  EXPECT_EQ(read_file(folder / "report.html", limit_bytes), page);
  std::ofstream(folder / "report.html") << "mine";
  EXPECT_THROW(write_report(folder), FileError);
  EXPECT_EQ(read_file(folder / "report.html", limit_bytes), "mine");
}

TEST_F(Pages, AreAskedForByCommand) {
  std::string csv = "x,y,label\n";
  for (int r = 0; r < 300; ++r) csv += fmt::format("{},{},{}\n", r % 17, r % 5, r % 17 < 8 ? "no" : "yes");
  std::ofstream(folder_.path() / "rows.csv") << csv;
  const std::string runs = (folder_.path() / "runs").string();
  const testing::Ran trained =
      testing::tool("train --data " + (folder_.path() / "rows.csv").string() +
                    " --batch 32 --threads 1 --model tabular:8 --density 0.5,0.3 --epochs 2 --out " + runs);
  ASSERT_EQ(trained.code, exit_done) << trained.err;
  EXPECT_EQ(data_in(read_file(runs + "/report.html", limit_bytes))["runs"].size(), 3) << "and the dense network";
  const std::string one = runs + "/magnitude-0.3-elements-1";
  const Json data = data_in(read_file(one + "/report.html", limit_bytes))["runs"][0];
  EXPECT_FALSE(data["masks"].empty());
  EXPECT_EQ(data["network"]["columns"], Json::array({"x", "y"}));
  EXPECT_GT(data["result"]["sparse"]["event_seconds"], 0);
  EXPECT_TRUE(data["result"]["layers"][0].contains("dense_seconds"));
  std::filesystem::remove(one + "/report.html");
  const testing::Ran again = testing::tool("report " + one);
  EXPECT_EQ(again.out, one + "/report.html\n");
  EXPECT_EQ(data_in(read_file(one + "/report.html", limit_bytes))["runs"][0]["result"], data["result"]);
  EXPECT_EQ(testing::tool("report " + one + " " + runs + " --out " + runs + "/all.html").code, exit_done);
  EXPECT_EQ(data_in(read_file(runs + "/all.html", limit_bytes))["runs"].size(), 4);
  const testing::Ran nothing = testing::tool("report " + folder_.path().string() + "/nothing");
  EXPECT_EQ(nothing.code, exit_file);
  EXPECT_PRED2(contains, nothing.err, "expected a run that is finished");
}

}  // namespace
}  // namespace espalier
