#include "espalier/layers/weight_forms.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

// A matrix of this pattern whose weights are all different.
Parameter matrix(const PatternPtr& pattern) {
  Parameter W("W", pattern);
  Real next = 1;
  for (Real& value : W.value()) value = next++;
  return W;
}

std::vector<SafeTensor> written(const Parameter& W, Form form) {
  std::vector<SafeTensor> tensors = form_tensors(W, form);
  fill_form(W, form, tensors);
  return tensors;
}

std::vector<int> bytes_in(const SafeTensor& tensor) {
  std::vector<int> bytes;
  for (const std::byte byte : tensor.data) bytes.push_back(static_cast<int>(byte));
  return bytes;
}

// The pattern that the tensors of a form say.
PatternPtr read_back(const Parameter& W, Form form, const std::vector<SafeTensor>& tensors) {
  const auto values = static_cast<std::size_t>(W.nonzeros());
  switch (form) {
    case Form::bitmap:
      return bitmap_pattern(tensors[1], W, values, "file");
    case Form::delta8:
      return delta8_pattern(tensors[1], W, values, "file");
    case Form::csr:
      return csr_pattern(tensors[1], tensors[2], W, "file");
    case Form::seed_bitmap:
      return bitmap_pattern(tensors[0], W, {}, "file");
    case Form::seed_delta8:
      return delta8_pattern(tensors[0], W, {}, "file");
    default:
      return nullptr;
  }
}

const Form sparse_forms[] = {Form::bitmap, Form::delta8, Form::csr, Form::seed_bitmap, Form::seed_delta8};

//  . a . . . b . .
//  c . . . . . . d
TEST(WeightForms, TheExampleOfTheHeaderHasItsBytes) {
  const Parameter W = matrix(Pattern::from_positions(2, 8, std::vector<Index>{1, 5, 8, 15}));
  EXPECT_EQ(bytes_in(written(W, Form::bitmap)[1]), (std::vector<int>{0x22, 0x81}));
  EXPECT_EQ(bytes_in(written(W, Form::delta8)[1]), (std::vector<int>{1, 3, 2, 6}));
  EXPECT_EQ(bytes_in(written(W, Form::csr)[1]), (std::vector<int>{0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0}));
  EXPECT_EQ(bytes_in(written(W, Form::csr)[2]), (std::vector<int>{1, 0, 5, 0, 0, 0, 7, 0}));
  EXPECT_EQ(reals_in(written(W, Form::bitmap)[0]), (std::vector<Real>{1, 2, 3, 4}));
  EXPECT_EQ(reals_in(written(W, Form::dense)[0]), (std::vector<Real>{0, 1, 0, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 4}));
}

TEST(WeightForms, EverySparseFormGivesItsPatternBack) {
  const PatternPtr patterns[] = {Pattern::from_positions(3, 5, std::vector<Index>{0, 14}),
                                 Pattern::from_positions(2, 600, std::vector<Index>{254, 255, 511, 1022, 1199}),
                                 Pattern::from_positions(4, 7, std::vector<Index>{}),
                                 Pattern::from_positions(2, 70'000, std::vector<Index>{69'999, 70'000, 139'999}),
                                 Pattern::full(3, 3),
                                 Pattern::random(40, 33, 400, Random(1, "form"))};
  for (const PatternPtr& pattern : patterns) {
    const Parameter W = matrix(pattern);
    for (const Form form : sparse_forms)
      EXPECT_EQ(read_back(W, form, written(W, form))->mask(), pattern->mask())
          << name_of(form) << " of " << W.rows() << " x " << W.cols();
  }
}

TEST(WeightForms, TakeAsManyBytesAsTheirTensorsSayBeforeTheyAreFilled) {
  const Parameter W = matrix(Pattern::random(40, 33, 400, Random(1, "form")));
  for (const Form form : all_forms) {
    std::uintmax_t bytes = 0;
    for (const SafeTensor& tensor : written(W, form)) bytes += tensor.data.size();
    EXPECT_EQ(bytes, bytes_of(form_tensors(W, form))) << name_of(form);
  }
}

TEST(WeightForms, HaveNames) {
  for (const Form form : all_forms) EXPECT_EQ(find_form(name_of(form)), form);
  EXPECT_EQ(find_form("blocks"), std::nullopt);
}

TEST(WeightForms, WeightsThatWereDrawnAreRecognisedUpToOneScaleAndDrawnAgainToTheBit) {
  const Origin origin{.initialiser = Initialiser::signed_constant, .seed = 7};
  for (const Real scale : {Real{1}, Real{0.3f}, Real{-1.7f}}) {
    Parameter W("W", 9, 11);
    initialise(W, origin.initialiser, origin.seed);
    for (Real& value : W.value()) value *= scale;
    const std::vector<Real> before(W.value().begin(), W.value().end());
    const std::optional<Drawn> drawn = drawn_from(W, origin);
    ASSERT_TRUE(drawn) << scale;
    EXPECT_EQ(drawn_values(W, nullptr, *drawn), before) << scale;
    EXPECT_FALSE(drawn_from(W, {.initialiser = origin.initialiser, .seed = 8})) << "another seed";
    W.value()[50] *= 2;
    EXPECT_FALSE(drawn_from(W, origin)) << "a weight that was trained";
  }
}

TEST(WeightForms, AreRefusedWithTheFileAndTheTensor) {
  const Parameter W = matrix(Pattern::from_positions(2, 8, std::vector<Index>{1, 5, 8, 15}));
  const auto refusal = [&](Form form, std::size_t tensor, std::size_t byte, int value) -> std::string {
    std::vector<SafeTensor> tensors = written(W, form);
    tensors[tensor].data[byte] = static_cast<std::byte>(value);
    try {
      read_back(W, form, tensors);
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(Form::bitmap, 1, 0, 0x2),
            R"(file: tensor "W.bitmap": expected as many bits set as there are values, 4, found 3)");
  EXPECT_EQ(refusal(Form::delta8, 1, 3, 7),
            R"(file: tensor "W.deltas": expected positions below 2x8 = 16, found 16 at delta 3)");
  EXPECT_EQ(refusal(Form::csr, 2, 2, 1),
            R"(file: tensor "W.columns": expected ascending columns within a row, found 1 after 1 in row 0)");
}

}  // namespace
}  // namespace espalier
