#include "espalier/datasets/idx_set.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/catalogue.h"
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

// Four files of one set, 12 + 3 images of 2 x 3 pixels.
struct Four {
  std::string folder, train = "train", test = "t10k", separator = "-", ending;
  Bytes train_labels = counting(12, 4), test_labels = {3, 0, 1};

  void write(const testing::TemporaryFolder& root) const {
    const auto file = [&](const std::string& part, const char* kind, int rank, const Bytes& bytes) {
      const std::string name = fmt::format("{}-{}{}idx{}-ubyte{}", part, kind, separator, rank, ending);
      root.write(std::filesystem::path(folder) / name, ending == ".gz" ? gzip(bytes) : bytes);
    };
    const auto count = [](const Bytes& labels) { return static_cast<Index>(labels.size()); };
    file(train, "images", 3, idx_bytes({count(train_labels), 2, 3}, counting(6 * train_labels.size())));
    file(train, "labels", 1, idx_bytes({count(train_labels)}, train_labels));
    file(test, "images", 3, idx_bytes({count(test_labels), 2, 3}, counting(6 * test_labels.size())));
    file(test, "labels", 1, idx_bytes({count(test_labels)}, test_labels));
  }
};

class IdxSets : public ::testing::Test {
 protected:
  std::string complaint(const std::string& folder) {
    try {
      idx_set(root_.path() / folder);
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }
  static std::vector<Real> image(const Dataset& data, Index i) {
    std::vector<Real> pixels(static_cast<std::size_t>(data.shape().features()));
    data.read(i, pixels);
    for (Real& x : pixels) x = std::round(255 * x);
    return pixels;
  }
  testing::TemporaryFolder root_;
};

TEST_F(IdxSets, AreFoundUnderEverySpellingAndPlaceAndCalledByWhatNamesThem) {
  struct Place {
    Four files;
    std::string asked, name;
  };
  for (const Place& place :
       {Place{{.folder = "fashion"}, "fashion", "fashion"},
        Place{{.folder = "a/FashionMNIST/raw"}, "a/FashionMNIST", "FashionMNIST"},
        Place{{.folder = "b/FashionMNIST/raw"}, "b/FashionMNIST/raw/", "FashionMNIST"},
        Place{{.folder = "c/MNIST/raw"}, "c", "MNIST"},
        Place{{.folder = "d", .test = "test", .separator = "."}, "d", "d"},
        Place{{.folder = "e/gzip", .train = "my-set-train", .test = "my-set-test", .ending = ".gz"}, "e", "my-set"},
        Place{{.folder = "f", .train = "my-set-train", .test = "my-set-t10k"}, "f/my-set", "my-set"}}) {
    place.files.write(root_);
    const DataParts data = idx_set(root_.path() / place.asked);
    EXPECT_EQ(data.name, place.name);
    EXPECT_PRED2(contains, data.provenance, place.name + ", in MNIST's format: 12 images of 2 x 3 in 4 classes");
    EXPECT_EQ(data.train->samples(), 12);
    EXPECT_EQ(data.train->classes(), 4);
    EXPECT_EQ(data.test->label(0), 3);
    EXPECT_EQ(data.train->shape(), (Shape{1, 2, 3}));
    EXPECT_EQ(image(*data.train, 1), (std::vector<Real>{6, 7, 8, 9, 10, 11}));
    EXPECT_TRUE(data.notes.empty()) << data.notes.front();
  }
}

TEST_F(IdxSets, OfSeveralInAFolderOneIsNamedBehindIt) {
  Four{.folder = "all", .train = "emnist-letters-train", .test = "emnist-letters-test"}.write(root_);
  Four{.folder = "all", .train = "emnist-digits-train", .test = "emnist-digits-test"}.write(root_);
  const std::string all = (root_.path() / "all").string();
  EXPECT_EQ(complaint("all"), "[data] " + all + ": expected one set, or a name behind the folder, as in " + all +
                                  "/emnist-letters, got 2 sets: emnist-digits, emnist-letters");
  EXPECT_EQ(idx_set(root_.path() / "all/emnist-digits").name, "emnist-digits");
  Four{.folder = "all"}.write(root_);
  EXPECT_EQ(idx_set(root_.path() / "all").name, "all") << "the one without a prefix";
}

TEST_F(IdxSets, LabelsThatBeginAtOneAreShiftedAndKeepTheirNames) {
  Four{.folder = "letters", .train_labels = {1, 26, 2, 3}, .test_labels = {26, 1, 5}}.write(root_);
  const DataParts data = idx_set(root_.path() / "letters");
  EXPECT_EQ(data.train->classes(), 26);
  EXPECT_EQ(data.train->label(1), 25);
  EXPECT_EQ(data.test->label(1), 0);
  ASSERT_EQ(data.class_names.size(), 26u);
  EXPECT_EQ(data.class_names[0], "1");
  ASSERT_EQ(data.notes.size(), 1u);
  EXPECT_EQ(data.notes[0], "letters: labels are 1 to 26, and the first class is that of label 1");
}

TEST_F(IdxSets, TakeAsManyClassesAsALabelCanSay) {
  Four{.folder = "all", .train_labels = {0, 255, 7, 61}, .test_labels = {255}}.write(root_);
  EXPECT_EQ(idx_set(root_.path() / "all").train->classes(), 256);
}

TEST_F(IdxSets, EmnistIsTurnedUnlessToldOtherwise) {
  Four{.folder = "e", .train = "emnist-mnist-train", .test = "emnist-mnist-test"}.write(root_);
  Four{.folder = "EMNIST-letters"}.write(root_);
  Four{.folder = "other"}.write(root_);
  const std::vector<Real> stored{6, 7, 8, 9, 10, 11}, turned{6, 9, 7, 10, 8, 11};
  const auto second = [&](const char* folder, Turned how) {
    const DataParts data = idx_set(root_.path() / folder, how);
    const bool is_turned = data.train->shape() == Shape{1, 3, 2};
    EXPECT_EQ(data.test->shape(), data.train->shape());
    EXPECT_EQ(data.notes.size(), is_turned && how == Turned::by_name ? 1u : 0u) << "a guess is said";
    EXPECT_EQ(image(*data.train, 1), is_turned ? turned : stored);
    return is_turned;
  };
  for (const char* folder : {"e", "EMNIST-letters"}) EXPECT_TRUE(second(folder, Turned::by_name));
  EXPECT_FALSE(second("other", Turned::by_name));
  EXPECT_TRUE(second("other", Turned::yes));
  EXPECT_FALSE(second("e", Turned::no));
}

TEST_F(IdxSets, NameFilesAndFoldersThatAreMissing) {
  std::filesystem::create_directory(root_.path() / "empty");
  const std::string nothing = complaint("empty");
  EXPECT_TRUE(nothing.starts_with((root_.path() / "empty").string() + ": expected train-images-idx3-ubyte, "))
      << nothing;
  EXPECT_PRED2(contains, nothing, "sub-folders raw, MNIST/raw or gzip, found none of them");
  EXPECT_PRED2(contains, complaint("absent/set"), "found none of them");
  Four{.folder = "half", .train = "k-train", .test = "k-test"}.write(root_);
  std::filesystem::remove(root_.path() / "half/k-test-labels-idx1-ubyte");
  EXPECT_EQ(complaint("half"), (root_.path() / "half").string() +
                                   ": expected k-t10k-labels-idx1-ubyte or k-test-labels-idx1-ubyte (also with .gz, or "
                                   "with .idx for -idx), found no such file");
}

TEST_F(IdxSets, RefuseLabelsThatAreNoneOfTheTrainingSets) {
  Four{.folder = "a", .test_labels = {3, 4, 1}}.write(root_);
  EXPECT_PRED2(contains, complaint("a"),
               "t10k-labels-idx1-ubyte: label 1 (byte 9): expected 0 to 3, as in the training labels, found 4");
  Four{.folder = "b", .train_labels = {1, 2, 3}, .test_labels = {1, 0}}.write(root_);
  EXPECT_PRED2(contains, complaint("b"), "label 1 (byte 9): expected 1 to 3");
  Four{.folder = "c", .train_labels = Bytes(12, 2), .test_labels = {2}}.write(root_);
  EXPECT_PRED2(contains, complaint("c"), "expected labels of at least two classes, found 2 with every image");
}

TEST_F(IdxSets, AreLoadedByNameFromAnyFolderOrOneWhereDataAreLookedFor) {
  Four{.folder = "here/set"}.write(root_);
  Four{.folder = "here/e", .train = "emnist-digits-train", .test = "emnist-digits-test"}.write(root_);
  const auto name_of = [&](const std::string& name) {
    return load("idx:" + name, {.folder = (root_.path() / "here").string()}).name;
  };
  EXPECT_EQ(name_of((root_.path() / "here/set").string()), "set");
  EXPECT_EQ(name_of("set"), "set");
  EXPECT_EQ(name_of("e/emnist-digits"), "emnist-digits");
  const auto shape_of = [&](const std::string& name) {
    return load("idx:" + (root_.path() / "here" / name).string()).train->shape();
  };
  EXPECT_EQ(shape_of("e"), (Shape{1, 3, 2}));
  EXPECT_EQ(shape_of("e,as-stored"), (Shape{1, 2, 3}));
  EXPECT_EQ(shape_of("set,turned"), (Shape{1, 3, 2}));
  EXPECT_TRUE(knows_data("idx:anything.csv"));
  EXPECT_FALSE(names_table("idx:anything.csv"));
  EXPECT_THROW(load("idx:"), UsageError);
  EXPECT_THROW(load("idx:" + (root_.path() / "absent").string()), FileError);
}

}  // namespace
}  // namespace espalier
