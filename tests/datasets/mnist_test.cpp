#include "espalier/datasets/mnist.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "espalier/core/error.h"
#include "espalier/datasets/locate.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::Bytes;
using testing::contains;
using testing::counting;
using testing::gzip;
using testing::idx_bytes;

// A tiny set in MNIST's clothes: 12 + 3 images of 2 x 3 pixels.
class Mnist : public ::testing::Test {
 protected:
  void write_all() {
    folder_.write("train-images-idx3-ubyte", train_images_);
    folder_.write("train-labels-idx1-ubyte.gz", gzip(train_labels_));
    folder_.write("t10k-images.idx3-ubyte", test_images_);
    folder_.write("t10k-labels.idx1-ubyte.gz", gzip(test_labels_));
  }
  std::string complaint() {
    try {
      mnist(folder_.path());
    } catch (const FileError& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  testing::TemporaryFolder folder_;
  Bytes train_images_ = idx_bytes({12, 2, 3}, counting(72)), train_labels_ = idx_bytes({12}, counting(12, 10));
  Bytes test_images_ = idx_bytes({3, 2, 3}, counting(18, 256, 200)), test_labels_ = idx_bytes({3}, {7, 2, 1});
};

TEST_F(Mnist, ReadsAnySizeOfImageUnderAnySpellingOfTheNames) {
  write_all();
  const DataParts data = mnist(folder_.path());
  EXPECT_EQ(data.train->samples(), 12);
  EXPECT_EQ(data.test->samples(), 3);
  EXPECT_EQ(data.train->shape(), (Shape{1, 2, 3}));
  EXPECT_EQ(data.train->classes(), 10);
  EXPECT_EQ(data.train->label(11), 1);
  EXPECT_EQ(data.test->label(0), 7);
  std::vector<Real> image(6);
  data.train->read(1, image);
  for (std::size_t f = 0; f < 6; ++f) EXPECT_EQ(image[f], static_cast<Real>(6 + f) / 255);
}

TEST_F(Mnist, SaysThatOtherFilesAreNotThePublishedOnes) {
  write_all();
  EXPECT_EQ(mnist(folder_.path()).provenance,
            "MNIST-shaped files that are not the published MNIST (checksum differs: train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte.gz, t10k-images.idx3-ubyte, t10k-labels.idx1-ubyte.gz)");
}

TEST_F(Mnist, NamesTheMissingFileAndItsSpellings) {
  write_all();
  std::filesystem::remove(folder_.path() / "t10k-images.idx3-ubyte");
  EXPECT_EQ(complaint(), folder_.path().string() +
                             ": expected t10k-images-idx3-ubyte or test-images-idx3-ubyte (also with .gz, or with .idx "
                             "for -idx), found no such file");
}

TEST_F(Mnist, NamesBothFilesAndCountsWhenImagesAndLabelsDiffer) {
  train_labels_ = idx_bytes({11}, counting(11, 10));
  write_all();
  const std::string message = complaint();
  EXPECT_PRED2(contains, message, "train-images-idx3-ubyte: ");
  EXPECT_PRED2(contains, message, "found 12 images, but 11 labels in");
  EXPECT_PRED2(contains, message, "train-labels-idx1-ubyte.gz");
}

TEST_F(Mnist, NamesFileIndexAndValueOfALabelAboveNine) {
  test_labels_ = idx_bytes({3}, {7, 10, 1});
  write_all();
  EXPECT_PRED2(contains, complaint(), "t10k-labels.idx1-ubyte.gz: label 1 (byte 9): expected 0 to 9, found 10");
}

TEST_F(Mnist, RejectsTestImagesOfAnotherSize) {
  test_images_ = idx_bytes({3, 3, 2}, counting(18));
  write_all();
  const std::string message = complaint();
  EXPECT_PRED2(contains, message, "t10k-images.idx3-ubyte: byte 8: expected images of 2 x 3 pixels");
  EXPECT_PRED2(contains, message, "found 3 x 2");
}

TEST_F(Mnist, APartOfTheFilesCountsAsHeldSoThatTheMissingOneIsNamed) {
  EXPECT_FALSE(holds_mnist(folder_.path()));
  EXPECT_FALSE(holds_mnist(folder_.path() / "absent"));
  folder_.write("t10k-labels-idx1-ubyte", test_labels_);
  EXPECT_TRUE(holds_mnist(folder_.path()));
}

TEST_F(Mnist, LiesWhereTorchvisionPutsIt) {
  for (const char* place : {"raw", "MNIST/raw"}) {
    const testing::TemporaryFolder root;
    EXPECT_FALSE(holds_mnist(root.path()));
    root.write(std::filesystem::path(place) / "train-images-idx3-ubyte", train_images_);
    root.write(std::filesystem::path(place) / "train-labels-idx1-ubyte", train_labels_);
    root.write(std::filesystem::path(place) / "t10k-images-idx3-ubyte", test_images_);
    root.write(std::filesystem::path(place) / "t10k-labels-idx1-ubyte", test_labels_);
    EXPECT_TRUE(holds_mnist(root.path())) << place;
    EXPECT_EQ(mnist(root.path()).train->samples(), 12) << place;
    EXPECT_EQ(find_data(root.path().string(), "mnist", holds_mnist), root.path());
  }
}

TEST_F(Mnist, IsNotWhatHasAPrefix) {
  folder_.write("emnist-mnist-train-images-idx3-ubyte", train_images_);
  EXPECT_FALSE(holds_mnist(folder_.path()));
}

// --- the real one, where there is one ----------------------------------------------------------------------------

std::filesystem::path real_mnist() {
  const char* variable = std::getenv("ESPALIER_DATA");
  if (variable != nullptr && holds_mnist(std::filesystem::path(variable) / "mnist"))
    return std::filesystem::path(variable) / "mnist";
  const std::filesystem::path in_source = std::filesystem::path(ESPALIER_SOURCE_DIR) / "data" / "mnist";
  return holds_mnist(in_source) ? in_source : std::filesystem::path();
}

TEST(RealMnist, HasThePublishedCountsLabelsMomentsAndChecksums) {
  const std::filesystem::path folder = real_mnist();
  if (folder.empty())
    GTEST_SKIP() << "no MNIST files in $ESPALIER_DATA/mnist or data/mnist: the reader was tested on made-up files only";
  const DataParts data = mnist(folder);
  EXPECT_EQ(data.provenance, "MNIST (checksums match the published files)");
  ASSERT_EQ(data.train->samples(), 60000);
  ASSERT_EQ(data.test->samples(), 10000);
  EXPECT_EQ(data.train->shape(), (Shape{1, 28, 28}));
  const auto first_labels = [](const Dataset& part) {
    return std::vector{part.label(0), part.label(1), part.label(2), part.label(3), part.label(4)};
  };
  EXPECT_EQ(first_labels(*data.train), (std::vector{5, 0, 4, 1, 9}));
  EXPECT_EQ(first_labels(*data.test), (std::vector{7, 2, 1, 0, 4}));
  const ChannelMoments train_moments = moments(*data.train);
  ASSERT_EQ(train_moments.mean.size(), 1u);
  EXPECT_NEAR(train_moments.mean[0], 0.1307, 0.00005);
  EXPECT_NEAR(train_moments.deviation[0], 0.3081, 0.00005);
}

}  // namespace
}  // namespace espalier
