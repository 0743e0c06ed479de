#include "espalier/datasets/text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "espalier/core/error.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/synthetic_text.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::Bytes;
using testing::contains;

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

// The characters of sample i, and the one to be predicted.
std::string characters(const DatasetPtr& data, Index i) {
  const std::string& alphabet = dynamic_cast<const TextWindows&>(*data).alphabet();
  std::vector<Real> tokens(data->shape().features());
  data->read(i, tokens);
  std::string text;
  for (const Real token : tokens) text += alphabet[token];
  return text + alphabet[data->label(i)];
}

std::string complaint(const std::filesystem::path& file) {
  try {
    load_text(file, {.length = 4});
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Text, SamplesAreWindowsAndTheCharacterBehindEach) {
  std::string text = "abcabd";
  while (text.size() < 200) text += "efgh";
  text.resize(200);
  const DataParts parts = load_text_string("text", text, {.length = 4, .stride = 3, .validation = 0});
  EXPECT_EQ(parts.train->shape(), (Shape{4}));
  EXPECT_EQ(parts.train->classes(), 8);
  EXPECT_EQ(parts.train->tokens(), 8);
  EXPECT_EQ(characters(parts.train, 0), text.substr(0, 5));
  EXPECT_EQ(characters(parts.train, 1), text.substr(3, 5));
  EXPECT_EQ(parts.train->label(0), 1) << "b is the second character of the alphabet";
  const Index last = parts.train->samples() - 1;
  EXPECT_EQ(characters(parts.train, last), text.substr(3 * last, 5));
  EXPECT_LE(3 * last + 5, 180) << "it ends before the tenth for testing";
  EXPECT_GT(3 * (last + 1) + 5, 180) << "no window is left out";
  EXPECT_EQ(characters(parts.test, 0), text.substr(180, 5));
}

TEST(Text, PartsLieOneBehindTheOtherAndShareNoCharacter) {
  const std::string text = synthetic_text(5000);
  for (const Index stride : {1, 7, 16, 40}) {
    const DataParts parts = load_text_string("text", text, {.length = 16, .stride = stride, .validation = 20});
    const Index before_test = (4500 - 17) / stride + 1;
    EXPECT_EQ(parts.validation->samples(), std::min<Index>(20, before_test / 10));
    const Index validation_begin = 4500 - ((parts.validation->samples() - 1) * stride + 17);
    EXPECT_LE((parts.train->samples() - 1) * stride + 17, validation_begin);
    EXPECT_EQ(characters(parts.validation, 0), text.substr(validation_begin, 17));
    EXPECT_EQ(characters(parts.validation, parts.validation->samples() - 1), text.substr(4500 - 17, 17));
    EXPECT_EQ(characters(parts.test, 0), text.substr(4500, 17));
  }
}

TEST(Text, TokensAreRankedByByteAndNeverStandardised) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text +=
        "z\xff"
        "A";
  const DataParts parts = load_text_string("text", text, {.length = 3});
  EXPECT_EQ(dynamic_cast<const TextWindows&>(*parts.train).alphabet(), "Az\xff");
  EXPECT_EQ(standardised(parts).train, parts.train);
  EXPECT_THROW(Standardised(parts.train, {0}, {1}), UsageError);
  EXPECT_EQ(Subset(parts.train, {0}).tokens(), 3);
}

TEST(Text, ReadsPlainAndGzippedFilesByName) {
  const testing::TemporaryFolder folder;
  const std::string text = synthetic_text(4000);
  folder.write("plain.txt", bytes_of(text));
  folder.write("packed.txt.gz", testing::gzip(bytes_of(text)));
  const LoadOptions options{.folder = folder.path().string(), .validation = 10};
  const DataParts plain = load("plain.txt", options), packed = load("packed.txt.gz", options);
  EXPECT_EQ(plain.name, "plain");
  EXPECT_EQ(packed.name, "packed");
  ASSERT_EQ(plain.train->samples(), packed.train->samples());
  for (Index i = 0; i < plain.train->samples(); ++i) EXPECT_EQ(characters(plain.train, i), characters(packed.train, i));
  EXPECT_EQ(plain.validation->samples(), 10);
}

TEST(Text, NamesFileAndByteOfWhatIsWrong) {
  const testing::TemporaryFolder folder;
  const Bytes packed = testing::gzip(bytes_of(synthetic_text(4000)));
  const auto expect = [&](const char* name, const Bytes& contents, const std::string& message) {
    const auto file = folder.write(name, contents);
    EXPECT_EQ(complaint(file).substr(0, (file.string() + ": " + message).size()), file.string() + ": " + message);
  };
  expect("short.txt", bytes_of("abc"), "byte 3: expected at least 50 characters, for samples of 4");
  expect("empty.txt", {}, "byte 0: expected at least 50 characters");
  expect("same.txt", Bytes(80, 'a'), "byte 80: expected at least two different characters, found 1");
  Bytes binary(80, 'a');
  binary[71] = 0;
  expect("binary.txt", binary, "byte 71: expected text, found a NUL byte");
  expect("truncated.txt.gz", testing::first_bytes(packed, packed.size() / 2), "byte ");
  EXPECT_PRED2(contains, complaint(folder.path() / "truncated.txt.gz"), "truncated");
  Bytes damaged = packed;
  damaged[damaged.size() - 6] ^= 0xff;  // of the checksum
  expect("damaged.txt.gz", damaged, "byte ");
  EXPECT_PRED2(contains, complaint(folder.path() / "damaged.txt.gz"), "damage");
  EXPECT_PRED2(contains, complaint(folder.path() / "none.txt"), "none.txt: expected a text, found no such file");
  EXPECT_PRED2(contains, complaint(folder.path()), "expected a text, found a folder");
  EXPECT_THROW(load_text_string("text", synthetic_text(1000), {.length = 0}), UsageError);
  EXPECT_THROW(load_text_string("text", synthetic_text(1000), {.stride = 0}), UsageError);
  EXPECT_THROW(load_text_string("text", synthetic_text(1000), {.validation = -1}), UsageError);
}

TEST(SyntheticText, IsAFunctionOfTheSeedAndOnlyGrows) {
  const std::string text = synthetic_text(3000);
  EXPECT_EQ(text.size(), 3000u);
  EXPECT_EQ(synthetic_text(7000).substr(0, 3000), text);
  EXPECT_NE(synthetic_text(3000, 2), text);
  EXPECT_THROW(synthetic_text(0), UsageError);
}

TEST(SyntheticText, VerbsAgreeWithTheirSubjects) {
  const std::string text = synthetic_text(20000);
  EXPECT_TRUE(contains(text, "the bird sees ") || contains(text, "the tree sees "));
  for (const char* wrong : {"the bird see ", "birds sees ", "the fox hide ", "foxes hides "})
    EXPECT_FALSE(contains(text, wrong)) << wrong;
}

TEST(Text, ReadsTheRealOne) {
  const char* folder = std::getenv("ESPALIER_DATA");
  const auto file = std::filesystem::path(folder ? folder : "data") / "text/tinyshakespeare.txt.gz";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no text/tinyshakespeare.txt.gz in $ESPALIER_DATA";
  const DataParts parts = load(file.string());
  EXPECT_EQ(parts.train->tokens(), 65);
  EXPECT_EQ(parts.validation->samples(), 5000);
  EXPECT_EQ(characters(parts.train, 0).substr(0, 14), "First Citizen:");
}

}  // namespace
}  // namespace espalier
