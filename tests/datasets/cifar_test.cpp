#include "espalier/datasets/cifar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "espalier/core/error.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t pixel_bytes = 3072;

// A record: these labels, then pixels of which each tells its place and its record.
Bytes record(const Bytes& labels, std::size_t number) {
  Bytes bytes = labels;
  for (std::size_t p = 0; p < pixel_bytes; ++p) bytes.push_back(static_cast<std::uint8_t>((p + 7 * number) % 251));
  return bytes;
}

Bytes records(const std::vector<Bytes>& labels) {
  Bytes bytes;
  for (std::size_t r = 0; r < labels.size(); ++r) {
    const Bytes one = record(labels[r], r);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  return bytes;
}

// A folder in which a reader is tried out.
class Files : public ::testing::Test {
 protected:
  using Reader = DataParts (*)(const std::filesystem::path&);

  // What the reader says: one line.
  std::string complaint(Reader read) {
    try {
      read(folder_.path());
    } catch (const FileError& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  // The beginning of each complaint about a file.
  std::string about(const std::string& file) const { return (folder_.path() / file).string() + ": "; }
  // A file of that length that takes no room on the disk.
  void write_hole(const std::string& name, std::uintmax_t bytes) {
    folder_.write(name, Bytes{0});
    std::filesystem::resize_file(folder_.path() / name, bytes);
  }
  testing::TemporaryFolder folder_;
};

// --- CIFAR-10 ------------------------------------------------------------------------------------------------------

// Five batches of 1, 2, 3, 4, 5 records and a test batch of two.
class Cifar10 : public Files {
 protected:
  void write_all(const std::filesystem::path& under = "") {
    for (std::size_t b = 1; b <= 5; ++b)
      folder_.write(under / fmt::format("data_batch_{}.bin", b),
                    records(std::vector<Bytes>(b, Bytes{static_cast<std::uint8_t>(b + 4)})));
    folder_.write(under / "test_batch.bin", records({{3}, {0}}));
  }
};

TEST_F(Cifar10, ReadsTheBatchesInOrderAndEachRecordsLabelAndPlanes) {
  write_all();
  const DataParts data = cifar10(folder_.path());
  ASSERT_EQ(data.train->samples(), 15);
  ASSERT_EQ(data.test->samples(), 2);
  EXPECT_EQ(data.train->shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(data.train->classes(), 10);
  EXPECT_EQ(data.train->name(), "cifar10 train");
  const std::vector<std::int32_t> expected{5, 6, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9, 9};
  for (Index i = 0; i < 15; ++i) EXPECT_EQ(data.train->label(i), expected[i]) << i;
  EXPECT_EQ(data.test->label(0), 3);
  std::vector<Real> image(pixel_bytes);
  data.test->read(1, image);
  for (std::size_t p = 0; p < pixel_bytes; ++p) ASSERT_EQ(image[p], static_cast<Real>((p + 7) % 251) / 255);
}

TEST_F(Cifar10, SaysThatOtherFilesAreNotThePublishedOnes) {
  write_all();
  EXPECT_EQ(cifar10(folder_.path()).provenance,
            "CIFAR-10-shaped files that are not the published CIFAR-10 (checksum differs: data_batch_1.bin, "
            "data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin)");
}

TEST_F(Cifar10, LooksIntoTheFolderThatTheArchiveMakes) {
  EXPECT_FALSE(holds_cifar10(folder_.path()));
  write_all("cifar-10-batches-bin");
  EXPECT_TRUE(holds_cifar10(folder_.path()));
  EXPECT_EQ(cifar10(folder_.path()).train->samples(), 15);
}

TEST_F(Cifar10, APartOfTheFilesCountsAsHeldSoThatTheMissingOnesAreNamed) {
  EXPECT_FALSE(holds_cifar10(folder_.path() / "absent"));
  write_all();
  std::filesystem::remove(folder_.path() / "data_batch_2.bin");
  std::filesystem::remove(folder_.path() / "test_batch.bin");
  EXPECT_TRUE(holds_cifar10(folder_.path()));
  EXPECT_EQ(complaint(cifar10), folder_.path().string() +
                                    ": expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, found no "
                                    "data_batch_2.bin, test_batch.bin");
}

TEST_F(Cifar10, RejectsALengthThatIsNoWholeNumberOfRecords) {
  write_all();
  Bytes bytes = records({{1}, {2}});
  bytes.pop_back();
  folder_.write("data_batch_3.bin", bytes);
  EXPECT_EQ(complaint(cifar10),
            about("data_batch_3.bin") +
                "byte 6145: expected records of 3073 bytes, found the end of the file 3072 bytes into record 1");
}

TEST_F(Cifar10, RejectsAnEmptyFile) {
  write_all();
  folder_.write("test_batch.bin", Bytes{});
  EXPECT_EQ(complaint(cifar10), about("test_batch.bin") + "expected records of 3073 bytes, found an empty file");
}

TEST_F(Cifar10, RejectsAnAbsurdLengthBeforeItAsksForMemory) {
  write_all();
  write_hole("data_batch_5.bin", std::uintmax_t{3073} << 30);  // three terabytes
  EXPECT_EQ(complaint(cifar10), about("data_batch_5.bin") +
                                    "expected records of 3073 bytes, found 3299608625152 bytes, more than 1000000000");
}

TEST_F(Cifar10, RejectsAFolderInPlaceOfAFile) {
  write_all();
  std::filesystem::remove(folder_.path() / "data_batch_1.bin");
  std::filesystem::create_directory(folder_.path() / "data_batch_1.bin");
  EXPECT_EQ(complaint(cifar10), about("data_batch_1.bin") + "expected records of 3073 bytes, found a folder or device");
}

TEST_F(Cifar10, NamesByteRecordAndValueOfALabelOutOfRange) {
  write_all();
  folder_.write("data_batch_4.bin", records({{1}, {9}, {10}}));
  EXPECT_EQ(complaint(cifar10), about("data_batch_4.bin") + "byte 6146 (label of record 2): expected 0 to 9, found 10");
}

// --- CIFAR-100 -----------------------------------------------------------------------------------------------------

class Cifar100 : public Files {
 protected:
  void write_all(const std::filesystem::path& under = "") {
    folder_.write(under / "train.bin", records({{19, 99}, {0, 49}, {4, 0}}));
    folder_.write(under / "test.bin", records({{1, 2}}));
  }
};

TEST_F(Cifar100, TheLabelIsTheFineOne) {
  write_all();
  const DataParts data = cifar100(folder_.path());
  ASSERT_EQ(data.train->samples(), 3);
  ASSERT_EQ(data.test->samples(), 1);
  EXPECT_EQ(data.train->shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(data.train->classes(), 100);
  EXPECT_EQ(data.train->label(0), 99);
  EXPECT_EQ(data.train->label(1), 49);
  EXPECT_EQ(data.test->label(0), 2);
  std::vector<Real> image(pixel_bytes);
  data.train->read(2, image);
  for (std::size_t p = 0; p < pixel_bytes; ++p) ASSERT_EQ(image[p], static_cast<Real>((p + 14) % 251) / 255);
}

TEST_F(Cifar100, DoesNotClaimToKnowThePublishedFiles) {
  write_all();
  EXPECT_EQ(cifar100(folder_.path()).provenance, "CIFAR-100-shaped files, not verified");
}

TEST_F(Cifar100, LooksIntoTheFolderThatTheArchiveMakes) {
  EXPECT_FALSE(holds_cifar100(folder_.path()));
  write_all("cifar-100-binary");
  EXPECT_TRUE(holds_cifar100(folder_.path()));
  EXPECT_EQ(cifar100(folder_.path()).train->samples(), 3);
}

TEST_F(Cifar100, NamesTheMissingFile) {
  write_all();
  std::filesystem::remove(folder_.path() / "test.bin");
  EXPECT_TRUE(holds_cifar100(folder_.path()));
  EXPECT_EQ(complaint(cifar100), folder_.path().string() + ": expected train.bin and test.bin, found no test.bin");
}

TEST_F(Cifar100, NamesByteRecordAndValueOfEitherLabelOutOfRange) {
  write_all();
  folder_.write("test.bin", records({{1, 2}, {20, 2}}));
  EXPECT_EQ(complaint(cifar100),
            about("test.bin") + "byte 3074 (coarse label of record 1): expected 0 to 19, found 20");
  folder_.write("test.bin", records({{1, 2}, {19, 100}}));
  EXPECT_EQ(complaint(cifar100), about("test.bin") + "byte 3075 (fine label of record 1): expected 0 to 99, found 100");
}

TEST_F(Cifar100, RejectsFilesOfTheWrongLength) {
  write_all();
  folder_.write("train.bin", records({{1}, {2}}));  // CIFAR-10's records
  EXPECT_PRED2(contains, complaint(cifar100),
               "train.bin: byte 6146: expected records of 3074 bytes, found the end of the file");
  folder_.write("train.bin", Bytes{});
  EXPECT_PRED2(contains, complaint(cifar100), "train.bin: expected records of 3074 bytes, found an empty file");
  write_hole("train.bin", std::uintmax_t{3074} * 1'000'000);
  EXPECT_PRED2(contains, complaint(cifar100), "found 3074000000 bytes, more than 1000000000");
}

// --- the real one, where there is one ----------------------------------------------------------------------------

std::filesystem::path real_cifar10() {
  const char* variable = std::getenv("ESPALIER_DATA");
  if (variable != nullptr && holds_cifar10(std::filesystem::path(variable) / "cifar10"))
    return std::filesystem::path(variable) / "cifar10";
  const std::filesystem::path in_source = std::filesystem::path(ESPALIER_SOURCE_DIR) / "data" / "cifar10";
  return holds_cifar10(in_source) ? in_source : std::filesystem::path();
}

TEST(RealCifar10, HasThePublishedCountsLabelsMomentsAndChecksums) {
  const std::filesystem::path folder = real_cifar10();
  if (folder.empty())
    GTEST_SKIP()
        << "no CIFAR-10 files in $ESPALIER_DATA/cifar10 or data/cifar10: the reader was tested on made-up files only";
  const DataParts data = cifar10(folder);
  EXPECT_EQ(data.provenance, "CIFAR-10 (checksums match the published files)");
  ASSERT_EQ(data.train->samples(), 50000);
  ASSERT_EQ(data.test->samples(), 10000);
  const auto first_labels = [](const Dataset& part) {
    return std::vector{part.label(0), part.label(1), part.label(2), part.label(3), part.label(4)};
  };
  EXPECT_EQ(first_labels(*data.train), (std::vector{6, 9, 9, 4, 1}));
  EXPECT_EQ(first_labels(*data.test), (std::vector{3, 8, 8, 0, 6}));
  const ChannelMoments m = moments(*data.train);
  ASSERT_EQ(m.mean.size(), 3u);
  const std::vector<double> mean{0.4914, 0.4822, 0.4465}, deviation{0.2470, 0.2435, 0.2616};
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(m.mean[c], mean[c], 0.00005 + 1e-9) << "channel " << c;
    EXPECT_NEAR(m.deviation[c], deviation[c], 0.00005 + 1e-9) << "channel " << c;
  }
}

}  // namespace
}  // namespace espalier
