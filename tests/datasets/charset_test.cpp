#include "espalier/datasets/charset.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/datasets/csv.h"
#include "espalier/datasets/utf8.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

// All text of these bytes, asked for in pieces; in `settled` what it was.
std::string text_of(const std::string& bytes, Charset charset, std::size_t piece, Charset* settled = nullptr) {
  Utf8Source source(std::make_unique<ByteSource>(bytes), charset);
  std::string text;
  std::vector<char> buffer(piece);
  while (const std::size_t got = source.read(buffer)) text.append(buffer.data(), got);
  if (settled) *settled = source.charset();
  return text;
}

std::string complaint(const std::string& bytes, Charset charset = Charset::detect) {
  try {
    CsvReader reader("t.csv", bytes, {.dialect = {.charset = charset}});
    while (reader.next()) {
    }
  } catch (const FileError& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

// Characters of one to four bytes, and the same text in the other charsets.
struct Written {
  std::string utf8, utf16le, utf16be, latin1;
};
Written random_text(std::uint64_t seed, std::uint64_t characters, bool in_latin1) {
  const Random random(seed, "charset");
  Written text;
  for (std::uint64_t i = 0; i < characters; ++i) {
    constexpr std::array<char32_t, 9> wide{'a', ',', '\n', 0xe9, 0xdf, 0x20ac, 0x4e2d, 0xffe6, 0x1f600};
    const char32_t c = wide[random.below(i, in_latin1 ? 5 : wide.size())];
    const auto add16 = [&](unsigned unit) {
      text.utf16le += {static_cast<char>(unit & 0xff), static_cast<char>(unit >> 8)};
      text.utf16be += {static_cast<char>(unit >> 8), static_cast<char>(unit & 0xff)};
    };
    if (c < 0x80) {
      text.utf8 += static_cast<char>(c);
    } else if (c < 0x800) {
      text.utf8 += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    } else if (c < 0x10000) {
      text.utf8 += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
                    static_cast<char>(0x80 | (c & 0x3f))};
    } else {
      text.utf8 += {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
                    static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
    }
    if (c < 0x10000) {
      add16(c);
    } else {
      add16(0xd800 + ((c - 0x10000) >> 10));
      add16(0xdc00 + ((c - 0x10000) & 0x3ff));
    }
    text.latin1 += static_cast<char>(c & 0xff);
  }
  return text;
}

TEST(Charset, AnyTextIsTheSameInUtf8FromEveryCharsetAndInPiecesOfAnySize) {
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    for (const std::size_t piece : {16, 17, 100, 5000, 300000}) {
      const Written text = random_text(seed, 40000, false);
      EXPECT_EQ(text_of(text.utf8, Charset::detect, piece), text.utf8);
      EXPECT_EQ(text_of("\xef\xbb\xbf" + text.utf8, Charset::latin1, piece), text.utf8) << "a mark is obeyed";
      EXPECT_EQ(text_of("\xff\xfe" + text.utf16le, Charset::detect, piece), text.utf8);
      EXPECT_EQ(text_of("\xfe\xff" + text.utf16be, Charset::utf8, piece), text.utf8);
      const Written narrow = random_text(seed, 40000, true);
      EXPECT_EQ(text_of(narrow.latin1, Charset::latin1, piece), narrow.utf8);
      EXPECT_EQ(text_of(narrow.latin1, Charset::detect, piece), narrow.utf8);
    }
}

TEST(Charset, IsSettledByTheFirstTextThatIsNotAscii) {
  Charset settled = Charset::utf16;
  EXPECT_EQ(text_of("abc", Charset::detect, 16, &settled), "abc");
  EXPECT_EQ(settled, Charset::detect) << "it means the same in all";
  text_of("caf\xc3\xa9", Charset::detect, 16, &settled);
  EXPECT_EQ(settled, Charset::utf8);
  std::string late(100000, 'a'), late_in_utf8 = late;
  late.append("caf\xe9");
  late_in_utf8.append("caf\u00e9");
  EXPECT_EQ(text_of(late, Charset::detect, 4096, &settled), late_in_utf8);
  EXPECT_EQ(settled, Charset::latin1);
  EXPECT_EQ(text_of("\x80 5, \x93x\x94 \x81", Charset::detect, 4096), "\u20ac 5, \u201cx\u201d \u0081")
      << "Windows-1252";
  EXPECT_EQ(text_of(std::string("a\0,\0b\0\n\0", 8), Charset::detect, 16, &settled), "a,b\n")
      << "UTF-16 without a mark";
  EXPECT_EQ(settled, Charset::utf16);
  EXPECT_EQ(text_of(std::string("\0a\0,\0b\0\n", 8), Charset::detect, 16), "a,b\n");
}

TEST(Charset, BytesThatAreNoTextAreNamedByLineWithWhatToDo) {
  EXPECT_EQ(complaint("a,b\n1,2\ncaf\xe9,3\n", Charset::utf8),
            "t.csv: line 3: expected text in UTF-8, found byte 0xE9 (charset latin-1 reads it)");
  std::string mixed = "a,b\ncaf\xc3\xa9,3\n";
  for (int row = 0; row < 100000; ++row) mixed += "x,5\n";
  EXPECT_EQ(complaint(mixed + "caf\xe9,3\n"),
            "t.csv: line 100003: expected text in UTF-8, found byte 0xE9 (charset latin-1 reads it)");
  EXPECT_EQ(
      complaint("a,b\n1,2\n", Charset::utf16),
      "t.csv: line 1: expected text in UTF-16, found neither a byte-order mark nor zeros (charset utf-8 reads it?)");
  EXPECT_EQ(complaint(std::string("\xff\xfe"
                                  "a\0,\0b\0\n\0x",
                                  11)),
            "t.csv: line 2: expected text in UTF-16, found half a character at its end");
  EXPECT_EQ(complaint(std::string("\xff\xfe"
                                  "a\0\n\0\0\xd8x\0\n\0",
                                  12)),
            "t.csv: line 2: expected text in UTF-16, found half of a pair of surrogates");
  EXPECT_EQ(complaint(std::string("a,b\n1,2\n3,\0\n", 12)), "t.csv: line 3: expected text, found a NUL byte");
}

TEST(Charset, TablesAreReadFromAnyAndGzipped) {
  const testing::TemporaryFolder folder;
  for (const std::string& text : {std::string("caf\xe9;x\n1;th\xe9\n"), std::string("caf\xc3\xa9;x\n1;th\xc3\xa9\n"),
                                  std::string("\xff\xfe"
                                              "c\0a\0f\0\xe9\0;\0x\0\n\0"
                                              "1\0;\0t\0h\0\xe9\0\n\0",
                                              26)}) {
    CsvReader reader(folder.write("t.csv.gz", testing::gzip(std::vector<std::uint8_t>(text.begin(), text.end()))));
    EXPECT_EQ(reader.columns()[0], "caf\u00e9");
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.fields()[1], "th\u00e9");
    EXPECT_FALSE(reader.next());
  }
}

TEST(Utf8, CharactersAreThoseOfUnicode) {
  EXPECT_EQ(utf8_character("a"), 1u);
  EXPECT_EQ(utf8_character("\u00e9"), 2u);
  EXPECT_EQ(utf8_character("\u20ac"), 3u);
  EXPECT_EQ(utf8_character("\U0010ffff"), 4u);
  for (const char* none : {"", "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xed\xa0\x80",
                           "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"})
    EXPECT_EQ(utf8_character(none), 0u) << none;
  EXPECT_TRUE(utf8_unfinished("\xe2\x82"));
  EXPECT_FALSE(utf8_unfinished("\xff"));
  EXPECT_FALSE(utf8_unfinished("a"));
  EXPECT_EQ(trimmed(" \t\u00a0\u202f\u2009x y\u3000 "), "x y");
}

}  // namespace
}  // namespace espalier
