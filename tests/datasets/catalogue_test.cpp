#include "espalier/datasets/catalogue.h"

#include <gtest/gtest.h>

#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_table.h"
#include "support/numbers.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

std::string complaint(const std::string& name, const LoadOptions& options = {}) {
  try {
    load(name, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Sixty bytes, two features each, in three classes.
DataParts toy(const LoadOptions& options) {
  std::vector<std::uint8_t> bytes(120);
  std::vector<std::int32_t> labels(60);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(2 * i + options.seed);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 3);
  const auto data = std::make_shared<const ByteSamples>("toy", Shape{2}, 3, std::move(bytes), std::move(labels));
  return {.name = "toy", .train = data, .test = data, .provenance = "made up"};
}

std::vector<Real> features_of(const Dataset& data, Index i) {
  std::vector<Real> features(data.shape().features());
  data.read(i, features);
  return features;
}

TEST(DataSources, KnowTheBuiltInOnes) {
  EXPECT_EQ(data_sources().names(),
            "mnist, cifar10, cifar100, idx:, synthetic-digits, synthetic-images, synthetic-signals, synthetic-text, "
            "synthetic-table or synthetic-table-regression");
  for (const DataSource& source : data_sources().entries()) {
    EXPECT_FALSE(source.line.empty()) << source.name;
    EXPECT_FALSE(source.title.empty()) << source.name;
    EXPECT_TRUE(knows_data(source.name));
    EXPECT_TRUE(contains(data_help(), source.form()));
    if (source.from_files()) {
      EXPECT_FALSE(data_sources().named(source.substitute).from_files()) << source.name;
    }
  }
}

TEST(DataSources, TakeASourceFromOutside) {
  static const bool added = [] {
    data_sources().add({.name = "toy",
                        .line = "three classes of bytes",
                        .title = "a toy",
                        .read = [](const std::filesystem::path&, const LoadOptions& o) { return toy(o); }});
    return true;
  }();
  ASSERT_TRUE(added);
  const DataParts parts = load("toy", {.validation = 4});
  EXPECT_EQ(parts.name, "toy");
  EXPECT_EQ(parts.train->samples(), 56);
  EXPECT_EQ(parts.validation->samples(), 4);
  EXPECT_EQ(parts.test->samples(), 60);
  const ChannelMoments m = moments(*parts.train);
  EXPECT_NEAR(m.mean[0], 0, 1e-5);
  EXPECT_NEAR(m.deviation[0], 1, 1e-5);
  EXPECT_NE(features_of(*load("toy", {.seed = 2}).test, 0), features_of(*parts.test, 0)) << "options are handed on";
}

TEST(Data, RecognisesFilesByTheirEnding) {
  for (const char* name : {"a.csv", "b/a.tsv.gz", "a.svm", "a.libsvm.gz", "a.txt", "a.txt.gz", "A.CSV", "a.Tsv.GZ",
                           "A.SVM", "a.LibSVM.gz", "A.TXT"}) {
    EXPECT_TRUE(names_file(name)) << name;
    EXPECT_TRUE(knows_data(name)) << name;
  }
  for (const char* name : {"csv", "a.csv.zip", "txt.gz", "mnist", ""}) EXPECT_FALSE(names_file(name)) << name;
  for (const char* name : {"a.csv", "a.svm.gz", "synthetic-table", "synthetic-table-regression"})
    EXPECT_TRUE(names_table(name)) << name;
  for (const char* name : {"a.txt", "mnist", "synthetic-text"}) EXPECT_FALSE(names_table(name)) << name;
  EXPECT_TRUE(names_libsvm("a.svm.gz"));
  EXPECT_TRUE(names_libsvm("A.SVM.GZ"));
  EXPECT_FALSE(names_libsvm("a.csv"));
}

TEST(Data, HasTheFormatThatIsGivenWhateverItsEnding) {
  for (const char* name : {"a.data", "a", "mnist", "a.csv.zip", "a.svm"}) {
    EXPECT_TRUE(names_file(name, "csv")) << name;
    EXPECT_TRUE(names_table(name, "csv")) << name;
    EXPECT_FALSE(names_libsvm(name, "csv")) << name;
    EXPECT_TRUE(names_libsvm(name, "libsvm")) << name;
    EXPECT_TRUE(knows_data(name, "text")) << name;
    EXPECT_FALSE(names_table(name, "text")) << name;
  }
  EXPECT_EQ(format_help(), "auto, csv, libsvm or text");
  EXPECT_THROW(names_file("a.csv", "excel"), UsageError);

  const testing::TemporaryFolder folder;
  const std::string csv = synthetic_table_csv({.rows = 100}), svm = "1 1:1\n0 2:1\n1 1:1\n0 2:1\n1 1:1\n0 2:1\n";
  const auto write = [&](const char* name, const std::string& text) {
    return folder.write(name, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())).string();
  };
  EXPECT_EQ(load(write("wine.data", csv), {.format = "csv"}).name, "wine");
  EXPECT_EQ(load(write("WINE.CSV", csv)).name, "WINE");
  EXPECT_EQ(load(write("rows", svm), {.table = {.test_fraction = 0.4}, .format = "libsvm"}).train->shape(), Shape{2});
}

TEST(Load, SaysWhatItKnowsAndNamesNoFlag) {
  const std::string text = complaint("imagenet");
  EXPECT_TRUE(text.starts_with("[data] expected mnist, cifar10, cifar100, idx:FOLDER, synthetic-digits")) << text;
  EXPECT_TRUE(
      text.ends_with("or a file that ends in .csv, .tsv, .svm, .libsvm or .txt (or .gz), or another file with "
                     "the format csv, libsvm or text, got \"imagenet\""))
      << text;
  EXPECT_PRED2(contains, complaint("synthetic-digits", {.test_file = "x.csv"}), "test file: expected none");
  EXPECT_PRED2(contains, complaint("mnist", {.folder = "/nowhere"}),
               "/nowhere: expected the files of mnist in /nowhere/mnist or /nowhere: train-images-idx3-ubyte, ");
  EXPECT_PRED2(contains, complaint("cifar100", {.folder = "/nowhere"}), "cifar-100-binary");
  EXPECT_PRED2(contains, complaint("/nowhere/a.csv"), "/nowhere/a.csv: expected a table, found no such file");
}

// What load("synthetic-digits") is, spelled out.
TEST(Load, HoldsOutAndStandardisesWithTheMomentsOfTheTrainingPart) {
  const DataParts loaded = load("synthetic-digits", {.validation = 100, .seed = 3});
  const DataParts raw = synthetic_digits();
  const DataParts parts = split(raw.train, 100, 3);
  const ChannelMoments m = moments(*parts.train);
  const auto same = [&](const DatasetPtr& source, const DatasetPtr& got) {
    ASSERT_EQ(source->samples(), got->samples());
    const Standardised expected(source, m.mean, m.deviation);
    for (Index i = 0; i < got->samples(); i += 97) {
      EXPECT_EQ(features_of(*got, i), features_of(expected, i));
      EXPECT_EQ(got->label(i), source->label(i));
    }
  };
  same(parts.train, loaded.train);
  same(parts.validation, loaded.validation);
  same(raw.test, loaded.test);
  EXPECT_EQ(loaded.provenance, raw.provenance);
}

TEST(Load, FindsTablesInAFolderAndNamesThemByTheirFile) {
  const testing::TemporaryFolder folder;
  const std::string text = synthetic_table_csv({.rows = 400});
  folder.write("sub/rows.csv", std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  const DataParts parts =
      load("rows.csv", {.folder = (folder.path() / "sub").string(), .table = {.test_fraction = 0.25}});
  EXPECT_EQ(parts.name, "rows");
  EXPECT_EQ(parts.test->samples(), 100);
  EXPECT_EQ(parts.validation->samples(), 30);
  ASSERT_NE(parts.preprocessing, nullptr);
  EXPECT_EQ(parts.train->shape().features(), parts.preprocessing->features());
}

// --- parts -----------------------------------------------------------------------------------------------------------

TEST(HoldOut, TakesATenthAtMost) {
  const DataParts parts = hold_out(toy({}), 5000, 1);
  EXPECT_EQ(parts.validation->samples(), 6);
  EXPECT_EQ(parts.train->samples(), 54);
  EXPECT_EQ(parts.test->samples(), 60);
  EXPECT_EQ(parts.provenance, "made up");
}

TEST(HoldOut, KeepsAValidationPartThatIsThere) {
  DataParts parts = toy({});
  parts.validation = parts.test;
  const DataParts held = hold_out(parts, 3, 1);
  EXPECT_EQ(held.train, parts.train);
  EXPECT_EQ(held.validation, parts.validation);
}

TEST(StandardisedParts, LeaveTablesAndAMissingPartAlone) {
  const DataParts table = load_table_text("table", synthetic_table_csv({.rows = 100}), {});
  EXPECT_EQ(standardised(table).train, table.train);
  const DataParts parts = standardised(toy({}));
  EXPECT_EQ(parts.validation, nullptr);
  EXPECT_NEAR(moments(*parts.train).mean[0], 0, 1e-5);
  EXPECT_THROW(standardised(DataParts{}), UsageError);
  EXPECT_THROW(hold_out(DataParts{}, 1, 1), UsageError);
}

}  // namespace
}  // namespace espalier
