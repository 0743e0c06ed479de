// Single files of pictures, images and signals: read as the data sets are, or refused in one line.
#include "espalier/datasets/sample_files.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/datasets/picture.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::Bytes;
using testing::contains;
using testing::counting;

Bytes joined(std::string_view header, const Bytes& data) {
  Bytes bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

// An array of numpy's, version 1.
Bytes npy(const std::string& type, const std::string& shape, const Bytes& data, const std::string& order = "False") {
  std::string header = "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  header.resize((header.size() + 10) / 64 * 64 + 64 - 11, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  return joined(
      std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(length & 255) + static_cast<char>(length >> 8) + header,
      data);
}

template <typename Number>
Bytes bytes_of(const std::vector<Number>& numbers) {
  Bytes bytes(numbers.size() * sizeof(Number));
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

class SampleFiles : public ::testing::Test {
 protected:
  SampleFile read(const Bytes& bytes, const Shape& shape, Index classes = 10) {
    return read_samples(folder_.write("file", bytes), {.shape = shape}, classes);
  }
  std::vector<Real> sample(const SampleFile& file, Index i) {
    std::vector<Real> numbers(static_cast<std::size_t>(file.data->shape().features()));
    file.data->read(i, numbers);
    return numbers;
  }
  std::string refusal(const Bytes& bytes, const Shape& shape, Index classes = 10) {
    try {
      read(bytes, shape, classes);
    } catch (const FileError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      EXPECT_PRED2(contains, error.what(), (folder_.path() / "file").string() + ": ");
      return error.what();
    }
    ADD_FAILURE() << "was read";
    return {};
  }
  testing::TemporaryFolder folder_;
};

std::vector<Real> pixels(std::initializer_list<int> bytes) {
  std::vector<Real> numbers;
  for (const int byte : bytes) numbers.push_back(static_cast<Real>(byte) / Real{255});
  return numbers;
}

TEST_F(SampleFiles, IdxAndItsGzip) {
  const Bytes idx = testing::idx_bytes({2, 2, 3}, counting(12));
  for (const Bytes& bytes : {idx, testing::gzip(idx)}) {
    const SampleFile file = read(bytes, {1, 2, 3});
    EXPECT_FALSE(file.labelled);
    EXPECT_EQ(file.data->samples(), 2);
    EXPECT_EQ(sample(file, 1), pixels({6, 7, 8, 9, 10, 11}));
  }
  const SampleFile turned = read_samples(folder_.write("file", idx), {.shape = {1, 3, 2}, .turned = true}, 10);
  EXPECT_EQ(sample(turned, 0), pixels({0, 3, 1, 4, 2, 5}));
  EXPECT_PRED2(contains, refusal(idx, {1, 3, 2}), "expected images [1, 3, 2], found [1, 2, 3]");
}

TEST_F(SampleFiles, RecordsOfCifarHaveLabels) {
  Bytes record{7};
  const Bytes image = counting(3072);
  record.insert(record.end(), image.begin(), image.end());
  const SampleFile file = read(record, {3, 32, 32});
  EXPECT_TRUE(file.labelled);
  EXPECT_EQ(file.data->label(0), 7);
  EXPECT_EQ(sample(file, 0)[256 + 3], Real{3} / Real{255});
  record.insert(record.begin(), 19);
  EXPECT_EQ(read(record, {3, 32, 32}, 100).data->label(0), 7) << "the fine label";
  EXPECT_PRED2(contains, refusal(record, {3, 32, 32}), "of none of these");
  record.erase(record.begin());
  EXPECT_PRED2(contains, refusal(record, {3, 32, 32}, 7), "expected labels below 7 (byte 0), found 7");
  EXPECT_PRED2(contains, refusal({}, {3, 32, 32}), "found 0 bytes of none of these");
}

TEST_F(SampleFiles, ArraysOfNumpyOfBytesAndFloats) {
  const std::vector<float> floats{0, 1, -2, 0.5f, 3, 4};
  const std::vector<Real> expected{Real{0.5}, 3, 4};
  for (const char* shape : {"(2, 3)", "(2, 1, 3)", "(2, 1, 1, 3)"})
    EXPECT_EQ(sample(read(npy("<f4", shape, bytes_of(floats)), {1, 1, 3}), 1), expected) << shape;
  EXPECT_EQ(sample(read(npy("<f8", "(2, 3)", bytes_of(std::vector<double>{9, 9, 9, 0.5, 3, 4})), {3}), 1), expected);
  EXPECT_EQ(sample(read(npy("|u1", "(4, 5)", counting(20)), {4, 5}), 0).back(), Real{19} / Real{255}) << "one sample";
  EXPECT_EQ(read(npy("|u1", "(1, 4, 5)", counting(20)), {4, 5}).data->samples(), 1);
  EXPECT_EQ(sample(read(npy("|u1", "(3,)", counting(3)), {3}), 0), pixels({0, 1, 2}));

  const float infinite = std::numeric_limits<float>::infinity();
  EXPECT_PRED2(contains, refusal(npy("<f4", "(1, 2)", bytes_of(std::vector<float>{1, infinite})), {2}),
               "expected finite numbers, found inf as number 2");
  EXPECT_PRED2(contains, refusal(npy("<i4", "(1, 2)", counting(8)), {2}), "expected numbers of type |u1, <f4 or <f8");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(2, 2)", counting(4), "True"), {2}), "expected an array in C order");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(2, 2)", counting(5)), {2}),
               "expected the bytes of an array (2, 2), found 5 bytes behind the header");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(4294967296, 4294967296)", counting(5)), {2}), "expected the bytes of");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(2, 2", counting(4)), {2}), "expected a shape such as (100, 28, 28)");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(0, 2)", {}), {2}), "expected samples, found none");
  EXPECT_PRED2(contains, refusal(npy("|u1", "(2, 2)", counting(4)), {3}), "expected an array of samples [3]");
  const Bytes whole = npy("<f4", "(2, 3)", bytes_of(floats));
  for (std::size_t length = 0; length < whole.size(); ++length) refusal(testing::first_bytes(whole, length), {3});
}

TEST_F(SampleFiles, PortablePictures) {
  EXPECT_EQ(sample(read(joined("P5\n# by hand\n3 2\n255\n", counting(6)), {1, 2, 3}), 0), pixels({0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(sample(read(joined("P2 3 2 255 0 1 2 3 4 5", {}), {1, 2, 3}), 0), pixels({0, 1, 2, 3, 4, 5}));
  // Interleaved in the file, plane by plane in a sample.
  EXPECT_EQ(sample(read(joined("P6 2 1 255\n", counting(6)), {3, 1, 2}), 0), pixels({0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(sample(read(joined("P3 2 1 5  0 1 2  3 4 5", {}), {3, 1, 2}), 0),
            (std::vector<Real>{0, Real{3} / 5, Real{1} / 5, Real{4} / 5, Real{2} / 5, 1}));
  EXPECT_EQ(sample(read(joined("P5 1 1 65535\n", {1, 0}), {1, 1, 1}), 0)[0], Real{256} / Real{65535});
  EXPECT_EQ(sample(read(joined("P5 2 1 255\n", {9, 8}), {3, 1, 2}), 0), pixels({9, 8, 9, 8, 9, 8}));
  EXPECT_EQ(sample(read(joined("P6 1 1 255\n", {7, 7, 7}), {1, 1, 1}), 0), pixels({7}));

  EXPECT_PRED2(contains, refusal(joined("P6 1 1 255\n", {7, 7, 8}), {1, 1, 1}),
               "expected a gray picture, as the model reads them, found one in colours");
  EXPECT_PRED2(contains, refusal(joined("P5 3 2 255\n", counting(6)), {1, 3, 2}),
               "expected a picture of 2 x 3 pixels, as the model reads them, found 3 x 2");
  EXPECT_PRED2(contains, refusal(joined("P5 3 2 255\n", counting(5)), {1, 2, 3}),
               "expected 6 numbers, found the end of the file before that");
  EXPECT_PRED2(contains, refusal(joined("P2 1 1 5 6", {}), {1, 1, 1}), "expected a number up to 5");
  EXPECT_PRED2(contains, refusal(joined("P5 1 1 5\n", {6}), {1, 1, 1}), "expected numbers up to 5");
  EXPECT_PRED2(contains, refusal(joined("P5 1 1 0\n", {6}), {1, 1, 1}), "expected a greatest value above 0");
  EXPECT_PRED2(contains, refusal(joined("P5 1 x", {}), {1, 1, 1}), "expected a number up to 1048576");
  EXPECT_PRED2(contains, refusal(joined("P5 1 1 255\n", {6}), {4}), "expected samples [4], found a picture");
  const Bytes whole = joined("P5 3 2 255\n", counting(6));
  for (std::size_t length = 0; length < whole.size(); ++length) refusal(testing::first_bytes(whole, length), {1, 2, 3});
}

// A gray PNG of 2 x 2 pixels: 0 85, 170 255.
const Bytes small_png{0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
                      0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00, 0x00, 0x00, 0x00, 0x57,
                      0xdd, 0x52, 0xf8, 0x00, 0x00, 0x00, 0x0e, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x60,
                      0x08, 0x65, 0x58, 0xf5, 0x1f, 0x00, 0x03, 0xad, 0x01, 0xff, 0x67, 0xfb, 0xca, 0x09, 0x00,
                      0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

TEST_F(SampleFiles, Png) {
  if (!reads_png()) {
    EXPECT_PRED2(contains, refusal(small_png, {1, 2, 2}), "built without libpng");
    return;
  }
  EXPECT_EQ(sample(read(small_png, {1, 2, 2}), 0), pixels({0, 85, 170, 255}));
  EXPECT_EQ(sample(read(small_png, {3, 2, 2}), 0), pixels({0, 85, 170, 255, 0, 85, 170, 255, 0, 85, 170, 255}));
  EXPECT_PRED2(contains, refusal(small_png, {1, 28, 28}), "expected a picture of 28 x 28 pixels");
  for (std::size_t length = 0; length < small_png.size() - 12;
       ++length)  // the last chunk says only that it is the last
    refusal(testing::first_bytes(small_png, length), {1, 2, 2});
}

TEST_F(SampleFiles, PicturesHaveAtMostTwoMillionPixels) {
  EXPECT_PRED2(contains, refusal(joined("P5 2048 1025 255\n", {}), {1, 1025, 2048}),
               "expected pictures of at most 2097152 pixels, found a model of 2048 x 1025");
  EXPECT_PRED2(contains, refusal(joined("P5 2048 1024 255\n", {}), {1, 1024, 2048}), "the end of the file");
}

TEST_F(SampleFiles, AreRegularFiles) {
  for (const std::filesystem::path& path : {folder_.path(), folder_.path() / "missing"})
    EXPECT_THROW(read_samples(path, {.shape = {2}}, 2), FileError) << path;
}

TEST(SampleRulesJson, ComeBackAsTheyWere) {
  const SampleRules rules{.shape = {3, 4, 5},
                          .moments = {{0.1, 1.0 / 3, -0.25}, {1, 2.0 / 7, 1e-3}},
                          .class_names = {"a", "\"b\""},
                          .turned = true};
  const std::string json = to_json(rules);
  EXPECT_EQ(kind_of_preprocessing(json, "model"), "samples");
  const SampleRules read = sample_rules_from_json(json, "model");
  EXPECT_EQ(read.shape, rules.shape);
  EXPECT_EQ(read.moments.mean, rules.moments.mean);
  EXPECT_EQ(read.moments.deviation, rules.moments.deviation);
  EXPECT_EQ(read.class_names, rules.class_names);
  EXPECT_EQ(read.turned, rules.turned);
  EXPECT_EQ(to_json(sample_rules_from_json(to_json(SampleRules{.shape = {7}}), "model")),
            R"({"kind":"samples","version":1,"shape":[7]})");
}

TEST(SampleRulesJson, RefusesWhatMakesNoSense) {
  for (const char* text :
       {"", "[]", "{}", R"({"kind":"samples"})", R"({"kind":"table","version":1,"shape":[7]})",
        R"({"kind":"samples","version":2,"shape":[7]})", R"({"kind":"samples","version":1,"shape":[]})",
        R"({"kind":"samples","version":1,"shape":[0]})", R"({"kind":"samples","version":1,"shape":[1e70]})",
        R"({"kind":"samples","version":1,"shape":[1,2,3,4,5]})",
        R"({"kind":"samples","version":1,"shape":[65536,65536]})",
        R"({"kind":"samples","version":1,"shape":[7],"mean":[1]})",
        R"({"kind":"samples","version":1,"shape":[7],"mean":[1,2],"deviation":[1,2]})",
        R"({"kind":"samples","version":1,"shape":[7],"mean":[1],"deviation":[0]})",
        R"({"kind":"samples","version":1,"shape":[7],"mean":[1],"deviation":["x"]})",
        R"({"kind":"samples","version":1,"shape":[7],"classes":[1]})"})
    EXPECT_THROW(sample_rules_from_json(text, "model"), FileError) << text;
}

}  // namespace
}  // namespace espalier
