// Files that a fitted preprocessing is applied to: read as the training file was, whatever they look like themselves.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/table.h"
#include "espalier/datasets/table/reader.h"
#include "support/table.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;
using testing::table_of;

class TableReaderTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) {
    return folder_.write(name, std::vector<std::uint8_t>(text.begin(), text.end()));
  }
  // What a table becomes, by way of its JSON, as in another program.
  static EncoderPtr trained(const std::string& text, const TableOptions& options = {}) {
    const std::string json = to_json(*testing::load_table_text(text, options).preprocessing);
    return std::make_shared<const Encoder>(preprocessing_from_json(json, "preprocessing.json"));
  }
  // One that was saved before there were dialects, offsets and ranges.
  static EncoderPtr trained_earlier(const std::string& text) {
    Preprocessing rules = *testing::load_table_text(text).preprocessing;
    rules.dialect = {};
    for (ColumnRule& column : rules.columns)
      column.low = -std::numeric_limits<double>::infinity(), column.high = std::numeric_limits<double>::infinity();
    const std::string json = to_json(rules);
    EXPECT_FALSE(contains(json, "dialect") || contains(json, "\"low\"") || contains(json, "offset"));
    return std::make_shared<const Encoder>(preprocessing_from_json(json, "preprocessing.json"));
  }
  // Numbers of the first column, in original units less the offset.
  std::vector<float> first_column(const EncoderPtr& encoder, const std::string& text, const CsvOptions& asked = {}) {
    TableReader reader(write("rows.csv", text), encoder, asked);
    std::vector<float> numbers;
    while (reader.next()) numbers.push_back(std::bit_cast<float>(reader.cells()[0]));
    return numbers;
  }
  static std::string row(int r) { return fmt::format("{}.5,{},{}", r * 31 % 97, r % 7, r % 2 ? "yes" : "no"); }
  testing::TemporaryFolder folder_;
};

TEST_F(TableReaderTest, RowsMayEndInADelimiterWhereThoseOfTrainingDidNotAndTheOtherWayRound) {
  const EncoderPtr without = trained(table_of("", 100, row));
  const EncoderPtr with = trained(table_of("", 100, [](int r) { return row(r) + ","; }));
  for (const EncoderPtr& encoder : {without, with})
    for (const char* rows : {"1.5,2,yes\n2.5,2,no\n", "1.5,2,yes,\n2.5,2,no,\n", "1.5,2,yes,\n2.5,2,no\n",
                             "1.5,2\n2.5,2\n", "1.5,2,\n2.5,2,\n"})
      EXPECT_EQ(first_column(encoder, rows), (std::vector<float>{1.5, 2.5})) << rows;
}

// write.table in R.
TEST_F(TableReaderTest, ASingleRowWithANameIsReadAsManyAre) {
  const EncoderPtr encoder =
      trained(table_of("\"x\",\"z\",\"y\"", 100, [](int r) { return fmt::format("\"{}\",{}", r + 1, row(r)); }));
  EXPECT_EQ(encoder->rules().columns[0].name, "Unnamed: 0");
  for (const char* rows : {"\"x\",\"z\"\n\"1\",1.5,2\n", "\"x\",\"z\",\"y\"\n\"1\",1.5,2,NA\n"}) {
    TableReader reader(write("one.csv", rows), encoder);
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(std::bit_cast<float>(reader.cells()[1]), 1.5) << rows;
    EXPECT_FALSE(reader.next());
  }
}

TEST_F(TableReaderTest, GuessesNothingTwice) {
  const EncoderPtr named = trained(table_of("2019,2020,answer", 100, row));  // numbers as names
  EXPECT_EQ(named->rules().columns[0].name, "2019");
  EXPECT_EQ(first_column(named, "2019,2020,answer\n1.5,2,yes\n"), (std::vector<float>{1.5}));
  const EncoderPtr unnamed = trained(table_of("", 100, row));
  EXPECT_EQ(first_column(unnamed, "1.5,2,yes\n2.5,2,no\n"), (std::vector<float>{1.5, 2.5}));
  const EncoderPtr comma =
      trained(table_of("x;z;y", 100, [](int r) { return fmt::format("{},5;{};{}", r * 31 % 97, r % 7, r % 2); }));
  EXPECT_EQ(first_column(comma, "x;z;y\n1.234;2;1\n"), (std::vector<float>{1234})) << "a decimal comma, still";
  EXPECT_EQ(first_column(comma, "x;z\n7;2\n"), (std::vector<float>{7}));
  const EncoderPtr pipe =
      trained(table_of("x|z|y", 100, [](int r) { return fmt::format("{}|{}|{}", r * 31 % 97, r % 7, r % 2); }));
  EXPECT_EQ(first_column(pipe, "x|z\n3|2\n"), (std::vector<float>{3}));
}

TEST_F(TableReaderTest, WhatIsAskedForComesBeforeWhatWasSettled) {
  const EncoderPtr encoder = trained(table_of("x,z,y", 100, row));
  EXPECT_EQ(first_column(encoder, "x;z\n1,5;2\n", {.dialect = {.delimiter = ';', .decimal = ','}}),
            (std::vector<float>{1.5}));
  try {
    first_column(encoder, "x;z\n1;2\n");
    FAIL() << "accepted semicolons";
  } catch (const FileError& error) {
    EXPECT_PRED2(
        contains, error.what(),
        "line 1: expected a column x, which the model was trained with, found x;z (a single column, cut as the "
        "training file was: delimiter comma)");
  }
  EXPECT_THROW(first_column(encoder, "x,z\n1\n2,3\n"), FileError);
  EXPECT_EQ(first_column(encoder, "x,z\n1\n2,3\n4,5\n", {.skip_bad_rows = 1}), (std::vector<float>{2, 4}));
}

TEST_F(TableReaderTest, ModelsFromBeforeReadTheirFilesAsTheyDid) {
  const EncoderPtr named = trained_earlier(table_of("a,b,c3", 100, row));
  EXPECT_EQ(first_column(named, "a,b,c3\n1.5,2,yes\n"), (std::vector<float>{1.5})) << "a target called c3 is a name";
  EXPECT_EQ(first_column(named, "b;a\n1;2\n").size(), 1u) << "any delimiter";
  const EncoderPtr unnamed = trained_earlier(table_of("", 100, row));
  EXPECT_EQ(first_column(unnamed, "1.5,2,yes\n2.5,2,no\n"), (std::vector<float>{1.5, 2.5}));
}

TEST_F(TableReaderTest, ATargetOfAnyNameIsFoundAgain) {
  for (const char* name : {"c", "c1", "c3", "c99", "2020"}) {
    const EncoderPtr encoder = trained(table_of(std::string("a,b,") + name, 100, row));
    TableReader reader(write("rows.csv", table_of(std::string("a,b,") + name, 100, row)), encoder);
    Index rows = 0;
    while (reader.next()) rows += reader.label() >= 0;
    EXPECT_EQ(rows, 100) << name;
  }
}

TEST_F(TableReaderTest, WordsAndNumbersBeyondTheTrainingPartAreCountedAndDoNotStopIt) {
  const EncoderPtr encoder = trained(table_of("x,z,y", 100, row));
  TableReader reader(write("rows.csv", "x,z,y\n1.5,2,yes\nlow,9,no\n-1e6,3,maybe\nlower,,?\n"), encoder);
  std::vector<double> labels;
  while (reader.next()) labels.push_back(reader.known_target());
  EXPECT_EQ(labels, (std::vector<double>{1, 0, -1, -1}));
  EXPECT_EQ(reader.counts().rows, 4);
  EXPECT_EQ(reader.counts().stray[0].count, 2);
  EXPECT_EQ(reader.counts().outside, (std::vector<Index>{1, 1}));
  EXPECT_EQ(reader.replaced(),
            "missing values: z 1; words in columns of numbers, taken for missing: x 2 (\"low\" in line 3); numbers "
            "outside the range of training, extrapolated: x 1, z 1; column y: 1 are no classes of the model, the first "
            "is \"maybe\" "
            "in line 4");
}

TEST_F(TableReaderTest, ANumberBeyondTheTrainingPartIsSaidToBeWhatItIsTakenFor) {
  const auto file = write("rows.csv", "x,flag,y\n1e6,3,yes\n50,1,no\n");
  const std::string header = "numbers outside the range of training, ";
  const auto said = [&](const char* scaling) {
    const EncoderPtr encoder =
        trained(table_of("x,flag,y", 100,
                         [](int r) { return fmt::format("{},{},{}", r * 31 % 97, r % 2, r % 3 ? "yes" : "no"); }),
                {.scaling = scaling});
    TableReader reader(file, encoder);
    while (reader.next()) EXPECT_EQ(reader.cells().size(), 2u);
    return reader.replaced();
  };
  EXPECT_EQ(said("standard"), header + "extrapolated: x 1, flag 1");
  EXPECT_EQ(said("none"), header + "extrapolated: x 1, flag 1");
  EXPECT_EQ(said("robust"), header + "extrapolated: flag 1; " + header + "smoothly clipped: x 1");
  for (const char* scaling : {"quantile", "piecewise", "piecewise:3"})
    EXPECT_EQ(said(scaling),
              header + "extrapolated: flag 1; " + header + "treated as the nearest value of the training part: x 1");
}

TEST_F(TableReaderTest, SamplesOfATestFileAreThoseOfATrainingFile) {
  const std::string header = "x,z,y\n";
  const auto train = write("train.csv", table_of("x,z,y", 100, row));
  const auto test = write("test.csv", header + "1,2,yes\n" + header + "3,4,no\nTotal,6,2\n");
  const DataParts parts = load_table(train, test, {});
  EXPECT_EQ(parts.test->samples(), 2);
  EXPECT_PRED2(contains, testing::notes_of(parts), "test.csv: line 3 repeats the header and was left out");
  EXPECT_PRED2(contains, testing::notes_of(parts), "test.csv: line 5 holds totals (\"Total\") and was left out");
}

TEST(PreprocessingJson, KeepsTheDialectOffsetsAndRanges) {
  const auto text = table_of("t;x;when", 100, [](int r) {
    return fmt::format("{};{},5;{}", 1700000000 + r * 31 % 97, r % 7, 1600000000000 + 250 * (r * 31 % 97));
  });
  const Preprocessing rules = *testing::load_table_text(text).preprocessing;
  const Preprocessing again = preprocessing_from_json(to_json(rules), "file");
  EXPECT_EQ(to_json(again), to_json(rules));
  EXPECT_EQ(again.dialect.delimiter, ';');
  EXPECT_EQ(again.dialect.decimal, ',');
  EXPECT_EQ(again.dialect.header, Header::yes);
  EXPECT_NE(again.columns[0].offset, 0);
  EXPECT_EQ(again.columns[1].offset, 0);
  EXPECT_NE(again.target.offset, 0);
  EXPECT_LT(again.columns[0].low, again.columns[0].high);
}

TEST(PreprocessingJson, RefusesDialectsThatAreNone) {
  std::string json = to_json(*testing::load_table_text(table_of("x,z,y", 100, [](int r) {
                                return fmt::format("{},{},{}", r * 31 % 97, r % 7, r % 2);
                              })).preprocessing);
  const std::string known = "\"header\": \"yes\"";
  ASSERT_PRED2(contains, json, known);
  json.replace(json.find(known), known.size(), "\"header\": \"perhaps\"");
  EXPECT_THROW(preprocessing_from_json(json, "preprocessing.json"), FileError);
}

}  // namespace
}  // namespace espalier
