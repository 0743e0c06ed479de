// What every data set must keep, whatever it is made of: one row each. Invariants are those of datasets/dataset.h.
//
// A data set of your own gets a row in `sources`, and, if it reads files, one in `broken_files`.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <cstring>
#include <functional>
#include <thread>

#include "espalier/core/error.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/cifar.h"
#include "espalier/datasets/idx.h"
#include "espalier/datasets/idx_set.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/mnist.h"
#include "espalier/datasets/noise.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/synthetic_text.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

using Folder = testing::TemporaryFolder;
using Path = std::filesystem::path;
using testing::Bytes;
using testing::counting;
using testing::idx_bytes;

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

// --- files, right ones ---------------------------------------------------------------------------------------------

void write_mnist(const Folder& folder) {
  folder.write("train-images-idx3-ubyte", idx_bytes({12, 2, 3}, counting(72)));
  folder.write("train-labels-idx1-ubyte.gz", testing::gzip(idx_bytes({12}, counting(12, 10))));
  folder.write("t10k-images-idx3-ubyte", idx_bytes({3, 2, 3}, counting(18)));
  folder.write("t10k-labels-idx1-ubyte", idx_bytes({3}, {7, 2, 1}));
}

// Records of `labels` label bytes, 0, and 3,072 pixels.
Bytes cifar_records(Index records, std::size_t labels) {
  Bytes bytes;
  for (Index r = 0; r < records; ++r) {
    bytes.resize(bytes.size() + labels, static_cast<std::uint8_t>(r % 10));
    const Bytes pixels = counting(3072, 251, r);
    bytes.insert(bytes.end(), pixels.begin(), pixels.end());
  }
  return bytes;
}

void write_cifar10(const Folder& folder) {
  for (int i = 1; i <= 5; ++i) folder.write(fmt::format("data_batch_{}.bin", i), cifar_records(i, 1));
  folder.write("test_batch.bin", cifar_records(3, 1));
}

void write_cifar100(const Folder& folder) {
  folder.write("train.bin", cifar_records(7, 2));
  folder.write("test.bin", cifar_records(3, 2));
}

std::string libsvm_rows(bool regression) {
  std::string text;
  for (int r = 0; r < 60; ++r)
    text += fmt::format("{} {}:{} {}:2\n", regression ? 0.37 * r : r % 2, r % 5 + 1, r + 1, r % 5 + 4);
  return text;
}

// --- sources -------------------------------------------------------------------------------------------------------

struct Source {
  const char* name;
  std::function<DataParts(const Folder&)> read;
};

DataParts only(DatasetPtr data) {
  return {.name = data->name(), .train = std::move(data)};
}

DatasetPtr bytes() {
  return std::make_shared<const ByteSamples>("bytes", Shape{3, 2, 2}, 4, counting(120),
                                             std::vector<std::int32_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1});
}

std::string table_csv(bool regression) {
  return synthetic_table_csv({.rows = 300, .regression = regression, .missing = 0.05});
}

const std::vector<Source> sources{
    {"Mnist", [](const Folder& f) { return write_mnist(f), mnist(f.path()); }},
    {"Idx", [](const Folder& f) { return write_mnist(f), idx_set(f.path()); }},
    {"Cifar10", [](const Folder& f) { return write_cifar10(f), cifar10(f.path()); }},
    {"Cifar100", [](const Folder& f) { return write_cifar100(f), cifar100(f.path()); }},
    {"Csv", [](const Folder& f) { return load_table(f.write("a.csv", bytes_of(table_csv(false))), {}, {}); }},
    {"CsvGzipped",
     [](const Folder& f) { return load_table(f.write("a.csv.gz", testing::gzip(bytes_of(table_csv(true)))), {}, {}); }},
    {"CsvWithATestFile",
     [](const Folder& f) {
       return load_table(f.write("a.csv", bytes_of(table_csv(false))), f.write("b.csv", bytes_of(table_csv(false))),
                         {});
     }},
    {"CsvInAMappedFile",
     [](const Folder& f) {
       return load_table(f.write("a.csv", bytes_of(table_csv(true))), {}, {.memory_bytes = 4096});
     }},
    {"Libsvm", [](const Folder& f) { return load_libsvm(f.write("a.svm", bytes_of(libsvm_rows(false))), {}, {}); }},
    {"LibsvmRegression",
     [](const Folder& f) { return load_libsvm(f.write("a.svm", bytes_of(libsvm_rows(true))), {}, {}); }},
    {"Text", [](const Folder& f) { return load_text(f.write("a.txt", bytes_of(synthetic_text(3000)))); }},
    {"SyntheticDigits", [](const Folder&) { return synthetic_digits(20, 10); }},
    {"SyntheticImages", [](const Folder&) { return synthetic_images(20, 10); }},
    {"SyntheticSignals", [](const Folder&) { return synthetic_signals(20, 10); }},
    {"SyntheticTable", [](const Folder&) { return load_table_text("table", table_csv(false), {}); }},
    {"SyntheticTableRegression", [](const Folder&) { return load_table_text("table", table_csv(true), {}); }},
    {"SyntheticText", [](const Folder&) { return load_text_string("text", synthetic_text(3000)); }},
    {"Noise",
     [](const Folder&) {
       return only(std::make_shared<Noise>(Shape{2, 3}, 5, 20, 1));
     }},
    {"Bytes", [](const Folder&) { return only(bytes()); }},
    {"Subset",
     [](const Folder&) {
       return only(std::make_shared<Subset>(bytes(), std::vector<Index>{7, 2, 2}));
     }},
    {"Standardised",
     [](const Folder&) {
       return only(
           std::make_shared<Standardised>(bytes(), std::vector<double>{0.1, 0.2, 0.3}, std::vector<double>{1, 2, 3}));
     }},
    {"StandardisedParts", [](const Folder&) { return standardised(hold_out(synthetic_digits(30, 10), 5, 1)); }}};

// --- the contract --------------------------------------------------------------------------------------------------

// Everything a sample says: features, then the label or the targets.
std::vector<Real> sample_of(const Dataset& data, Index i) {
  std::vector<Real> all(data.shape().features() + data.outputs(), std::nan(""));
  const std::span<Real> whole(all);
  data.read(i, whole.first(data.shape().features()));
  if (data.classes() > 0)
    all.push_back(static_cast<Real>(data.label(i)));
  else
    data.target(i, whole.subspan(data.shape().features()));
  return all;
}

bool same_bits(const std::vector<Real>& a, const std::vector<Real>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Real)) == 0;
}

class DataContract : public ::testing::TestWithParam<Source> {
 protected:
  DataContract() : parts_(GetParam().read(folder_)) {}
  std::vector<DatasetPtr> all() const {
    std::vector<DatasetPtr> sets;
    for (const DatasetPtr& set : {parts_.train, parts_.validation, parts_.test})
      if (set != nullptr) sets.push_back(set);
    return sets;
  }
  Folder folder_;
  DataParts parts_;
};

// Invariant 3.
TEST_P(DataContract, ShapeClassesAndOutputsAgree) {
  ASSERT_NE(parts_.train, nullptr);
  EXPECT_GT(parts_.train->samples(), 0);
  EXPECT_FALSE(parts_.name.empty());
  for (const DatasetPtr& set : all()) {
    EXPECT_FALSE(set->name().empty());
    EXPECT_EQ(set->shape(), parts_.train->shape());
    EXPECT_EQ(set->classes(), parts_.train->classes());
    EXPECT_EQ(set->outputs(), parts_.train->outputs());
    EXPECT_EQ(set->tokens(), parts_.train->tokens());
    EXPECT_NE(set->classes() > 0, set->outputs() > 0);
    EXPECT_GT(set->target_scale().deviation, 0);
  }
}

// Invariants 3 and 4.
TEST_P(DataContract, NumbersAreFiniteLabelsInRangeAndTokensWhole) {
  for (const DatasetPtr& set : all())
    for (Index i = 0; i < set->samples(); ++i) {
      const std::vector<Real> sample = sample_of(*set, i);
      for (const Real x : sample) ASSERT_TRUE(std::isfinite(x)) << "sample " << i;
      if (set->classes() > 0) {
        ASSERT_GE(set->label(i), 0);
        ASSERT_LT(set->label(i), set->classes());
      }
      for (Index f = 0; set->tokens() > 0 && f < set->shape().features(); ++f) {
        ASSERT_EQ(sample[f], std::floor(sample[f]));
        ASSERT_GE(sample[f], 0);
        ASSERT_LT(sample[f], static_cast<Real>(set->tokens()));
      }
    }
}

// Invariant 1. Threads begin at different samples and go in different directions, so that a buffer that two calls
// share would be seen.
TEST_P(DataContract, SamplesHaveTheSameBitsOnEveryCallFromAnyThread) {
  for (const DatasetPtr& set : all()) {
    const Index samples = set->samples();
    std::vector<std::vector<Real>> first;
    for (Index i = 0; i < samples; ++i) first.push_back(sample_of(*set, i));
    std::atomic<Index> different = 0;
    std::vector<std::thread> threads;
    for (Index t = 0; t < 8; ++t)
      threads.emplace_back([&, t] {
        for (Index k = 0; k < samples; ++k) {
          const Index turned = (k + t * samples / 8) % samples, i = t % 2 ? samples - 1 - turned : turned;
          different += !same_bits(sample_of(*set, i), first[i]);
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(different, 0);
  }
}

TEST_P(DataContract, ReadingAgainFromTheSourceGivesTheSameBits) {
  const Folder other;
  const DataParts again = GetParam().read(other);
  ASSERT_EQ(again.train->samples(), parts_.train->samples());
  for (Index i = 0; i < again.train->samples(); ++i)
    ASSERT_TRUE(same_bits(sample_of(*again.train, i), sample_of(*parts_.train, i))) << "sample " << i;
}

TEST_P(DataContract, WrappersKeepWhatTheyDoNotChange) {
  const DatasetPtr& data = parts_.train;
  const Subset subset(data, {data->samples() - 1, 0});
  EXPECT_EQ(subset.tokens(), data->tokens());
  EXPECT_EQ(subset.outputs(), data->outputs());
  EXPECT_EQ(subset.target_scale().deviation, data->target_scale().deviation);
  EXPECT_TRUE(same_bits(sample_of(subset, 0), sample_of(*data, data->samples() - 1)));
  if (data->tokens() > 0) {
    EXPECT_THROW(Standardised(data, {0}, {1}), UsageError);
    return;
  }
  const Standardised scaled(data, {0.5}, {2});
  EXPECT_EQ(scaled.target_scale().mean, data->target_scale().mean);
  EXPECT_EQ(sample_of(scaled, 0).back(), sample_of(*data, 0).back()) << "labels and targets pass through";
}

INSTANTIATE_TEST_SUITE_P(Sources, DataContract, ::testing::ValuesIn(sources),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(DataContracts, HaveARowForEverySourceOfTheCatalogue) {
  for (const DataSource& source : data_sources().entries()) {
    std::string wanted;
    for (const char c : source.name) wanted += c == '-' || c == ':' ? "" : std::string(1, c);
    const auto same = [&](const Source& row) {
      std::string name = row.name;
      for (char& c : name) c = static_cast<char>(std::tolower(c));
      return name == wanted;
    };
    if (source.name == "toy") continue;  // catalogue_test.cpp adds it
    EXPECT_TRUE(std::ranges::any_of(sources, same)) << source.name;
  }
}

// --- files, broken ones --------------------------------------------------------------------------------------------

struct BrokenFile {
  const char* name;
  std::function<Path(const Folder&)> write;  // returns the file that is wrong
  std::function<void(const Folder&, const Path&)> read;
  const char* place;  // "byte 39", "line 3"
};

Bytes without_end(Bytes bytes, std::size_t count) {
  bytes.resize(bytes.size() - count);
  return bytes;
}

const auto read_mnist = [](const Folder& f, const Path&) { mnist(f.path()); };
const auto read_cifar10 = [](const Folder& f, const Path&) { cifar10(f.path()); };
const auto read_cifar100 = [](const Folder& f, const Path&) { cifar100(f.path()); };
const auto read_csv = [](const Folder&, const Path& file) { load_table(file, {}, {}); };
const auto read_svm = [](const Folder&, const Path& file) { load_libsvm(file, {}, {}); };
const auto read_text = [](const Folder&, const Path& file) { load_text(file, {.length = 4}); };

const std::vector<BrokenFile> broken_files{
    {"IdxTruncated",
     [](const Folder& f) {
       return f.write("a", without_end(idx_bytes({2, 3}, counting(6)), 1));
     },
     [](const Folder&, const Path& file) { read_idx(file, 2); }, "byte 17"},
    {"IdxOfAnotherKind", [](const Folder& f) { return f.write("a", bytes_of("label,x\n1,2\n")); },
     [](const Folder&, const Path& file) { read_idx(file, 2); }, "byte 0"},
    {"MnistTruncated",
     [](const Folder& f) {
       write_mnist(f);
       return f.write("train-images-idx3-ubyte", without_end(idx_bytes({12, 2, 3}, counting(72)), 5));
     },
     read_mnist, "byte 83"},
    {"MnistTruncatedGzip",
     [](const Folder& f) {
       write_mnist(f);
       return f.write("train-labels-idx1-ubyte.gz", without_end(testing::gzip(idx_bytes({12}, counting(12, 10))), 9));
     },
     read_mnist, "byte "},
    {"MnistLabel",
     [](const Folder& f) {
       write_mnist(f);
       return f.write("t10k-labels-idx1-ubyte", idx_bytes({3}, {7, 12, 1}));
     },
     read_mnist, "byte 9"},
    {"Cifar10Truncated",
     [](const Folder& f) {
       write_cifar10(f);
       return f.write("data_batch_3.bin", without_end(cifar_records(3, 1), 1));
     },
     read_cifar10, "byte 9218"},
    {"Cifar10Label",
     [](const Folder& f) {
       write_cifar10(f);
       Bytes records = cifar_records(3, 1);
       records[3073] = 10;
       return f.write("test_batch.bin", records);
     },
     read_cifar10, "byte 3073"},
    {"Cifar100Truncated",
     [](const Folder& f) {
       write_cifar100(f);
       return f.write("train.bin", without_end(cifar_records(7, 2), 3074 - 100));
     },
     read_cifar100, "byte 18544"},
    {"Cifar100Label",
     [](const Folder& f) {
       write_cifar100(f);
       Bytes records = cifar_records(3, 2);
       records[1] = 100;
       return f.write("test.bin", records);
     },
     read_cifar100, "byte 1"},
    {"CsvRagged", [](const Folder& f) { return f.write("a.csv", bytes_of("x,y\n1,2\n3\n4,5\n")); }, read_csv, "line 3"},
    {"CsvOpenQuote", [](const Folder& f) { return f.write("a.csv", bytes_of("x,y\n1,2\n\"3,4\n")); }, read_csv,
     "line 3"},
    {"CsvBinary",
     [](const Folder& f) {
       return f.write("a.csv", Bytes{'x', ',', 'y', '\n', '1', 0, ',', '2', '\n'});
     },
     read_csv, "line 2"},
    {"CsvTruncatedGzip",
     [](const Folder& f) {
       const Bytes packed = testing::gzip(bytes_of(table_csv(false)));
       return f.write("a.csv.gz", testing::first_bytes(packed, packed.size() / 2));
     },
     read_csv, "line "},
    {"LibsvmWord", [](const Folder& f) { return f.write("a.svm", bytes_of("1 1:2\n0 x:3\n")); }, read_svm, "line 2"},
    {"LibsvmOrder", [](const Folder& f) { return f.write("a.svm", bytes_of("1 1:2\n0 1:3\n0 3:1 2:1\n")); }, read_svm,
     "line 3"},
    {"LibsvmTruncated", [](const Folder& f) { return f.write("a.svm", bytes_of("1 1:2\n0 1:3\n0 3")); }, read_svm,
     "line 3"},
    {"TextShort", [](const Folder& f) { return f.write("a.txt", bytes_of("abc")); }, read_text, "byte 3"},
    {"TextBinary", [](const Folder& f) { return f.write("a.txt", counting(300)); }, read_text, "byte 0"},
    {"TextTruncatedGzip",
     [](const Folder& f) { return f.write("a.txt.gz", without_end(testing::gzip(bytes_of(synthetic_text(3000))), 9)); },
     read_text, "byte "}};

class BrokenFiles : public ::testing::TestWithParam<BrokenFile> {};

TEST_P(BrokenFiles, AreErrorsThatNameFileAndPlace) {
  const Folder folder;
  const Path file = GetParam().write(folder);
  try {
    GetParam().read(folder, file);
    FAIL() << "accepted";
  } catch (const FileError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find(file.filename().string()), std::string::npos) << text;
    EXPECT_NE(text.find(GetParam().place), std::string::npos) << text;
    EXPECT_NE(text.find("expected"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << "one line: " << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, BrokenFiles, ::testing::ValuesIn(broken_files),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace espalier
