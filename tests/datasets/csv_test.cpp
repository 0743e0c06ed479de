#include "espalier/datasets/csv.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <limits>
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
  EXPECT_EQ(rows_of("a,b\nx,y\n", {.header = CsvOptions::Header::no}), (Rows{{"a", "b"}, {"x", "y"}}));
  EXPECT_FALSE(CsvReader("table", "a,\n1,2\n").has_header()) << "a column without a name";
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
            "table.csv: line 2: expected ',' or a line end behind the closing quote, found 'x'");
  EXPECT_EQ(complaint(std::string("a,b\n1,2\n3,\0\n", 12)), "table.csv: line 3: expected text, found a NUL byte");
  EXPECT_EQ(complaint("a,b,a\n1,2,3\n"),
            "table.csv: line 1: expected different names of columns, found \"a\" as column 1 and 3");
  EXPECT_EQ(complaint(""), "table.csv: line 1: expected a table, found an empty file");
  EXPECT_EQ(complaint("\n \r\n"), "table.csv: line 1: expected a table, found an empty file");
  EXPECT_EQ(complaint("a,b\r1,2\r3,4\r"), "table.csv: line 1: expected lines that end in LF or CRLF, found CR alone");
  EXPECT_EQ(complaint("\xff\xfe"), "table.csv: line 1: expected text in UTF-8, found UTF-16");
  EXPECT_PRED2(contains, complaint(",b\n1,2\n", {.header = CsvOptions::Header::yes}),
               "line 1: expected a name for column 1");
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

TEST(ParseNumber, TakesDecimalsAndNothingElse) {
  double value = 0;
  for (const char* text : {"0", "-0.5", "+.5", "5.", "1e3", "12345678901234567890", "0.1234567890123456789", "1E-7"}) {
    EXPECT_EQ(parse_number(text, value), Number::finite) << text;
    EXPECT_EQ(value, std::strtod(text, nullptr)) << text;
  }
  for (const char* text : {"", "-", ".", "+-5", "--5", "1.2.3", "1e", "1,5", "0x10", "12a", "nan", "e5", "1 2", "in"})
    EXPECT_EQ(parse_number(text, value), Number::none) << text;
  for (const char* text : {"inf", "-Infinity", "1e39", "-1e400"}) {
    EXPECT_EQ(parse_number(text, value), Number::infinite) << text;
    EXPECT_EQ(std::signbit(value), text[0] == '-') << text;
  }
  EXPECT_EQ(parse_number("1e-400", value), Number::finite);
  EXPECT_EQ(value, 0);
}

// The short way is exact: as from_chars has it, to the last bit.
TEST(ParseNumber, AgreesWithFromChars) {
  const Random random(1, "numbers");
  for (std::uint64_t i = 0; i < 20000; ++i) {
    std::string text = std::to_string(random.below(2 * i, 1 + (std::uint64_t{1} << (i % 60))));
    text.insert(random.below(2 * i + 1, text.size() + 1), ".");
    double expected = 0, value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), expected);
    ASSERT_EQ(error, std::errc()) << text;
    ASSERT_EQ(parse_number(text, value), Number::finite) << text;
    ASSERT_EQ(value, expected) << text;
  }
}

}  // namespace
}  // namespace espalier
