#include "espalier/datasets/dialect.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

TEST(Dialect, NamesAreReadBack) {
  for (const char delimiter : {'\0', ',', ';', '\t', '|', ' ', ':', '\x01'})
    EXPECT_EQ(delimiter_named(name_of_delimiter(delimiter)), delimiter);
  EXPECT_EQ(delimiter_named(";"), ';');
  EXPECT_EQ(delimiter_named("\t"), '\t');
  for (const Header header : {Header::detect, Header::yes, Header::no})
    EXPECT_EQ(header_named(name_of(header)), header);
  for (const char decimal : {'\0', '.', ','}) EXPECT_EQ(decimal_named(name_of_decimal(decimal)), decimal);
  for (const Charset charset : {Charset::detect, Charset::utf8, Charset::latin1, Charset::utf16})
    EXPECT_EQ(charset_named(name_of(charset)), charset);
  for (const char* name : {"", "x", "7", "\"", "\n", ".", "-", "commas", "\xc3"})
    EXPECT_THROW(delimiter_named(name), UsageError) << name;
  EXPECT_THROW(header_named("maybe"), UsageError);
  EXPECT_THROW(decimal_named(";"), UsageError);
  EXPECT_THROW(charset_named("klingon"), UsageError);
}

// --- the delimiter -------------------------------------------------------------------------------------------------

TEST(DetectedDelimiter, CutsAllRowsAlike) {
  EXPECT_EQ(detected_delimiter("a,b\n1,2\n"), ',');
  EXPECT_EQ(detected_delimiter("a;b\n1,5;x\n2;y,z\n"), ';');
  EXPECT_EQ(detected_delimiter("a|b\n\"1,2,3\"|x\n"), '|');
  EXPECT_EQ(detected_delimiter("a\tb\n\"1\n;;;2,3\"\tx\n"), '\t');
  EXPECT_EQ(detected_delimiter("word\nanother\n"), ',') << "a single column";
  EXPECT_EQ(detected_delimiter(""), ',');
  EXPECT_EQ(detected_delimiter("# one, two, three\na;b\n1;2\n"), ';');
  EXPECT_EQ(detected_delimiter("a,b,c\n1,2,3\n4,5,6,7\n8;9,8,7\n"), ',') << "most rows, not all";
}

TEST(DetectedDelimiter, DecimalCommasAreNone) {
  EXPECT_EQ(detected_delimiter("12,5;3;450000,00\n13,5;4;460000,00\n"), ';');
  EXPECT_EQ(detected_delimiter("a;b;c\n12,5;3;450000,00\n13,5;4;460000,00\n"), ';');
  EXPECT_EQ(detected_delimiter("-0,3;6,0;5,8;1\n0,6;7,2;7,7;1\n"), ';');
  EXPECT_EQ(detected_delimiter("3,5;ab;1,2\n4,5;cd;2,3\n"), ';');
  EXPECT_EQ(detected_delimiter("1,5\t2,5\tx\n1,7\t2,6\ty\n"), '\t');
  EXPECT_EQ(detected_delimiter("1.234,5;x\n2.345,6;y\n"), ';');
}

TEST(DetectedDelimiter, SemicolonsWithinAWordAreNone) {
  EXPECT_EQ(detected_delimiter("1,2,a;b,3\n4,5,c;d,6\n"), ',');
  EXPECT_EQ(detected_delimiter("n,m,w,k\n1,2,a;b,3\n4,5,c;d,6\n"), ',');
  EXPECT_EQ(detected_delimiter("1;hello, world;5\n2;so long, friend;6\n"), ';');
}

// Whatever the delimiter: tables of numbers, words and dates, in the notation that goes with it.
TEST(DetectedDelimiter, IsTheOneThatWroteTheTable) {
  const Random random(1, "delimiters");
  std::uint64_t n = 0;
  for (int table = 0; table < 400; ++table) {
    const char delimiter = ",;\t|"[table % 4], decimal = delimiter == ',' || table % 8 < 4 ? '.' : ',';
    const std::uint64_t columns = 2 + random.below(n++, 5), rows = 3 + random.below(n++, 40);
    std::vector<std::uint64_t> kinds;
    for (std::uint64_t c = 0; c < columns; ++c) kinds.push_back(random.below(n++, 4));
    std::string text;
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = 0; c < columns; ++c) {
        const std::uint64_t value = random.below(n++, 100000);
        if (r == 0 && table % 3 > 0)
          text += fmt::format("name{}", c);
        else if (kinds[c] == 0)
          text += fmt::format("{}{}{:02}", value / 100, decimal, value % 100);
        else if (kinds[c] == 1)
          text += std::to_string(value);
        else if (kinds[c] == 2)
          text += value % 2 ? "warm" : "cold";
        else
          text += fmt::format("2024-{:02}-{:02}", 1 + value % 12, 1 + value % 28);
        text += c + 1 < columns ? delimiter : '\n';
      }
    EXPECT_EQ(detected_delimiter(text), delimiter) << text;
  }
}

// --- the header ----------------------------------------------------------------------------------------------------

bool header(const std::string& text) {
  SampleRows rows = cut_sample(text, ',');
  return detected_header(rows);
}

TEST(DetectedHeader, IsAWordAboveNumbers) {
  EXPECT_TRUE(header("a,b\n1,2\n"));
  EXPECT_TRUE(header("a,b,c3\n1,2,3\n4,5,6\n"));
  EXPECT_TRUE(header("speed (km/h),label\n1.5,x\n2.5,y\n"));
  EXPECT_TRUE(header("day,n\n2024-01-01,5\n2024-01-02,6\n"));
  EXPECT_TRUE(header("x\n1\n2\n"));
  EXPECT_TRUE(header("RI,Na,Mg,K\n1.5,13,4,?\n1.6,?,3,1\n")) << "sodium";
  EXPECT_TRUE(header("price,note\n\"1.234,50\",x\n\"2.345,60\",y\n"));
  EXPECT_TRUE(header("a,a1\n1,2\n3,x\n5,6\n7,8\n9,8\n7,6\n5,4\n3,2\n1,1\n2,2\n3,3\n")) << "one stray word far below";
}

TEST(DetectedHeader, IsNoRowOfNumbers) {
  EXPECT_FALSE(header("1,x\n2,y\n"));
  EXPECT_FALSE(header("1,2\n3,4\n"));
  EXPECT_FALSE(header("1\n2\n3\n"));
  EXPECT_FALSE(header("5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,2.9,virginica\n"));
  EXPECT_FALSE(header("?,3.5,setosa\n4.9,3.0,setosa\n"));
  EXPECT_FALSE(header(",3.5,1\n4.9,3.0,2\n"));
  EXPECT_FALSE(header("2024-01-01,5\n2024-01-02,6\n"));
  EXPECT_FALSE(header("\"$44,880.00\",110.2%,1\n\"$61,080.00\",122.0%,1\n"));
  EXPECT_FALSE(header("spoilt,3,7,9\n5,2,8,1\n6,1,4,4\n")) << "a stray word in the first row";
  EXPECT_FALSE(header("1,2,3,yes\n4,5,6,no\n1,2,2,yes\n6,5,5,no\n"));
}

TEST(DetectedHeader, MayHaveAnIndexColumn) {
  EXPECT_TRUE(header(",a,b,label\n0,1.5,2,x\n1,2.5,3,y\n"));
  EXPECT_TRUE(header(",a,b,label\n17,1.5,2,x\n4,2.5,3,y\n")) << "shuffled";
  EXPECT_TRUE(header(",0,1\n0,5,6\n1,7,3\n2,9,9\n"));
  EXPECT_TRUE(header(",word\n0,x\n1,y\n2,x\n"));
}

TEST(DetectedHeader, MayBeOfNumbersThatGoUp) {
  EXPECT_TRUE(header("0,1,2,label\n-0.256,6.023,-1.542,1\n0.554,7.195,3.986,1\n"));
  EXPECT_TRUE(header("0,1,2,label\n5,3,4,1\n7,7,2,0\n5,1,8,1\n"));
  EXPECT_TRUE(header("0,1,label\n1,blue,yes\n4,red,no\n4,red,no\n3,blue,yes\n"));
  EXPECT_TRUE(header("country,1990,1991,label\nA,5,3,x\nB,7,7,y\nC,6,1,x\nD,7,7,y\n"));
  EXPECT_TRUE(header("id,10,20,30\n1,5,4,3\n2,5,6,9\n3,8,8,1\n"));
  EXPECT_TRUE(header("0,1,2,3,kind\n5,7,9,1,x\n2,2,1,1,y\n")) << "words below that say nothing";
  EXPECT_TRUE(header("0,1,2,3\n5,1,4,4\n0,0,3,7\n1,6,2,1\n"));
  EXPECT_TRUE(header("0,1,2\n0.5,1.5,4.4\n0.1,0.2,3.7\n"));
  EXPECT_TRUE(header("1100.5,1102.5,1104.5,label\n0.5,0.4,0.6,1\n0.7,0.8,0.3,0\n"));
  EXPECT_TRUE(header("400.1,400.4,401,401.2,403,405.9,y\n1,2,5,4,2,2,1\n3,2,5,1,3,2,0\n4,4,4,1,1,1,1\n"));
  EXPECT_TRUE(header("0.0,1.0,2.0,label\n-0.256,6.023,-1.542,1\n0.554,7.195,3.986,1\n"));
  EXPECT_FALSE(header("1.5,2.5,7.5,label\n-0.256,6.023,-1.542,label\n0.554,7.195,3.986,other\n"));
  EXPECT_FALSE(header("1,2,3,4\n5,6,7,8\n9,10,11,12\n13,14,15,16\n")) << "the rows go up as well";
  EXPECT_FALSE(header("0,1\n1,1\n1,0\n0,0\n"));
  EXPECT_FALSE(header("0,1\n0.1,0.995\n0.2,0.98\n"));
}

TEST(DetectedHeader, IsNoRowWhoseWordsOccurAgain) {
  EXPECT_FALSE(header("rain,hot,yes\nsunny,hot,yes\nrain,cool,no\n"));
  EXPECT_FALSE(header("p,b,f,s\np,b,s,s\ne,r,s,f\np,g,s,s\n"));
  EXPECT_FALSE(header("overcast,mild,yes\nsunny,hot,yes\nrain,cool,no\nsunny,hot,yes\nrain,cool,no\n"));
  EXPECT_FALSE(header("good film,pos\nbad film,neg\nno film,pos\n"));
  EXPECT_TRUE(header("weather,heat,play\nrain,hot,yes\nsunny,hot,yes\nrain,cool,no\nsunny,cool,no\n"));
  EXPECT_TRUE(header("text,label\ngood film,pos\nbad film,neg\nno film,pos\n"));
  EXPECT_TRUE(header("a,b\nx,y\n")) << "nothing repeats: words are taken for names";
  EXPECT_TRUE(header("a,b,c\n1,2,x\n3,4,y\na,b,c\n5,6,x\n")) << "files that were put together";
}

TEST(DetectedHeader, OfASingleRowIsOneOfWords) {
  EXPECT_TRUE(header("a,b\n"));
  EXPECT_FALSE(header("a,5\n"));
  EXPECT_FALSE(header(""));
}

// --- shapes --------------------------------------------------------------------------------------------------------

TEST(SampleShape, IsThatOfMostRows) {
  const auto shape = [](const char* text) {
    SampleRows rows = cut_sample(text, ',');
    drop_comments(rows);
    return shape_of(rows);
  };
  EXPECT_EQ(shape("a,b\n1,2\n3,4,5\n").fields, 2u);
  EXPECT_EQ(shape("title\na,b\n1,2\n").fields, 2u);
  EXPECT_EQ(shape("# x\n# y\n# z\na,b\n1,2\n").fields, 2u);
  EXPECT_EQ(shape("a,b,,\n1,2,,\n3,4,,\n").trailing, 2u);
  EXPECT_EQ(shape("a,b,c\n1,2,\n3,4,\n").trailing, 0u) << "it has a name";
  EXPECT_TRUE(shape("a,b\n1,5,6\n2,7,8\n").short_header);
  EXPECT_FALSE(shape("a,b\n1,5,6\n1,7,8\n").short_header) << "names of rows differ";
  EXPECT_EQ(shape("a,b,\n1,2\n3,4\n").trailing, 1u) << "behind the names only";
  EXPECT_EQ(shape("Report,,\na,b\n3,4\n").trailing, 0u);
  EXPECT_EQ(shape("a,b\n1,2,\n").trailing, 1u);
  EXPECT_TRUE(shape("a,b\n1,5,6\n").short_header);
  EXPECT_FALSE(shape("a,b\n1,5,\n").short_header);
  EXPECT_FALSE(shape("a,b\nx,y,z\n").short_header);
  EXPECT_FALSE(shape("7,b\n1,5,6\n").short_header);
  EXPECT_FALSE(shape("a\n1,5\n").short_header) << "a title";
  EXPECT_EQ(shape("").fields, 0u);
}

TEST(SampleRows, AreCutAsTheReaderCutsThem) {
  EXPECT_EQ(cut_sample("a , \"b \"\"x\"\"\n,\" \n\n5\" pipe,\t\r\r\n\"open,1\n", ','),
            (SampleRows{{"a", "b \"x\"\n,"}, {"5\" pipe", ""}}));
  EXPECT_EQ(fields_of_line("# a,\"b,c\",d", ','), 3u);
  EXPECT_EQ(fields_of_line("# a,\"b", ','), 0u);
  EXPECT_EQ(fields_of_line("", ','), 1u);
}

}  // namespace
}  // namespace espalier
