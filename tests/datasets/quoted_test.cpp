#include "espalier/datasets/quoted.h"

#include <gtest/gtest.h>

#include <string>

#include "espalier/core/random.h"
#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

TEST(Quoted, ShowsPrintableTextAsItIs) {
  EXPECT_EQ(quoted("caf\u00e9 \u2212 5 \u20ac"), "\"caf\u00e9 \u2212 5 \u20ac\"");
  EXPECT_EQ(shown("age"), "age");
  EXPECT_EQ(quoted(""), "\"\"");
}

TEST(Quoted, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(shown("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(shown("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(shown("\u009b"
                  "2J"),
            "\\xc2\\x9b"
            "2J")
      << "a control sequence in one character";
  EXPECT_EQ(shown("\u202e"
                  "x"),
            "\\xe2\\x80\\xae"
            "x")
      << "writing turned around";
  EXPECT_EQ(shown("caf\xe9"), "caf\\xe9") << "no UTF-8";
}

TEST(Quoted, CutsBetweenCharacters) {
  std::string forty;
  for (int i = 0; i < 40; ++i) forty += "\u00e9";
  EXPECT_EQ(shown(forty), forty);
  EXPECT_EQ(shown(forty + "x"), forty + "...");
}

TEST(Quoted, ShowsAnyBytesAsOneLineOfText) {
  const Random random(1, "quoted");
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::string bytes;
    for (std::uint64_t b = 0; b < 30; ++b) bytes += static_cast<char>(random.below(30 * i + b, 256));
    const std::string text = quoted(bytes);
    EXPECT_EQ(utf8_prefix(text), text.size());
    for (const char c : text) EXPECT_TRUE(static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  }
}

}  // namespace
}  // namespace espalier
