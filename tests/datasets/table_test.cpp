#include "espalier/datasets/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/datasets/sample_rules.h"
#include "espalier/datasets/synthetic_table.h"
#include "support/table.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::column;
using testing::contains;
using testing::features;
using testing::notes_of;
using testing::table_of;
using testing::target;

DataParts load(const std::string& text, const TableOptions& options = {}) {
  return testing::load_table_text(text, options);
}
std::string complaint(const std::string& text, const TableOptions& options = {}) {
  return testing::complaint_about_table(text, options);
}

TEST(Table, TypesColumnsByWhatTheyHold) {
  const DataParts parts = load(table_of("number,flag,yes,colour,day,same,empty,label", 100, [](int r) {
    return fmt::format("{},{},{},{},2024-01-{:02},7,,{}", r * 0.5, r % 2, r % 3 ? "y" : "n",
                       std::vector{"red", "green", "blue"}[static_cast<std::size_t>(r % 3)], 1 + r % 28,
                       r % 2 ? "a" : "b");
  }));
  EXPECT_EQ(column(parts, "number").kind, ColumnKind::numeric);
  EXPECT_EQ(column(parts, "flag").kind, ColumnKind::numeric);
  EXPECT_EQ(column(parts, "flag").scaling.centre, 0);
  EXPECT_EQ(column(parts, "flag").scaling.scale, 1);
  EXPECT_EQ(column(parts, "yes").kind, ColumnKind::binary);
  EXPECT_EQ(column(parts, "colour").kind, ColumnKind::categorical);
  EXPECT_EQ(column(parts, "day").why, "dates");
  EXPECT_EQ(column(parts, "same").why, "constant");
  EXPECT_EQ(column(parts, "empty").why, "no values");
  EXPECT_EQ(parts.preprocessing->feature_names(),
            (std::vector<std::string>{"number", "flag", "yes = y", "colour = blue", "colour = green", "colour = red"}));
  EXPECT_EQ(parts.preprocessing->source_columns(), (std::vector<Index>{0, 1, 2, 3, 3, 3}));
  EXPECT_EQ(parts.train->classes(), 2);
  EXPECT_EQ(parts.train->outputs(), 0);
  for (const char* note : {"ignored (dates): day", "ignored (constant): same", "ignored (no values): empty"})
    EXPECT_PRED2(contains, notes_of(parts), note);
}

TEST(Table, KnowsDatesFromNumbersAndWords) {
  const auto kind = [](const std::string& field) {
    const DataParts parts = load(table_of("x,d,y", 60, [&](int r) {
      return fmt::format("{},{},{}", r, r % 2 ? field : field + (field.back() == 'x' ? "x" : "1"), r % 2);
    }));
    return column(parts, "d").why;
  };
  for (const char* date : {"2024-01-3", "31.1.202", "1/31/202", "2024-01-31 12:3", "2024-01-31T12:00:0", "12:3"})
    EXPECT_EQ(kind(date), "dates") << date;
  for (const char* other : {"1.5", "20240131", "12-34x", "10.0.0.1x", "a/b/cx", "-1"})
    EXPECT_EQ(kind(other), "") << other;
}

TEST(Table, TakesIntegersOfFewValuesForClassesAndOthersForNumbers) {
  const auto classes = [](int values, int rows, const char* suffix = "", const std::string& task = "auto") {
    return load(table_of("x,y", rows, [&](int r) { return fmt::format("{},{}{}", r, r % values, suffix); }),
                {.task = task})
        .train->classes();
  };
  EXPECT_EQ(classes(3, 60), 3);
  EXPECT_EQ(classes(20, 60), 20);
  EXPECT_EQ(classes(21, 60), 0) << "too many values";
  EXPECT_EQ(classes(20, 30), 0) << "too few rows of each";
  EXPECT_EQ(classes(3, 60, ".5"), 0);
  EXPECT_EQ(classes(3, 60, "", "regression"), 0);
  EXPECT_EQ(classes(25, 60, "", "classification"), 25);
  EXPECT_EQ(classes(26, 60, "th"), 26) << "words";
}

TEST(Table, OrdersClassesByNumberOrAlphabet) {
  const auto names = [](const std::vector<std::string>& labels) {
    return load(table_of("x,y", 60,
                         [&](int r) {
                           return fmt::format("{},{}", r, labels[static_cast<std::size_t>(r) % labels.size()]);
                         }))
        .preprocessing->target.classes;
  };
  EXPECT_EQ(names({"10", "9", "-1"}), (std::vector<std::string>{"-1", "9", "10"}));
  EXPECT_EQ(names({"2", "1.0", "1"}), (std::vector<std::string>{"1.0", "2"})) << "as the first was written";
  EXPECT_EQ(names({"<=50K", ">50K"}), (std::vector<std::string>{"<=50K", ">50K"}));
}

// Invariant 1.
TEST(Table, PartsAreDisjointCompleteAndHaveTheirShareOfEachClass) {
  const std::string text =
      table_of("x,y", 1000, [](int r) { return fmt::format("{},{}", r, r % 10 == 0 ? "rare" : "usual"); });
  const DataParts parts = load(text, {.scaling = "none", .seed = 3});
  EXPECT_EQ(parts.test->samples(), 200);
  EXPECT_EQ(parts.validation->samples(), 80);
  std::vector<int> seen(1000);
  for (const DatasetPtr& part : {parts.train, parts.validation, parts.test}) {
    Index rare = 0;
    for (Index i = 0; i < part->samples(); ++i) {
      const auto row = static_cast<std::size_t>(features(*part, i)[0]);
      ++seen[row];
      EXPECT_EQ(part->label(i), row % 10 == 0 ? 0 : 1);
      rare += part->label(i) == 0;
    }
    EXPECT_EQ(rare, part->samples() / 10);
  }
  EXPECT_EQ(std::ranges::count(seen, 1), 1000);
  const DataParts again = load(text, {.scaling = "none", .seed = 3}),
                  other = load(text, {.scaling = "none", .seed = 4});
  EXPECT_EQ(features(*parts.test, 5), features(*again.test, 5));
  bool differs = false;
  for (Index i = 0; i < 200; ++i) differs = differs || features(*parts.test, i) != features(*other.test, i);
  EXPECT_TRUE(differs);
}

// Invariant 2.
TEST(Table, IsFittedOnTheTrainingPartOnly) {
  const auto text = [](const std::vector<bool>& spoil) {
    return table_of("i,x,w,y", 200, [&](int r) {
      const bool other = !spoil.empty() && spoil[static_cast<std::size_t>(r)];
      return fmt::format("{},{},{},{}", r, other ? 1e6 : r % 7,
                         other   ? "strange"
                         : r % 3 ? "a"
                                 : "b",
                         (other ? 1000 : 0) + 0.5 * r);
    });
  };
  const TableOptions options{.scaling = "none", .use = {"i"}};
  const DataParts parts = load(text({}), options);
  std::vector<bool> not_trained(200, true);
  for (Index i = 0; i < parts.train->samples(); ++i)
    not_trained[static_cast<std::size_t>(features(*parts.train, i)[0])] = false;
  for (const char* scaling : {"none", "standard", "robust", "quantile", "piecewise"}) {
    const TableOptions scaled{.scaling = scaling, .use = {"i"}};
    EXPECT_EQ(to_json(*load(text({}), scaled).preprocessing), to_json(*load(text(not_trained), scaled).preprocessing));
  }
  std::vector<bool> trained(200);
  for (std::size_t r = 0; r < 200; ++r) trained[r] = !not_trained[r];
  EXPECT_NE(to_json(*parts.preprocessing), to_json(*load(text(trained), options).preprocessing));
}

// Invariant 3.
TEST(Table, HoldsTheSameBitsInMemoryAndInAFile) {
  const std::string text = synthetic_table_csv({.rows = 500, .missing = 0.1});
  const DataParts memory = load(text), file = load(text, {.memory_bytes = 4096});
  EXPECT_EQ(to_json(*memory.preprocessing), to_json(*file.preprocessing));
  ASSERT_EQ(memory.train->samples(), file.train->samples());
  for (Index i = 0; i < memory.train->samples(); ++i) {
    EXPECT_EQ(features(*memory.train, i), features(*file.train, i));
    EXPECT_EQ(memory.train->label(i), file.train->label(i));
  }
}

TEST(Table, StandardisesNumbersAndFillsInTheMeanOfWhatIsMissing) {
  const DataParts parts = load(table_of(
      "x,y", 200, [](int r) { return fmt::format("{},{}", r % 4 == 0 ? "?" : fmt::format("{}", 10 * r), 0.5 * r); }));
  double sum = 0, squares = 0, missing = 0;
  for (Index i = 0; i < parts.train->samples(); ++i) {
    const auto x = features(*parts.train, i);
    ASSERT_EQ(x.size(), 2u);
    if (x[1] != 0) {
      EXPECT_EQ(x[1], 1);
      EXPECT_EQ(x[0], 0);
      ++missing;
    }
    sum += x[0];
    squares += x[0] * x[0];
  }
  const auto n = static_cast<double>(parts.train->samples());
  EXPECT_GT(missing, 20);
  EXPECT_NEAR(sum / n, 0, 1e-6);
  EXPECT_NEAR(squares / (n - missing), 1, 1e-5);
  EXPECT_PRED2(contains, notes_of(parts), "missing values: x 50");
}

TEST(Table, RobustScalingUsesMedianAndQuartilesAndBoundsWhatIsFarOut) {
  const DataParts parts =
      load(table_of("x,y", 101, [](int r) { return fmt::format("{},{}", r == 100 ? 1000000 : r, 0.5 * r); }),
           {.scaling = "robust", .validation = 0, .test_fraction = 0.01});
  const ColumnRule& x = column(parts, "x");
  EXPECT_NEAR(x.scaling.centre, 50, 1);
  EXPECT_NEAR(x.scaling.scale, 50, 2);
  for (Index i = 0; i < parts.train->samples(); ++i) {
    const Real value = features(*parts.train, i)[0];
    EXPECT_LE(std::abs(value), 3);
  }
}

TEST(Table, NumbersInBinsHaveAFeatureForEach) {
  const DataParts parts = load(
      table_of(
          "x,flag,y", 400,
          [](int r) { return fmt::format("{},{},{}", r % 10 == 3 ? "?" : fmt::format("{}", r % 9), r % 2, 0.5 * r); }),
      {.scaling = "piecewise:4", .validation = 0, .test_fraction = 0.01});
  EXPECT_EQ(parts.preprocessing->feature_names(),
            (std::vector<std::string>{"x", "x from 0 to 2", "x from 2 to 4", "x from 4 to 6", "x from 6 to 8",
                                      "x missing", "flag"}));
  EXPECT_EQ(parts.preprocessing->source_columns(), (std::vector<Index>{0, 0, 0, 0, 0, 0, 1}));
  int missing = 0, seven = 0;
  for (Index i = 0; i < parts.train->samples(); ++i) {
    const auto x = features(*parts.train, i);
    ASSERT_EQ(x.size(), 7u);
    EXPECT_TRUE(x[6] == 0 || x[6] == 1) << "two values";
    if (x[5] == 1) {
      ++missing;
      EXPECT_EQ(x, (std::vector<Real>{0, 1, 1, 0, 0, 1, x[6]})) << "the median";
    } else if (x[4] == Real{0.5}) {
      ++seven;
      const double u = (7 - 4) / 4.0;
      EXPECT_EQ(x, (std::vector<Real>{static_cast<Real>(u / std::sqrt(1 + u * u / 9)), 1, 1, 1, 0.5, 0, x[6]}));
    }
  }
  EXPECT_GT(missing, 10);
  EXPECT_GT(seven, 10);
}

TEST(Table, BinsAreNamedInOriginalUnits) {
  const DataParts parts =
      load(table_of("when,x,y", 97,
                    [](int r) { return fmt::format("{},{},{}", 1700000000 + r * 31 % 97, 0.1 * (r % 11), r % 2); }),
           {.scaling = "piecewise:2", .validation = 0});
  const auto names = parts.preprocessing->feature_names();
  ASSERT_EQ(names.size(), 6u);
  EXPECT_TRUE(names[1].starts_with("when from 170000000")) << names[1];
  EXPECT_EQ(names[4], "x from 0 to 0.5");
  EXPECT_EQ(names[5], "x from 0.5 to 1");
}

TEST(Table, NumbersByRankAreSpreadAlikeWhateverTheirDistribution) {
  const DataParts parts =
      load(table_of("x,y", 500, [](int r) { return fmt::format("{},{}", std::exp(0.1 * (r * 7 % 500)), 0.5 * r); }),
           {.scaling = "quantile"});
  double sum = 0, squares = 0;
  for (Index i = 0; i < parts.train->samples(); ++i) {
    const auto x = static_cast<double>(features(*parts.train, i)[0]);
    EXPECT_LE(std::abs(x), 3);
    sum += x;
    squares += x * x;
  }
  const auto n = static_cast<double>(parts.train->samples());
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.02);
}

// Quantiles are those of some rows, but the range is that of all.
TEST(Table, TheEndsOfTheRangeAreEndsOfTheEncodingDrawnOrNot) {
  const std::string text = table_of("x,y", 160000, [](int r) {
    return fmt::format("{},{}", r % 1000 == 1 ? -r : r % 1000 == 2 ? r : r % 10, r % 2);
  });
  for (const char* scaling : {"quantile", "piecewise"}) {
    const DataParts parts = load(text, {.scaling = scaling, .test_fraction = 0.01});
    const ColumnRule& x = column(parts, "x");
    const std::vector<float>& points = x.scaling.knots.empty() ? x.scaling.edges : x.scaling.knots;
    ASSERT_GT(parts.train->samples(), 2 * most_quantile_rows);
    EXPECT_LE(x.low, -159000);
    EXPECT_EQ(static_cast<double>(points.front()), x.low);
    EXPECT_EQ(static_cast<double>(points.back()), x.high);
  }
}

TEST(Table, StandardisesTheTargetOfARegression) {
  const DataParts parts = load(table_of("x,y", 200, [](int r) { return fmt::format("{},{}", r, 1000 + 0.5 * r); }));
  ASSERT_EQ(parts.train->outputs(), 1);
  double sum = 0, squares = 0;
  for (Index i = 0; i < parts.train->samples(); ++i)
    sum += target(*parts.train, i), squares += std::pow(target(*parts.train, i), 2);
  const auto n = static_cast<double>(parts.train->samples());
  EXPECT_NEAR(sum / n, 0, 1e-5);
  EXPECT_NEAR(squares / n, 1, 1e-4);
  const TargetScale scale = parts.test->target_scale();
  const Encoder encoder(*parts.preprocessing);
  EXPECT_EQ(scale.mean, encoder.rules().target.mean);
  const double original = scale.mean + scale.deviation * target(*parts.test, 0);
  EXPECT_GE(original, 999.9);
  EXPECT_LE(original, 1100.1);
}

// The q-quantile lies between two numbers of the sample, in proportion (type 7 of Hyndman and Fan, 1996).
double textbook_quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1), below = std::floor(at);
  const double a = sorted[static_cast<std::size_t>(below)], b = sorted[static_cast<std::size_t>(std::ceil(at))];
  return a + (at - below) * (b - a);
}

TEST(Table, RobustScalingInterpolatesBetweenTheValuesBesideAQuantile) {
  const auto squares = [](int r) { return fmt::format("{},{}", r * r, r % 2); };  // neighbours that differ a lot
  int between = 0;
  for (const int rows : {40, 41, 43, 46}) {
    const std::string text = table_of("x,y", rows, squares);
    const DataParts plain = load(text, {.scaling = "none", .validation = 0}),
                    robust = load(text, {.scaling = "robust", .validation = 0});
    std::vector<double> x;
    for (Index i = 0; i < plain.train->samples(); ++i) x.push_back(static_cast<double>(features(*plain.train, i)[0]));
    std::ranges::sort(x);
    between += (x.size() - 1) % 4 != 0;
    const ColumnRule& rule = column(robust, "x");
    EXPECT_DOUBLE_EQ(rule.scaling.centre, textbook_quantile(x, 0.5)) << x.size();
    EXPECT_DOUBLE_EQ(rule.fill, textbook_quantile(x, 0.5)) << x.size();
    EXPECT_DOUBLE_EQ(rule.scaling.scale, textbook_quantile(x, 0.75) - textbook_quantile(x, 0.25)) << x.size();
  }
  EXPECT_GE(between, 2) << "quartiles that are no value of the sample";
}

TEST(Table, RareWordsShareAFeature) {
  const DataParts parts =
      load(table_of("w,x,y", 3000,
                    [](int r) { return fmt::format("w{},{},{}", r % 2 ? r % 100 : 1000 + r / 10, r, r % 3); }),
           {.validation = 0});
  const ColumnRule& w = column(parts, "w");
  EXPECT_EQ(w.kind, ColumnKind::categorical);
  EXPECT_EQ(w.words.size(), static_cast<std::size_t>(most_word_features));
  EXPECT_TRUE(w.other);
  EXPECT_TRUE(std::ranges::is_sorted(w.words));
  for (Index i = 0; i < parts.train->samples(); ++i) {
    const auto x = features(*parts.train, i);
    EXPECT_EQ(std::count(x.begin(), x.begin() + most_word_features + 1, Real{1}), 1);
  }
  EXPECT_EQ(parts.preprocessing->feature_names()[most_word_features], "w other");
}

TEST(Table, IgnoresWordsThatNameTheRow) {
  const DataParts parts =
      load(table_of("who,x,y", 500, [](int r) { return fmt::format("row{},{},{}", r, r * r % 17, r % 2); }));
  EXPECT_EQ(column(parts, "who").why, "another word in nearly every row");
  EXPECT_PRED2(contains, notes_of(parts), "ignored (another word in nearly every row): who [use who]");
}

TEST(Table, OrdinalEncodingGivesRanks) {
  const std::string text = table_of("w,y", 90, [](int r) {
    return fmt::format("{},{}", std::vector{"low", "mid", "top"}[static_cast<std::size_t>(r) % 3], r % 2);
  });
  const DataParts parts = load(text, {.scaling = "none", .encoding = "ordinal"});
  EXPECT_EQ(parts.preprocessing->features(), 1);
  std::map<Real, Index> values;
  for (Index i = 0; i < parts.train->samples(); ++i) ++values[features(*parts.train, i)[0]];
  ASSERT_EQ(values.size(), 3u);
  EXPECT_TRUE(values.contains(0) && values.contains(1) && values.contains(2));
}

TEST(Table, FollowsTargetIgnoreCategoricalAndMissingMarks) {
  const DataParts parts =
      load(table_of("y,code,skip,x", 100,
                    [](int r) { return fmt::format("{},{},{},{}", r % 2, r % 3, r, r % 5 ? r : -999); }),
           {.target = "y", .missing_marks = {"-999"}, .ignore = {"skip"}, .categorical = {"code"}});
  EXPECT_EQ(parts.preprocessing->target.name, "y");
  EXPECT_EQ(column(parts, "code").kind, ColumnKind::categorical);
  EXPECT_EQ(column(parts, "skip").why, "asked for");
  EXPECT_TRUE(column(parts, "x").missing);
  EXPECT_PRED2(contains, notes_of(parts), "missing values: x 20");
}

TEST(Table, CountsWhatItLeavesOutOrReplaces) {
  const DataParts parts = load(table_of("x,age,y", 200, [](int r) {
    return fmt::format("{},{},{}", r == 7 ? "inf" : fmt::format("{}", r), r == 9 ? "old" : fmt::format("{}", r % 50),
                       r % 20 == 0 ? "nan"
                       : r % 2     ? "a"
                                   : "b");
  }));
  EXPECT_EQ(parts.train->samples() + parts.validation->samples() + parts.test->samples(), 190);
  EXPECT_PRED2(contains, notes_of(parts), "10 rows without a target (column y) were left out");
  EXPECT_PRED2(contains, notes_of(parts), "infinite numbers, taken for missing: x 1");
  EXPECT_PRED2(contains, notes_of(parts),
               "column age was read as numbers: 1 of 200 fields are not numbers and count as missing, the first is "
               "\"old\" in line 11 [categorical age]");
  EXPECT_EQ(column(parts, "age").kind, ColumnKind::numeric);
}

TEST(Table, RefusesWhatCannotBeLearntFrom) {
  const auto rows = [](const char* y) {
    return table_of("x,y", 20, [&](int r) { return fmt::format("{},{}", r, y); });
  };
  EXPECT_EQ(complaint("x,y\n"), "table.csv: line 1: expected rows behind the header, found the end of the file");
  EXPECT_PRED2(contains, complaint("x\n1\n2\n"), "expected at least two columns");
  EXPECT_PRED2(contains, complaint(rows("a")), "expected at least two classes, found \"a\" in every row");
  EXPECT_PRED2(contains, complaint(rows("nan")), "column y, the target: expected values, found none");
  EXPECT_PRED2(contains, complaint(rows("1.5")), "expected values that differ, found 1.5 in every row");
  EXPECT_PRED2(contains, complaint("x,y\n1,2.5\n2,inf\n3,4.5\n"), "expected finite numbers, found 1 infinite ones");
  EXPECT_PRED2(contains, complaint("x,y\n1,2.5\n2,high\n3,4.5\n", {.task = "regression"}),
               "line 3: column y, the target: expected a number, found \"high\"");
  EXPECT_PRED2(contains, complaint("x,y\n1,a\n2,b\n3,c\n"), "expected classes of two rows and more, found 3 in 3 rows");
  EXPECT_PRED2(contains, complaint("x,y\n1,a\n1,b\n1,a\n1,b\n"), "expected enough rows");
  EXPECT_PRED2(contains, complaint(table_of("x,y", 40, [](int r) { return fmt::format("1,{}", r % 2); })),
               "table.csv: expected a column to learn from, found none; ignored (constant): x");
  EXPECT_PRED2(contains, complaint("x,y\n1,2\n", {.target = "z"}),
               "[table] target: table.csv: expected one of the columns x, y, got \"z\"");
  EXPECT_PRED2(
      contains, complaint("x,y\n1,2\n", {.scaling = "best"}),
      "[table] scaling: expected standard or robust or none or quantile or piecewise or piecewise:BINS (of 2 to 128 "
      "bins), got \"best\"");
}

class TestFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end()));
  }
  std::string complaint(const std::string& test) {
    try {
      load_table(train_, write("test.csv", test), {});
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  testing::TemporaryFolder folder_;
  std::filesystem::path train_ = write("train.csv", table_of("x,w,y", 60, [](int r) {
                                         return fmt::format("{},{},{}", 2 * r, r % 3 ? "a" : "b", r % 2 ? "no" : "yes");
                                       }));
};

TEST_F(TestFile, IsEncodedAsTheTrainingFileWasByTheNamesOfItsColumns) {
  const auto test = write("test.csv", "y,more,w,x\nno,1,a,3\nyes,2,c,\nyes,3,b,5\n?,4,a,1\n");
  const DataParts parts = load_table(train_, test, {.scaling = "none"});
  EXPECT_EQ(parts.train->samples() + parts.validation->samples(), 60);
  ASSERT_EQ(parts.test->samples(), 3);
  EXPECT_EQ(features(*parts.test, 0), (std::vector<Real>{3, 0}));
  EXPECT_EQ(parts.test->label(0), 0);
  EXPECT_EQ(features(*parts.test, 1)[1], Real{0.5}) << "a word that was never seen";
  EXPECT_EQ(features(*parts.test, 2), (std::vector<Real>{5, 1}));
  EXPECT_PRED2(contains, notes_of(parts), "3 rows for testing; 1 without a target were left out");
  EXPECT_PRED2(contains, notes_of(parts),
               "missing values: x 1; words that are rare in training, or were never seen there: w 1");
  EXPECT_PRED2(contains, notes_of(parts), "ignored 1 columns absent from the training file");
}

TEST_F(TestFile, MustHaveTheColumnsKindsAndClassesOfTheTrainingFile) {
  EXPECT_PRED2(contains, complaint("x,v,y\n1,a,no\n"),
               "line 1: expected a column w, which the model was trained with, found x, v, y");
  EXPECT_PRED2(contains, complaint("x,w\n1,a\n"), "expected the target, a column y, found none");
  EXPECT_PRED2(contains, complaint("x,w,y\n1,a,perhaps\n"),
               "line 2: column y: expected one of the classes no, yes, found \"perhaps\"");
  EXPECT_PRED2(contains, complaint("x,w,y\n"), "expected rows, found none");
}

TEST(Preprocessing, ComesBackFromJson) {
  for (const char* scaling : {"standard", "robust", "none", "quantile", "piecewise", "piecewise:128"}) {
    const DataParts parts =
        load(synthetic_table_csv({.rows = 300, .regression = true, .missing = 0.1}), {.scaling = scaling});
    const std::string json = to_json(*parts.preprocessing);
    const Preprocessing again = preprocessing_from_json(json, "file");
    EXPECT_EQ(to_json(again), json);
    EXPECT_EQ(again.feature_names(), parts.preprocessing->feature_names());
    // And answers the same bits, within the range and beyond it.
    const Encoder saved(*parts.preprocessing), read(again);
    std::vector<Real> a(static_cast<std::size_t>(saved.features())), b(a.size());
    for (int i = -40; i <= 40; ++i) {
      const std::vector<Cell> cells(again.columns.size(), std::bit_cast<Cell>(static_cast<float>(i) * 0.1f));
      saved.expand(cells, a);
      read.expand(cells, b);
      EXPECT_EQ(a, b) << scaling;
    }
  }
}

// One as it was written before there were scalings with points.
TEST(Preprocessing, OfAnEarlierVersionAnswersAsItDid) {
  const Encoder encoder(
      preprocessing_from_json(R"({"version": 1, "target": {"name": "y", "mean": 1.5, "deviation": 2.0},
    "missing_marks": ["?"], "sparse_features": 0, "columns": [
      {"name": "a", "kind": "numeric", "centre": 38.5, "scale": 13.25, "fill": 38.5, "bounded": false, "low": 17.0,
       "high": 90.0, "other": false, "missing": true},
      {"name": "b", "kind": "numeric", "centre": 10.0, "scale": 3.0, "fill": 11.0, "bounded": true, "other": false,
       "missing": false},
      {"name": "c", "kind": "ordinal", "centre": 0.5, "scale": 0.25, "fill": 0.5, "bounded": false,
       "words": ["hi", "lo"], "other": false, "missing": false}]})",
                              "file"));
  const auto number = [](float x) { return std::bit_cast<Cell>(x); };
  std::vector<Real> features(4);
  ASSERT_EQ(encoder.features(), 4);
  encoder.expand(std::vector<Cell>{number(95), number(100), 1}, features);
  const double b = (100.0 - 10) / 3;
  EXPECT_EQ(features, (std::vector<Real>{static_cast<Real>((95 - 38.5) / 13.25), 0,
                                         static_cast<Real>(b / std::sqrt(1 + b * b / 9)), 2}));
  encoder.expand(std::vector<Cell>{number(std::nanf("")), number(std::nanf("")), unseen_word}, features);
  const double fill = (11.0 - 10) / 3;
  EXPECT_EQ(features, (std::vector<Real>{0, 1, static_cast<Real>(fill / std::sqrt(1 + fill * fill / 9)), 0}));
}

// Numbers that no fit ends with, but that a file can say.
TEST(Preprocessing, MakesFiniteFeaturesAndTextsOfAnyNumbersThatItAccepts) {
  const auto table = [](const std::string& numbers, const std::string& target) {
    return preprocessing_from_json(
        fmt::format(R"({{"version": 1, "target": {{"name": "y", {}}}, "missing_marks": [], "sparse_features": 0,
                         "columns": [{{"name": "x", "kind": "numeric", {}, "other": false, "missing": false}}]}})",
                    target, numbers),
        "p.json");
  };
  for (const char* numbers : {R"("centre": 0, "scale": 1e-320, "fill": 1)", R"("centre": 1e308, "scale": 1, "fill": 0)",
                              R"("centre": -1e308, "scale": 1e-300, "fill": 1e308)",
                              R"("centre": 0, "scale": 1, "fill": 0, "offset": 1e308)"})
    for (const bool bounded : {false, true}) {
      const Encoder encoder(
          table(fmt::format("{}, \"bounded\": {}", numbers, bounded), R"("mean": 0, "deviation": 1)"));
      EncodingCounts counts(1);
      for (const char* field : {"", "0", "3e38", "-3e38", "1e-30"}) {
        std::vector<Real> features(1);
        encoder.expand(std::vector<Cell>{encoder.encode(0, field, counts)}, features);
        EXPECT_TRUE(std::isfinite(features[0])) << numbers << ": " << field;
        EXPECT_TRUE(!bounded || std::abs(features[0]) <= Real{3}) << numbers << ": " << field;
      }
    }
  for (const char* target :
       {R"("mean": 1e300, "deviation": 1e-320)", R"("mean": 1e308, "deviation": 1, "offset": 1e308)",
        R"("mean": -5, "deviation": 1, "offset": 5)"})
    EXPECT_FALSE(table(R"("centre": 0, "scale": 1, "fill": 0, "bounded": false)", target).target.text_of(0.5).empty());
}

TEST(Preprocessing, RefusesJsonThatMakesNoSense) {
  const std::string json = to_json(*load(synthetic_table_csv({.rows = 300})).preprocessing);
  const auto spoilt = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    text.replace(text.find(from), from.size(), to);
    try {
      preprocessing_from_json(text, "preprocessing.json");
    } catch (const FileError& error) {
      return std::string(error.what());
    }
    ADD_FAILURE() << "accepted " << to;
    return std::string();
  };
  EXPECT_PRED2(contains, spoilt("\"version\": 1", "\"version\": 2"), "preprocessing.json: expected version 1");
  EXPECT_PRED2(contains, spoilt("\"numeric\"", "\"odd\""), "expected a kind of column");
  EXPECT_PRED2(contains, spoilt("\"scale\": ", "\"scale\": -"), "expected finite numbers and a positive scale");
  for (const char* number : {"3.7", "1e70", "-1", "4294967296", "true", "1e400"})
    EXPECT_PRED2(contains, spoilt("\"sparse_features\": 0", fmt::format("\"sparse_features\": {}", number)),
                 std::string_view(number) == "1e400" ? "expected a preprocessing, found" : "0 to 2^31 sparse features");
  EXPECT_PRED2(contains, spoilt("{", "["), "expected a preprocessing, found");
  EXPECT_PRED2(contains, spoilt("\"columns\"", "\"rows\""), "expected a preprocessing, found");
}

// The keys of scalings with points: each is refused, with file and column, unless it is what was written.
// Each of them takes more memory than bytes of the text.
TEST(Preprocessing, RefusesJsonOfMoreValuesThanATextOfItsLengthHasUseFor) {
  for (const std::string_view value : {"{},", "[],", "0,", "\"\","}) {
    std::string text = R"({"version":1,"missing_marks":[)";
    while (text.size() < std::size_t{4} << 20) text += value;
    text.back() = ']';
    for (const auto& read : std::vector<std::function<void()>>{[&] { preprocessing_from_json(text + "}", "p.json"); },
                                                               [&] { kind_of_preprocessing(text + "}", "p.json"); },
                                                               [&] { sample_rules_from_json(text + "}", "p.json"); }})
      try {
        read();
        ADD_FAILURE() << "was read";
      } catch (const FileError& error) {
        EXPECT_TRUE(std::string_view(error.what()).starts_with("p.json: expected at most 786432 values in 4194"))
            << error.what();
      }
  }
}

TEST(Preprocessing, RefusesPointsThatAreNotInOrder) {
  const auto column = [](const std::string& keys) {
    return fmt::format(R"({{"version": 1, "target": {{"name": "y", "mean": 0, "deviation": 1}}, "missing_marks": [],
      "sparse_features": 0, "columns": [{{"name": "a\nge", "kind": "numeric", "centre": 0, "scale": 1, "fill": 0,
      "bounded": true, "other": false, "missing": false, {}}}]}})",
                       keys);
  };
  const auto list = [](int count) {
    std::string numbers = "[0";
    for (int i = 1; i < count; ++i) numbers += fmt::format(", {}", 0.01 * i);
    return numbers + "]";
  };
  const auto accepted = [&](const std::string& keys) {
    return Encoder(preprocessing_from_json(column(keys), "p.json")).features();
  };
  EXPECT_EQ(accepted(R"("edges": [0, 1, 2.5])"), 3);
  EXPECT_EQ(accepted(R"("edges": [-3e38, 3e38])"), 2);
  EXPECT_EQ(accepted(fmt::format(R"("edges": {})", list(129))), 129);
  EXPECT_EQ(accepted(R"("knots": [0, 1], "scores": [-3, 3])"), 1);
  EXPECT_EQ(accepted(fmt::format(R"("knots": {}, "scores": {})", list(256), list(256))), 1);
  const auto refused = [&](const std::string& keys, const std::string& what) {
    try {
      preprocessing_from_json(column(keys), "p.json");
      ADD_FAILURE() << "accepted " << keys;
    } catch (const FileError& error) {
      EXPECT_EQ(error.what(), "p.json: expected " + what) << keys;
    }
  };
  for (const std::string& points :
       {std::string("[]"), std::string("[1]"), std::string("[0, null]"), std::string("[0, \"1\"]"),
        std::string("[0, [1]]"), std::string("[0, true]"), std::string("[0, 1e39]"), std::string("3"),
        std::string("null"), std::string("\"0, 1\""), std::string("{\"0\": 1, \"1\": 2}"), list(257)}) {
    const char* const floats = "numbers from -3.40282e+38 to 3.40282e+38";
    refused(fmt::format(R"("edges": {})", points), fmt::format(R"("edges" of column a\nge: 2 to 129 {})", floats));
    refused(fmt::format(R"("knots": {}, "scores": [0, 1])", points),
            fmt::format(R"("knots" of column a\nge: 2 to 256 {})", floats));
    refused(fmt::format(R"("knots": [0, 1], "scores": {})", points),
            R"("scores" of column a\nge: 2 to 256 numbers from -3 to 3)");
  }
  refused(fmt::format(R"("edges": {})", list(130)),
          R"("edges" of column a\nge: 2 to 129 numbers from -3.40282e+38 to 3.40282e+38)");
  refused(R"("knots": [0, 1], "scores": [0, 3.01])", R"("scores" of column a\nge: 2 to 256 numbers from -3 to 3)");
  for (const char* points : {"[1, 1]", "[2, 1]", "[0, 2, 1]", "[1, 1.000000001]"}) {
    const char* const strictly = R"(knots and edges of column a\nge in strictly increasing order)";
    refused(fmt::format(R"("edges": {})", points), strictly);
    refused(fmt::format(R"("knots": {}, "scores": [0, 1])", points), strictly);
  }
  refused(R"("knots": [0, 1], "scores": [1, 0])", R"(scores of column a\nge in increasing order)");
  refused(R"("knots": [0, 1], "scores": [0, 1, 2])", "as many scores as knots of column a\\nge, found 3 and 2");
  refused(R"("knots": [0, 1])", "as many scores as knots of column a\\nge, found 0 and 2");
  refused(R"("scores": [0, 1])", "as many scores as knots of column a\\nge, found 2 and 0");
  refused(R"("knots": [0, 1], "scores": [0, 1], "edges": [0, 1])", "either knots or edges of column a\\nge");
}

TEST(SyntheticTable, HasTenRelevantColumnsOfFortyAndTwoBalancedClasses) {
  const DataParts parts = load(synthetic_table_csv());
  EXPECT_EQ(parts.preprocessing->columns.size(), 40u);
  EXPECT_EQ(relevant_columns().size(), 10u);
  Index high = 0;
  for (Index i = 0; i < parts.train->samples(); ++i) high += parts.train->label(i) == 0;
  EXPECT_NEAR(static_cast<double>(high) / static_cast<double>(parts.train->samples()), 0.5, 0.1);
  EXPECT_EQ(synthetic_table_csv({.rows = 5}),
            synthetic_table_csv({.rows = 9}).substr(0, synthetic_table_csv({.rows = 5}).size()));
}

// --- real tables, where there are some ---------------------------------------------------------------------------

TEST(RealTables, AreReadWithoutASingleFlag) {
  const char* variable = std::getenv("ESPALIER_DATA");
  const std::filesystem::path folder = std::filesystem::path(variable ? variable : "") / "tabular";
  if (!variable || !std::filesystem::exists(folder / "adult_train.csv"))
    GTEST_SKIP() << "no tables in $ESPALIER_DATA/tabular: the reader was tested on made-up ones only";
  const DataParts adult = load_table(folder / "adult_train.csv", folder / "adult_test.csv", {});
  EXPECT_EQ(adult.train->samples() + adult.validation->samples(), 32561);
  EXPECT_EQ(adult.test->samples(), 16281);
  EXPECT_EQ(adult.preprocessing->columns.size(), 14u);
  EXPECT_EQ(adult.preprocessing->target.classes, (std::vector<std::string>{"<=50K", ">50K"}));
  EXPECT_TRUE(column(adult, "workclass").missing);
  EXPECT_EQ(column(adult, "sex").kind, ColumnKind::binary);
  EXPECT_PRED2(contains, notes_of(adult), "missing values: workclass 1836, occupation 1843, native_country 583");
  struct Expected {
    const char *file, *target;
    Index rows, features, classes;
  };
  for (const Expected& e :
       {Expected{"california_housing.csv", "", 20640, 8, 0}, Expected{"bike_sharing_hour.csv", "", 17379, 12, 0},
        Expected{"letter_recognition.csv", "letter", 20000, 16, 26}, Expected{"magic_gamma.csv", "", 19020, 10, 2},
        Expected{"higgs_small_train.csv", "label", 7000, 28, 2}, Expected{"winequality_red.csv", "", 1599, 11, 6}}) {
    const DataParts parts = load_table(folder / e.file, {}, {.target = e.target});
    EXPECT_EQ(parts.train->samples() + parts.validation->samples() + parts.test->samples(), e.rows) << e.file;
    EXPECT_EQ(parts.train->shape().features(), e.features) << e.file;
    EXPECT_EQ(parts.train->classes(), e.classes) << e.file;
  }
}

}  // namespace
}  // namespace espalier
