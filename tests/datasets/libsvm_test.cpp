#include "espalier/datasets/libsvm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

class Libsvm : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end()));
  }
  // One bad row among good ones, in line 21.
  std::string complaint(const std::string& row) {
    try {
      load_libsvm(write("rows.svm", many("+1 1:1 3:0.5\n") + row + "\n"), {}, {});
    } catch (const FileError& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted: " << row;
    return {};
  }
  static std::string many(const std::string& row) {
    std::string text;
    for (int i = 0; i < 20; ++i) text += i % 2 ? row : "-1 2:1\n";
    return text;
  }
  static std::vector<Real> features(const Dataset& data, Index i) {
    std::vector<Real> row(static_cast<std::size_t>(data.shape().features()), Real{7});
    data.read(i, row);
    return row;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(Libsvm, ReadsSparseRowsAndComments) {
  const auto train = write("train.svm", "# all of them\n" + many("+1 1:1 5:-0.5 # the last feature\r\n"));
  const auto test = write("test.svm", "1 1:2 5:1e-3 9:4\n-1\n\n-1.0 3:1");
  const DataParts parts = load_libsvm(train, test, {});
  EXPECT_EQ(parts.train->samples() + parts.validation->samples(), 20);
  EXPECT_EQ(parts.train->shape().features(), 5);
  EXPECT_EQ(parts.preprocessing->target.classes, (std::vector<std::string>{"-1", "+1"}));
  ASSERT_EQ(parts.test->samples(), 3);
  EXPECT_EQ(features(*parts.test, 0), (std::vector<Real>{2, 0, 0, 0, Real{1e-3f}}));
  EXPECT_EQ(parts.test->label(0), 1);
  EXPECT_EQ(features(*parts.test, 1), (std::vector<Real>(5, 0)));
  EXPECT_EQ(parts.test->label(2), 0);
  std::string notes;
  for (const std::string& note : parts.notes) notes += note + "\n";
  EXPECT_PRED2(contains, notes, "ignored 1 numbers of features absent from the training file");
}

TEST_F(Libsvm, TakesRealTargetsForARegression) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += fmt::format("{} 1:{} qid:3 2:1\n", 0.5 * i, i);
  const DataParts parts = load_libsvm(write("rows.svm", text), {}, {});
  EXPECT_EQ(parts.train->classes(), 0);
  EXPECT_EQ(parts.train->outputs(), 1);
  const TargetScale scale = parts.train->target_scale();
  std::vector<Real> value(1);
  parts.train->target(0, value);
  const double original = scale.mean + scale.deviation * value[0];
  EXPECT_NEAR(original, 0.5 * features(*parts.train, 0)[0], 1e-4);
  EXPECT_PRED2(contains, parts.notes.back(), "ignored 50 qid");
}

TEST_F(Libsvm, SaysWhichNumbersLoseDigitsAndRefusesThoseBeyondTheRange) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += fmt::format("{} 1:{} 2:16777216 3:0.1\n", 0.5 * i, 1700000000 + i);
  EXPECT_PRED2(contains, load_libsvm(write("rows.svm", text), {}, {}).notes.back(),
               "rounded 49 whole numbers to the 7 digits");
  EXPECT_PRED2(contains, complaint("1 1:1e39"),
               "rows.svm: line 21: expected a finite number for index 1, found \"1e39\"");
}

TEST_F(Libsvm, NamesTheLineOfWhatIsWrong) {
  const auto expect = [&](const std::string& row, const std::string& message) {
    EXPECT_PRED2(contains, complaint(row), "rows.svm: line 21: " + message);
  };
  expect("1 3:1 2:1", "expected ascending indices, found 2 after 3");
  expect("1 3:1 3:1", "expected ascending indices, found 3 after 3 (repeated)");
  expect("1 0:1 2:1", "expected an index from 1 to 16777216, found 0");
  expect("1 -4:1", "expected an index from 1 to 16777216, found -4");
  expect("1 99999999999999999999:1", "expected an index from 1 to 16777216, found 99999999999999999999");
  expect("1 5", "expected index:value, found \"5\"");
  expect("1 a:5", "expected index:value, found \"a:5\"");
  expect("1 1.5:5", "expected index:value, found \"1.5:5\"");
  expect("1 :5", "expected index:value, found \":5\"");
  expect("1 5:", "expected a finite number for index 5, found \"\"");
  expect("1 5:x", "expected a finite number for index 5, found \"x\"");
  expect("1 5:nan", "expected a finite number for index 5, found \"nan\"");
  expect("1 5:inf", "expected a finite number for index 5, found \"inf\"");
  expect("yes 5:1", "expected a number as the target, found \"yes\"");
  expect("1,2 5:1", "expected a number as the target, found \"1,2\"");
  expect("5:1 6:1", "expected a number as the target, found none");
  expect("nan 5:1", "expected a number as the target, found \"nan\"");
}

// A label is an index into arrays: -0 once was one in front of them.
TEST_F(Libsvm, MinusZeroIsClassZeroWhereverItStands) {
  for (const char* zero : {"-0", "-0.0", "0", "+0", "-0e5"}) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += i % 2 ? "1 1:1\n" : i % 4 ? fmt::format("{} 2:1\n", zero) : "0.0 2:1\n";
    const DataParts parts = load_libsvm(write("rows.svm", text), write("test.svm", fmt::format("{} 2:1\n", zero)), {});
    EXPECT_EQ(parts.preprocessing->target.classes, (std::vector<std::string>{"0.0", "1"}));
    EXPECT_EQ(parts.train->samples() + parts.validation->samples(), 40) << zero;
    EXPECT_EQ(parts.test->label(0), 0) << zero;
    std::vector<int> rows(2);
    for (const DatasetPtr& part : {parts.train, parts.validation})
      for (Index i = 0; i < part->samples(); ++i) ++rows.at(static_cast<std::size_t>(part->label(i)));
    EXPECT_EQ(rows, (std::vector<int>{20, 20})) << zero;
  }
}

TEST_F(Libsvm, MinusZeroIsATargetOfARegression) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += fmt::format("{} 1:{}\n", i ? fmt::format("{}", 0.5 * i) : "-0", i);
  EXPECT_EQ(load_libsvm(write("rows.svm", text), {}, {}).train->classes(), 0);
}

TEST_F(Libsvm, ClassesAreCalledAsTheyAreFirstWritten) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += fmt::format("{} 1:{}\n", i % 3 == 0 ? "007" : i % 3 == 1 ? "12.0" : "+3", i + 1);
  const DataParts parts = load_libsvm(write("rows.svm", text + "7 1:1\n12 1:2\n"), write("test.svm", "12 1:1\n"), {});
  EXPECT_EQ(parts.preprocessing->target.classes, (std::vector<std::string>{"+3", "007", "12.0"}));
  EXPECT_EQ(parts.test->label(0), 2);
}

TEST_F(Libsvm, ClassesOfModelsFromBeforeAreFoundByTheirNumbers) {
  const SparseClasses classes({"-1", "1", "2.5"});
  EXPECT_EQ(classes.of(-1), 0);
  EXPECT_EQ(classes.of(1), 1);
  EXPECT_EQ(classes.of(2.5), 2);
  for (const double other : {0.0, 3.0, std::nan("")}) EXPECT_EQ(classes.of(other), -1);
  EXPECT_EQ(SparseClasses({"-0", "1"}).of(0), 0);
}

TEST_F(Libsvm, RowsThatAreAskedAboutNeedNoTarget) {
  LibsvmReader reader(write("rows.svm", "1:0.5 3:2\nunknown 2:1\n? qid:7 4:1\n-0 1:1\n"));
  ASSERT_TRUE(reader.next());
  EXPECT_TRUE(std::isnan(reader.target()));
  EXPECT_EQ(reader.target_text(), "");
  EXPECT_EQ(reader.entries().size(), 2u);
  ASSERT_TRUE(reader.next());
  EXPECT_TRUE(std::isnan(reader.target()));
  EXPECT_EQ(reader.target_text(), "unknown");
  EXPECT_EQ(reader.entries().size(), 1u);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.target_text(), "?");
  EXPECT_EQ(reader.entries().front().index, 3u);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.target(), 0);
  EXPECT_FALSE(std::signbit(reader.target()));
  EXPECT_FALSE(reader.next());
}

TEST_F(Libsvm, LeavesOutAsManyBadRowsAsItMay) {
  const auto file = write("rows.svm", "1 1:1\n1 2:1 1:1\n0 x\n0 1:2\n1 0:1\n");
  LibsvmReader reader(file, 3);
  Index rows = 0;
  while (reader.next()) ++rows;
  EXPECT_EQ(rows, 2);
  EXPECT_EQ(reader.bad_rows(), 3);
  EXPECT_EQ(reader.first_bad_row(), "line 2: expected ascending indices, found 1 after 2");
  LibsvmReader strict(file, 2);
  EXPECT_THROW(while (strict.next()), FileError);
}

TEST_F(Libsvm, RefusesWhatCannotBeLearntFrom) {
  EXPECT_THROW(load_libsvm(write("rows.svm", ""), {}, {}), FileError);
  EXPECT_THROW(load_libsvm(write("rows.svm", "# nothing\n"), {}, {}), FileError);
  EXPECT_THROW(load_libsvm(write("rows.svm", "1\n-1\n1\n-1\n"), {}, {}), FileError) << "no features";
  EXPECT_THROW(load_libsvm(write("rows.svm", "1 1:1\n1 1:2\n1 1:3\n1 1:4\n"), {}, {}), FileError) << "one class";
  const auto train = write("train.svm", many("+1 1:1\n"));
  EXPECT_THROW(load_libsvm(train, write("test.svm", "3 1:1\n"), {}), FileError) << "an unknown class";
  EXPECT_THROW(load_libsvm(train, folder_.path() / "absent.svm", {}), FileError);
}

TEST(RealLibsvm, ReutersHasItsPublishedSize) {
  const char* variable = std::getenv("ESPALIER_DATA");
  const std::filesystem::path folder = std::filesystem::path(variable ? variable : "") / "tabular";
  if (!variable || !std::filesystem::exists(folder / "reuters_moneyfx_train.svm"))
    GTEST_SKIP() << "no reuters_moneyfx_train.svm in $ESPALIER_DATA/tabular: tested on made-up rows only";
  const DataParts parts = load_libsvm(folder / "reuters_moneyfx_train.svm", folder / "reuters_moneyfx_test.svm", {});
  EXPECT_EQ(parts.train->samples() + parts.validation->samples(), 7770);
  EXPECT_EQ(parts.test->samples(), 3299);
  EXPECT_EQ(parts.train->shape().features(), 8315);
  EXPECT_EQ(parts.train->classes(), 2);
}

}  // namespace
}  // namespace espalier
