#include "espalier/datasets/idx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::Bytes;
using testing::contains;
using testing::counting;
using testing::first_bytes;
using testing::gzip;
using testing::idx_bytes;
using testing::idx_header;

class IdxFile : public ::testing::Test {
 protected:
  // What read_idx says about a file with these contents: one line that begins with the file's path.
  std::string complaint(const std::string& name, const Bytes& contents, int rank = 3) {
    const std::filesystem::path path = folder_.write(name, contents);
    try {
      read_idx(path, rank);
    } catch (const FileError& error) {
      const std::string message = error.what(), prefix = path.string() + ": ";
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      EXPECT_EQ(message.rfind(prefix, 0), 0u) << message;
      return message.substr(std::min(prefix.size(), message.size()));
    }
    ADD_FAILURE() << name << " was accepted";
    return {};
  }
  testing::TemporaryFolder folder_;
  const Bytes images_ = idx_bytes({2, 3, 4}, counting(24));  // 16 + 24 bytes
};

TEST_F(IdxFile, ReadsExtentsAndValuesOfAPlainFile) {
  const Idx idx = read_idx(folder_.write("images", images_), 3);
  EXPECT_EQ(idx.extents, (std::vector<Index>{2, 3, 4}));
  EXPECT_EQ(idx.values, counting(24));
}

TEST_F(IdxFile, ReadsAGzippedFileWhateverItsName) {
  for (const char* name : {"images.gz", "images"}) {
    const Idx idx = read_idx(folder_.write(name, gzip(images_)), 3);
    EXPECT_EQ(idx.extents, (std::vector<Index>{2, 3, 4}));
    EXPECT_EQ(idx.values, counting(24));
  }
}

TEST_F(IdxFile, ReadsAPlainFileUnderAGzName) {
  EXPECT_EQ(read_idx(folder_.write("images.gz", images_), 3).values, counting(24));
}

TEST_F(IdxFile, ReadsAGzippedFileOfSeveralMembers) {
  Bytes members = gzip(first_bytes(images_, 10));
  const Bytes rest = gzip(Bytes(images_.begin() + 10, images_.end()));
  members.insert(members.end(), rest.begin(), rest.end());
  EXPECT_EQ(read_idx(folder_.write("images.gz", members), 3).values, counting(24));
}

TEST_F(IdxFile, ReadsAFileLongerThanItsFirstGrowthStep) {
  const Bytes values = counting(3'000'000, 251);
  EXPECT_EQ(read_idx(folder_.write("plain", idx_bytes({3, 1000, 1000}, values)), 3).values, values);
  EXPECT_EQ(read_idx(folder_.write("gzipped", gzip(idx_bytes({3, 1000, 1000}, values))), 3).values, values);
}

TEST_F(IdxFile, ChecksumIsTheCrcOfTheWholeUncompressedFile) {
  const auto expected = static_cast<std::uint32_t>(crc32(0, images_.data(), static_cast<uInt>(images_.size())));
  EXPECT_EQ(checksum(read_idx(folder_.write("images", images_), 3)), expected);
  EXPECT_EQ(checksum(read_idx(folder_.write("images.gz", gzip(images_)), 3)), expected);
}

TEST_F(IdxFile, RejectsAMissingFileSayingWhatWasLookedFor) {
  try {
    read_idx(folder_.path() / "absent", 3);
    FAIL();
  } catch (const FileError& error) {
    EXPECT_PRED2(contains, error.what(), "absent: expected an IDX file with 3 extents, found no such file");
  }
}

TEST_F(IdxFile, RejectsAFolder) {
  EXPECT_THROW(read_idx(folder_.path(), 3), FileError);
}

TEST_F(IdxFile, RejectsAnEmptyFile) {
  EXPECT_EQ(complaint("empty", {}), "byte 0: expected an IDX header, found an empty file");
  EXPECT_PRED2(contains, complaint("empty.gz", {}), "found an empty file");
}

TEST_F(IdxFile, RejectsATruncatedHeaderAtEveryLength) {
  for (std::size_t length = 1; length < 16; ++length) {
    const std::string expected =
        fmt::format("byte {}: expected an IDX header of 16 bytes, found the end of the file", length);
    EXPECT_EQ(complaint("plain", first_bytes(images_, length)), expected);
    EXPECT_EQ(complaint("gzipped", gzip(first_bytes(images_, length))), expected);
  }
}

TEST_F(IdxFile, RejectsAWrongMagicNamingTheBytesFound) {
  Bytes text = {'P', 'N', 'G', '\n', 0, 0, 0, 0};
  EXPECT_EQ(complaint("text", text), "byte 0: expected the IDX magic 00 00 08 03, found 50 4e 47 0a");
  EXPECT_EQ(complaint("text.gz", gzip(text)), "byte 0: expected the IDX magic 00 00 08 03, found 50 4e 47 0a");
  EXPECT_EQ(complaint("one", {0x1f}), "byte 0: expected the IDX magic 00 00 08 03, found 1f");
}

TEST_F(IdxFile, RejectsAGzNameThatIsNeitherGzipNorIdx) {
  EXPECT_EQ(complaint("page.gz", {'<', 'h', 't', 'm', 'l', '>'}),
            "byte 0: not gzip and not IDX: expected the IDX magic 00 00 08 03 or gzip's 1f 8b, found 3c 68 74 6d");
}

TEST_F(IdxFile, RejectsATypeOtherThanUnsignedByte) {
  Bytes floats = images_;
  floats[2] = 0x0d;
  EXPECT_EQ(complaint("floats", floats), "byte 2: expected type 08 (unsigned byte), found 0d");
}

TEST_F(IdxFile, RejectsAnotherRankThanExpected) {
  EXPECT_EQ(complaint("images", images_, 1), "byte 3: expected 1 extents, found 3");
  EXPECT_EQ(complaint("labels", idx_bytes({4}, counting(4))), "byte 3: expected 3 extents, found 1");
}

TEST_F(IdxFile, RejectsAZeroExtentNamingItsByte) {
  EXPECT_EQ(complaint("none", idx_bytes({0, 3, 4}, {})), "byte 4: expected a positive extent, found 0");
  EXPECT_EQ(complaint("flat", idx_bytes({2, 3, 0}, {})), "byte 12: expected a positive extent, found 0");
}

TEST_F(IdxFile, RejectsExtentsWhoseProductOverflows) {
  const Bytes bytes = idx_bytes({0xffffffff, 0xffffffff, 0xffffffff}, counting(24));
  const std::string expected =
      "byte 4: expected extents that fit the file, found 4294967295 x 4294967295 x 4294967295, which overflows";
  EXPECT_EQ(complaint("plain", bytes), expected);
  EXPECT_EQ(complaint("gzipped", gzip(bytes)), expected);
}

TEST_F(IdxFile, RejectsAnAbsurdPromiseBeforeAllocatingForIt) {
  const Bytes bytes = idx_bytes({1 << 20, 1 << 20, 1 << 20}, counting(24));  // 2^60 bytes: allocating would throw
  EXPECT_PRED2(contains, complaint("plain", bytes), "byte 40: expected 1152921504606846976 bytes of data");
  EXPECT_PRED2(contains, complaint("gzipped", gzip(bytes)), "compressed bytes can hold");
}

TEST_F(IdxFile, RejectsMoreNumbersThanItIsDocumentedToRead) {
  const Bytes header = idx_bytes({1 << 10, 1 << 10, (1 << 11) + 1}, {});
  const auto path = folder_.write("long", header);
  std::filesystem::resize_file(path,
                               header.size() + (std::uintmax_t{1} << 31) + (1 << 20));  // takes no room on the disk
  try {
    read_idx(path, 3);
    ADD_FAILURE() << "was read";
  } catch (const FileError& error) {
    EXPECT_PRED2(contains, error.what(),
                 "byte 4: expected extents of at most 2147483648 bytes in all, found 1024 x 1024 x 2049");
  }
}

TEST_F(IdxFile, RejectsATruncatedImageFileNamingTheByteOffset) {
  const std::string expected = "byte 39: expected 24 bytes of data (2 x 3 x 4), found the end of the file after 23";
  EXPECT_EQ(complaint("plain", first_bytes(images_, 39)), expected);
  EXPECT_EQ(complaint("gzipped", gzip(first_bytes(images_, 39))), expected);
}

TEST_F(IdxFile, RejectsTrailingBytes) {
  Bytes longer = images_;
  longer.push_back(0);
  const std::string expected = "byte 40: expected the end of the file after 24 bytes of data (2 x 3 x 4), found more";
  EXPECT_EQ(complaint("plain", longer), expected);
  EXPECT_EQ(complaint("gzipped", gzip(longer)), expected);
}

TEST_F(IdxFile, StopsInflatingAsSoonAsMoreThanThePromiseArrives) {
  // 64 MiB of zeros behind a promise of 24 bytes: reading on would take noticeable memory, and no message needs it.
  Bytes bomb = idx_header({2, 3, 4});
  bomb.resize(std::size_t{64} << 20);
  EXPECT_PRED2(contains, complaint("bomb.gz", gzip(bomb)), "byte 40: expected the end of the file");
}

TEST_F(IdxFile, RejectsATruncatedGzipFileAtEveryLength) {
  const Bytes whole = gzip(images_);
  for (std::size_t length = 2; length < whole.size(); ++length)
    EXPECT_EQ(
        complaint("images.gz", first_bytes(whole, length)),
        fmt::format("compressed byte {}: expected more gzip data, found the end of the file (truncated)", length));
}

TEST_F(IdxFile, RejectsACorruptGzipFile) {
  Bytes damaged = gzip(images_);
  damaged[10] ^= 0xff;  // the first block's header
  EXPECT_PRED2(contains, complaint("images.gz", damaged), "expected gzip data, found damage (");
}

TEST_F(IdxFile, RejectsAGzipFileWhoseOwnChecksumIsWrong) {
  Bytes damaged = gzip(images_);
  damaged[damaged.size() - 8] ^= 1;
  const std::string message = complaint("images.gz", damaged);
  EXPECT_PRED2(contains, message, "compressed byte ");
  EXPECT_PRED2(contains, message, "incorrect data check");
}

TEST_F(IdxFile, RejectsBytesBehindTheGzipData) {
  Bytes longer = gzip(images_);
  const std::size_t end = longer.size();
  for (const std::uint8_t byte : {'a', 'b', 'c'}) longer.push_back(byte);
  EXPECT_EQ(complaint("images.gz", longer),
            fmt::format("compressed byte {}: expected the end of the file, found 3 bytes after the gzip data", end));
}

// A small fuzzer: whatever byte is changed, the reader returns what the header says or complains in one line.
TEST_F(IdxFile, EveryChangeOfAByteIsReadOrRejectedCleanly) {
  const Bytes gzipped = gzip(images_);
  for (const Bytes& good : {images_, gzipped}) {
    const Random random(1, "idx-fuzz", good.size());
    for (std::uint64_t round = 0; round < 500; ++round) {
      Bytes bytes = good;
      bytes[random.below(2 * round, bytes.size())] ^= static_cast<std::uint8_t>(1 + random.below(2 * round + 1, 255));
      const std::filesystem::path path = folder_.write("fuzzed.gz", bytes);
      try {
        const Idx idx = read_idx(path, 3);
        EXPECT_EQ(static_cast<Index>(idx.values.size()), idx.extents[0] * idx.extents[1] * idx.extents[2]);
      } catch (const FileError& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
    }
  }
}

TEST_F(IdxFile, RejectsAnImpossibleRankAsACallersMistake) {
  EXPECT_THROW(read_idx(folder_.write("images", images_), 0), UsageError);
}

}  // namespace
}  // namespace espalier
