#include "espalier/datasets/csv.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;
using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(CsvReader& reader) {
  Rows rows;
  while (reader.next()) rows.emplace_back(reader.fields().begin(), reader.fields().end());
  return rows;
}
Rows rows_of(const std::string& text, CsvOptions options = {}) {
  CsvReader reader("table.csv", text, options);
  return rows_of(reader);
}
std::string complaint(const std::string& text, CsvOptions options = {}) {
  try {
    rows_of(text, options);
  } catch (const FileError& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

const Rows two_rows{{"1", "x"}, {"2", "y"}};

TEST(Csv, ReadsHeaderAndRows) {
  CsvReader reader("table.csv", "a,b\n1,x\n2,y\n");
  EXPECT_TRUE(reader.has_header());
  EXPECT_EQ(reader.delimiter(), ',');
  EXPECT_EQ(reader.columns(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.line(), 2);
  EXPECT_EQ(reader.fields()[1], "x");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.line(), 3);
  EXPECT_FALSE(reader.next());
  EXPECT_FALSE(reader.next());
}

TEST(Csv, FindsTheDelimiter) {
  for (const char delimiter : {',', ';', '\t', '|'}) {
    const std::string d(1, delimiter);
    CsvReader reader("table", "a" + d + "b\n1" + d + "x\n2" + d + "y\n");
    EXPECT_EQ(reader.delimiter(), delimiter);
    EXPECT_EQ(rows_of(reader), two_rows);
  }
  // Decimal commas are in some lines only, and in quotes they are none.
  EXPECT_EQ(rows_of("a;b\n1,5;x\n2;y,z\n"), (Rows{{"1,5", "x"}, {"2", "y,z"}}));
  EXPECT_EQ(rows_of("a|b\n\"1,2,3\"|x\n"), (Rows{{"1,2,3", "x"}}));
}

TEST(Csv, KnowsAHeaderByItsWords) {
  EXPECT_TRUE(CsvReader("table", "a,b\n1,2\n").has_header());
  EXPECT_TRUE(CsvReader("table", "a,b\nx,y\n").has_header());
  CsvReader numbers("table", "1,x\n2,y\n");
  EXPECT_FALSE(numbers.has_header());
  EXPECT_EQ(numbers.columns(), (std::vector<std::string>{"c1", "c2"}));
  EXPECT_EQ(rows_of(numbers), two_rows);
  EXPECT_EQ(rows_of("a,b\nx,y\n", {.dialect = {.header = Header::no}}), (Rows{{"a", "b"}, {"x", "y"}}));
}

TEST(Csv, ReadsTheSameWhateverEndsLinesAndFile) {
  for (const char* text : {"a,b\n1,x\n2,y\n", "a,b\n1,x\n2,y", "a,b\r\n1,x\r\n2,y\r\n", "a,b\r\n1,x\r\n2,y",
                           "\xef\xbb\xbf"
                           "a,b\n1,x\n2,y\n",
                           "\na,b\n\n1,x\n\r\n2,y\n\n\n", "a , b\n 1,x \n2 , y\n",
                           "\"a\",\"b\"\n\"1\",\"x\"\n\"2\",\"y\"", "\"a\" , \"b\"\r\n1,\"x\" \r\n\"2\",y\r\n"}) {
    CsvReader reader("table", text);
    EXPECT_EQ(reader.columns(), (std::vector<std::string>{"a", "b"})) << text;
    EXPECT_EQ(rows_of(reader), two_rows) << text;
  }
}

TEST(Csv, QuotesHoldDelimitersLineEndsAndQuotes) {
  CsvReader reader("table", "a,b\n\"x,y\",\"1\n2\"\n\"say \"\"hi\"\"\",\"\"\n5\" pipe,\" z \"\n");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.fields()[0], "x,y");
  EXPECT_EQ(reader.fields()[1], "1\n2");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.line(), 4) << "the row before has two lines";
  EXPECT_EQ(reader.fields()[0], "say \"hi\"");
  EXPECT_EQ(reader.fields()[1], "");
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.fields()[0], "5\" pipe");
  EXPECT_EQ(reader.fields()[1], " z ");
}

// A table of two megabytes, with quotes, doubled ones and line ends, some hundreds of thousands of bytes in one row.
TEST(Csv, ReadsAcrossChunksWhatWasWritten) {
  const Random random(1, "csv-test");
  Rows written;
  std::string text = "a,b,c\n";
  constexpr std::array<const char*, 5> pieces{"word", ",", "\"\"", "\n", "12.5"};
  std::uint64_t n = 0;
  for (int r = 0; r < 3000; ++r) {
    std::vector<std::string>& row = written.emplace_back();
    for (int f = 0; f < 3; ++f) {
      std::string plain, quoted;
      const std::uint64_t count = random.below(n++, r % 500 == 7 ? 9000 : 200);
      for (std::uint64_t k = 0; k < count; ++k) {
        const std::string piece = pieces[random.below(n++, pieces.size())];
        quoted += piece;
        plain += piece == "\"\"" ? "\"" : piece;
      }
      row.push_back(plain);
      text += (f ? ",\"" : "\"") + quoted + "\"";
    }
    text += '\n';
  }
  ASSERT_GT(text.size(), 2u << 20);
  EXPECT_EQ(rows_of(text), written);

  const testing::TemporaryFolder folder;
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  CsvReader plain(folder.write("plain.csv", bytes)), zipped(folder.write("zipped.csv", testing::gzip(bytes)));
  EXPECT_EQ(rows_of(plain), written);
  EXPECT_EQ(rows_of(zipped), written);
}

TEST(Csv, NamesTheLineOfWhatIsWrong) {
  EXPECT_EQ(complaint("a,b\n1,2\n3\n"), "table.csv: line 3: expected 2 fields, found 1");
  EXPECT_EQ(complaint("a,b\n1,2\n3,4,5\n"), "table.csv: line 3: expected 2 fields, found 3");
  EXPECT_EQ(complaint("a,b\n\"1\n\n\",2\n3\n"), "table.csv: line 5: expected 2 fields, found 1");
  EXPECT_EQ(complaint("a,b\n1,\"2\n3,4\n"), "table.csv: line 2: expected a closing quote, found the end of the file");
  EXPECT_EQ(complaint("a,b\n1,\"2\"x\n"),
            "table.csv: line 2: expected a delimiter or a line end behind the closing quote, found \"x\"");
  EXPECT_EQ(complaint(std::string("a,b\n1,2\n3,\0\n", 12)), "table.csv: line 3: expected text, found a NUL byte");
  EXPECT_EQ(complaint("a,b,a\n1,2,3\n"),
            "table.csv: line 1: expected different names of columns, found \"a\" as column 1 and 3");
  EXPECT_EQ(complaint(""), "table.csv: line 1: expected a table, found an empty file");
  EXPECT_EQ(complaint("\n \r\n"), "table.csv: line 1: expected a table, found an empty file");
  EXPECT_EQ(complaint("a,b\r1,2\r3,4\r"), "table.csv: line 1: expected lines that end in LF or CRLF, found CR alone");
  EXPECT_EQ(complaint("\xff\xfe"), "table.csv: line 1: expected a table, found an empty file");
}

TEST(Csv, RefusesRowsAndFieldsLongerThanALimit) {
  EXPECT_PRED2(contains, complaint("a,b\n1,2\n" + std::string(200000, '1') + ",2\n"),
               "line 3: expected fields of at most 65536 bytes, found 200000 in field 1");
  EXPECT_PRED2(contains, complaint("a,b\n1,2\n3,\"" + std::string(200000, '1') + "\"\n"),
               "line 3: expected fields of at most 65536 bytes, found 200000 in field 2");
  std::string long_row = "a,b\n1,\"" + std::string(5 << 20, '\n');
  EXPECT_PRED2(contains, complaint(long_row), "line 2: expected a row of at most 4194304 bytes, found a longer one");
}

TEST(Csv, NamesAFileThatIsMissingOrDamaged) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(CsvReader{folder.path() / "absent.csv"}, FileError);
  EXPECT_THROW(CsvReader{folder.path()}, FileError);
  std::string text = "a,b\n";
  for (int i = 0; i < 200000; ++i) text += std::to_string(i * 7919 % 100003) + ",x\n";
  std::vector<std::uint8_t> bytes = testing::gzip(std::vector<std::uint8_t>(text.begin(), text.end()));
  bytes.resize(bytes.size() / 2);
  try {
    CsvReader reader(folder.write("cut.csv.gz", bytes));
    rows_of(reader);
    FAIL() << "accepted";
  } catch (const FileError& error) {
    EXPECT_PRED2(contains, error.what(), "gzip data that end too early (truncated)");
  }
}

// --- how people's files are written
// ------------------------------------------------------------------------------------

using Names = std::vector<std::string>;

TEST(Csv, LinesMayEndInTwoCarriageReturns) {
  CsvReader reader("table", "a,label\r\r\n1,x\r\r\n\"2\",y\r\r\n");
  EXPECT_EQ(reader.columns(), (Names{"a", "label"}));
  EXPECT_EQ(rows_of(reader), two_rows);
}

TEST(Csv, SpacesOfEveryKindAroundFieldsAreNotPartOfThem) {
  const std::string no_break = "\u00a0", narrow = "\u202f";
  CsvReader reader("table", "a\t,\tb\n\t1 ," + no_break + "x\n" + narrow + "2\t\t, y" + no_break + "\n");
  EXPECT_EQ(reader.columns(), (Names{"a", "b"}));
  EXPECT_EQ(rows_of(reader), two_rows);
  EXPECT_EQ(rows_of("a\tb\tc\n1\t\tx\n\t 2\t\n"), (Rows{{"1", "", "x"}, {"", "2", ""}})) << "a tab is the delimiter";
  EXPECT_EQ(rows_of("a,b\n\u00e0,\u00c2\n\u0142\u00a0,\u2030\n"), (Rows{{"\u00e0", "\u00c2"}, {"\u0142", "\u2030"}}))
      << "letters whose last byte looks like half a space";
}

TEST(Csv, ASepLineNamesTheDelimiterAndIsNoRow) {
  for (const char* first : {"sep=;\n", "sep=;\r\n", "\"sep=;\"\n", "\xef\xbb\xbfSEP=;\n"}) {
    CsvReader reader("table", std::string(first) + "a;b\n1;x\n2;y\n");
    EXPECT_TRUE(reader.skipped().sep_line);
    EXPECT_EQ(reader.delimiter(), ';');
    EXPECT_EQ(rows_of(reader), two_rows);
    EXPECT_EQ(reader.line(), 4);
  }
  EXPECT_EQ(rows_of("sep=x\naxb\n1x2\n"), (Rows{{"1", "2"}})) << "whatever it names";
}

TEST(Csv, CommentsAreSkippedAndCounted) {
  CsvReader reader("table", "# made by station 4, in 2020, by hand\n# \na,b\n1,x\n# half time\n2,y\n#end");
  EXPECT_EQ(reader.columns(), (Names{"a", "b"}));
  EXPECT_EQ(rows_of(reader), two_rows);
  EXPECT_EQ(reader.skipped().comments, 4);
  EXPECT_EQ(reader.skipped().comment_line, 1);
  EXPECT_EQ(reader.line(), 6) << "comments are lines";
  EXPECT_EQ(rows_of("a,b\n#1,x\n#2,y\n"), (Rows{{"#1", "x"}, {"#2", "y"}})) << "rows are no comments";
  EXPECT_EQ(rows_of("a\n#1\n#2\n"), (Rows{{"#1"}, {"#2"}}));
}

TEST(Csv, DelimitersAtTheEndOfEveryLineMakeNoColumn) {
  for (const char* text : {"a,b,\n1,x,\n2,y,\n", "a,b,,,\n1,x,,,\n2,y,,,\n", "a,b\n1,x,\n2,y,\n", "a,b,,\n1,x\n2,y,,\n",
                           "a;b;\r\n1;x;\r\n2;y; \r\n", "a,b,\n1,x\n2,y\n", "a,b,,\n1,x,\n2,y\n"}) {
    CsvReader reader("table", text);
    EXPECT_EQ(reader.columns(), (Names{"a", "b"})) << text;
    EXPECT_EQ(rows_of(reader), two_rows) << text;
    EXPECT_GE(reader.skipped().trailing_columns, 1);
  }
  EXPECT_EQ(CsvReader("t", "a,b,\n1,x,\n2,y,7\n").columns(), (Names{"a", "b", "Unnamed: 2"}));
  EXPECT_TRUE(CsvReader("t", "a,b,\nx,u,\ny,v,\n").has_header()) << "a column of nothing is no evidence";
  EXPECT_EQ(rows_of("a,b\n1,x,\n"), (Rows{{"1", "x"}}));
  EXPECT_EQ(rows_of("a,b\n1,x,,\n"), (Rows{{"1", "x"}}));
  EXPECT_EQ(CsvReader("t", "note,b,\nx;y,1\nz;w,2\n").delimiter(), ',');
  EXPECT_EQ(complaint("Report,,,\na,b\n1,x\n2,y\n"), "table.csv: line 1: expected 2 fields, found 4") << "a title";
}

// More rows than are looked at before the columns are settled.
TEST(Csv, WhatStandsBehindTheNamesLateInTheFileIsRefusedWithItsLineAndPlace) {
  struct Late {
    std::string header, row, late;
    int field;
  };
  for (const Late& c :
       {Late{"a,b,", "1,x,", "1,x,7", 3}, Late{"a,b,,,", "1,x,,,", "1,x,,7,", 4}, Late{"a,b,,", "1,x", "1,x,7", 3},
        Late{"a,b", "1,x,", "1,x,7", 3}, Late{"a;b;", "1;x;", "1;x;\"7\"", 3}}) {
    std::string text = c.header + "\n";
    for (int r = 0; r < 300; ++r) text += c.row + "\n";
    EXPECT_EQ(
        complaint(text + c.late + "\n"),
        fmt::format("table.csv: line 302: expected nothing in field {}, where the header has no name and the first "
                    "rows have nothing, found \"7\" (a column with a name may have it)",
                    c.field))
        << c.header;
    EXPECT_EQ(rows_of(text + c.late + "\n" + c.row + "\n", {.skip_bad_rows = 1}).size(), 301u) << c.header;
    EXPECT_EQ(rows_of(text + c.row + "\n").size(), 301u) << c.header;
    std::string named = c.header;  // with names it is a column
    for (std::size_t at = named.size(); at-- > 0 && (named[at] == ',' || named[at] == ';');)
      named.insert(at + 1, fmt::format("name{}", at));
    if (c.row.back() == 'x' || named == c.header) continue;
    text.replace(0, c.header.size(), named);
    EXPECT_EQ(rows_of(text + c.late + "\n").back()[static_cast<std::size_t>(c.field - 1)], "7") << named;
  }
  std::string text = "a,b,\n";
  for (int r = 0; r < 300; ++r) text += "1,x,\n";
  EXPECT_EQ(complaint(text + "1\n"), "table.csv: line 302: expected 2 fields, found 1");
  EXPECT_EQ(complaint(text + "1,x,,7\n"), "table.csv: line 302: expected 2 fields, found 4");
}

// How much of a file is in memory when its columns are settled depends on the charset, at the end of the first 256 KB.
TEST(Csv, WhatWasSettledSettlesTheSameAgain) {
  for (std::size_t comment = (1 << 18) - 60; comment < (1 << 18) + 10; ++comment) {
    const std::string text = "#" + std::string(comment, '-') + "\n\x80,a,\n3\n,l,a3\n,l\n0,\n";
    CsvReader first("t", text, {.skip_bad_rows = 3});
    const Rows rows = rows_of(first);
    CsvReader again("t", text, {.dialect = first.dialect(), .skip_bad_rows = 3});
    EXPECT_EQ(rows_of(again), rows) << comment;
    EXPECT_EQ(again.columns(), first.columns()) << comment;
  }
}

TEST(Csv, WithoutAHeaderAColumnOfNothingStaysAndRowsMayEndBeforeIt) {
  CsvReader reader("t", "1,2,\n3,4,\n");
  EXPECT_EQ(reader.columns(), (Names{"c1", "c2", "c3"}));
  EXPECT_EQ(reader.skipped().trailing_columns, 0);
  EXPECT_EQ(rows_of(reader), (Rows{{"1", "2", ""}, {"3", "4", ""}}));
  for (const char* text : {"1,2,\n3,4\n5,6,\n", "1,2\n3,4,\n5,6,\n", "1,2,\n3,4\n5,6\n"})
    EXPECT_EQ(rows_of(text), (Rows{{"1", "2", ""}, {"3", "4", ""}, {"5", "6", ""}})) << text;
  std::string late;
  for (int r = 0; r < 300; ++r) late += "1,2,\n";
  EXPECT_EQ(rows_of(late + "1,2,7\n").back(), (Rows::value_type{"1", "2", "7"}));
  EXPECT_EQ(complaint("1,2,\n3,4,\n5\n"), "table.csv: line 3: expected 3 fields, found 1");
}

TEST(Csv, ColumnsWithoutANameAreCalledByTheirPlace) {
  CsvReader reader("table", ",a,,b\n0,1,2,x\n1,2,3,y\n");
  EXPECT_EQ(reader.columns(), (Names{"Unnamed: 0", "a", "Unnamed: 2", "b"}));
  EXPECT_TRUE(reader.unnamed(0));
  EXPECT_FALSE(reader.unnamed(1));
  EXPECT_EQ(CsvReader("t", ",Unnamed: 0,a\n0,0,5\n1,1,6\n").columns(), (Names{"Unnamed: 0.1", "Unnamed: 0", "a"}));
  EXPECT_EQ(complaint("a,,a\n1,2,3\n"),
            "table.csv: line 1: expected different names of columns, found \"a\" as column 1 and 3");
}

TEST(Csv, AHeaderOneNameShortHasNoNameForTheFirstColumn) {
  CsvReader reader("table", "\"a\",\"b\"\n\"1\",5,x\n\"2\",6,y\n");
  EXPECT_EQ(reader.columns(), (Names{"Unnamed: 0", "a", "b"}));
  EXPECT_TRUE(reader.unnamed(0));
  EXPECT_EQ(rows_of(reader), (Rows{{"1", "5", "x"}, {"2", "6", "y"}}));
  EXPECT_TRUE(reader.skipped().short_header);
  EXPECT_EQ(complaint("a,b\n1,5,x\n1,6,y\n"), "table.csv: line 1: expected 3 fields, as most rows have, found 2");
}

TEST(Csv, AHeaderOneNameShortMayBeAboveASingleRow) {
  for (const char* text : {"\"a\",\"b\"\n\"1\",5,x\n", "a,b\nMazda RX4,21,x\n", "a\tb\n1\t21\tx"})
    for (const Header header : {Header::detect, Header::yes}) {
      CsvReader reader("table", text, {.dialect = {.header = header}});
      EXPECT_EQ(reader.columns(), (Names{"Unnamed: 0", "a", "b"})) << text;
      EXPECT_TRUE(reader.skipped().short_header);
      EXPECT_EQ(rows_of(reader).size(), 1u) << text;
    }
  EXPECT_EQ(complaint("name,comment\nTom,hello, world\n"), "table.csv: line 2: expected 2 fields, found 3")
      << "as likely a word with a comma in it";
  EXPECT_EQ(complaint("1,2\n3,4,5\n"), "table.csv: line 2: expected 2 fields, found 3");
  EXPECT_EQ(complaint("a,b\n1,5,x\n", {.dialect = {.header = Header::no}}),
            "table.csv: line 1: expected 3 fields, found 2");
}

TEST(Csv, AnEmptyLineIsAMissingValueWhereThereIsOneColumn) {
  EXPECT_EQ(rows_of("\nx\n0\n\n1\n \n2\n"), (Rows{{"0"}, {""}, {"1"}, {""}, {"2"}}));
  EXPECT_EQ(rows_of("x\n0\n\n"), (Rows{{"0"}, {""}}));
  EXPECT_EQ(rows_of("x\n\"\"\n1\n"), (Rows{{""}, {"1"}}));
  EXPECT_EQ(rows_of("\n0\n\n1", {.dialect = {.header = Header::no}}), (Rows{{""}, {"0"}, {""}, {"1"}}));
  EXPECT_EQ(complaint("a,b\n1,2\n\"\"\n"), "table.csv: line 3: expected 2 fields, found 1") << "that is no empty line";
}

TEST(Csv, SomeBadRowsMayBeLeftOut) {
  CsvReader reader("table", "a,b\n1,x\n7\n2,y\n1,2,3\n", {.skip_bad_rows = 2});
  EXPECT_EQ(rows_of(reader), two_rows);
  EXPECT_EQ(reader.skipped().bad_rows, 2);
  EXPECT_EQ(reader.skipped().bad_row_line, 3);
  EXPECT_EQ(complaint("a,b\n1,x\n7\n2,y\n1,2,3\n", {.skip_bad_rows = 1}),
            "table.csv: line 5: expected 2 fields, found 3");
  CsvReader titled("table", "Measurements of 2020\na,b\n1,x\n2,y\n", {.skip_bad_rows = 1});
  EXPECT_EQ(titled.columns(), (Names{"a", "b"}));
  EXPECT_EQ(rows_of(titled), two_rows);
  EXPECT_EQ(complaint("Measurements of 2020\na,b\n1,x\n2,y\n"),
            "table.csv: line 1: expected 2 fields, as most rows have, found 1");
}

TEST(Csv, KnowsARowThatRepeatsTheHeader) {
  CsvReader reader("table", ",b,n\n1,x,5\n,b,n\n2,y,6\n");
  std::vector<bool> repeats;
  while (reader.next()) repeats.push_back(reader.repeats_header());
  EXPECT_EQ(repeats, (std::vector<bool>{false, true, false}));
}

TEST(Csv, ShowsContentsEscapedAndCut) {
  EXPECT_EQ(complaint("a\x1b[31m,a\x1b[31m\n1,2\n"),
            "table.csv: line 1: expected different names of columns, found \"a\\x1b[31m\" as column 1 and 2");
}

// What a reader settled opens the file again to the same rows.
TEST(Csv, WhatWasSettledReadsTheSame) {
  for (const char* text :
       {"1;2,5;x\n2;3,5;y\n", "a|b\n1|x\n", ",0,1\n0,5,6\n1,7,8\n", "caf\xe9,b\n1,x\n2,y\n", "a,b,\n1,x,\n",
        "sep=;\na;b\n1;2\n", "a,b\n1,5,x\n2,6,y\n", "a,b\n1,5,x\n", "1,2,\n3,4\n", "a,b,\n1,x\n2,y\n"}) {
    CsvReader first("t", text);
    const Rows rows = rows_of(first);
    CsvReader again("t", text, {.dialect = first.dialect()});
    EXPECT_EQ(again.columns(), first.columns()) << text;
    EXPECT_EQ(rows_of(again), rows) << text;
    EXPECT_EQ(again.dialect(), first.dialect()) << text;
  }
}

}  // namespace
}  // namespace espalier
