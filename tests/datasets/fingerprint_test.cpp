#include "espalier/datasets/fingerprint.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

#include "espalier/datasets/table.h"

namespace espalier {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Set {
  Shape shape{2, 3};
  Index classes = 4;
  Bytes bytes = Bytes(60, 7);
  std::vector<std::int32_t> labels = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1};
  std::uint64_t print() const { return fingerprint(ByteSamples("set", shape, classes, bytes, labels)); }
};

TEST(Fingerprint, IsTheSameForTheSameDataAndAnotherForAnyOther) {
  EXPECT_EQ(Set{}.print(), Set{}.print());
  std::set<std::uint64_t> prints{Set{}.print()};
  const auto expect_another = [&](const char* what, const std::function<void(Set&)>& change) {
    Set set;
    change(set);
    EXPECT_TRUE(prints.insert(set.print()).second) << what;
  };
  for (std::size_t n = 0; n < 60; n += 7) expect_another("a number", [n](Set& set) { ++set.bytes[n]; });
  expect_another("two numbers that changed places", [](Set& set) { set.bytes[0] = 8, set.bytes[1] = 6; });
  expect_another("the same the other way round", [](Set& set) { set.bytes[0] = 6, set.bytes[1] = 8; });
  expect_another("a label", [](Set& set) { set.labels[5] = 2; });
  expect_another("two labels that changed places", [](Set& set) { std::swap(set.labels[0], set.labels[1]); });
  expect_another("another class", [](Set& set) { set.classes = 5; });
  expect_another("fewer samples", [](Set& set) { set.bytes.resize(54), set.labels.pop_back(); });
  expect_another("longer samples", [](Set& set) {
    set.shape = {12};
    set.labels.resize(5);
  });
}

TEST(Fingerprint, OfARegressionSeesItsTargets) {
  const auto print = [](const char* last) {
    std::string csv = "x,y\n";
    for (int r = 0; r < 40; ++r) csv += fmt::format("{},{}\n", r, 0.37 * r * r);
    return fingerprint(*load_table_text("t", csv + last, {.test_fraction = 0.1}).train);
  };
  EXPECT_EQ(print("1,2.5\n"), print("1,2.5\n"));
  EXPECT_NE(print("1,2.5\n"), print("1,2.6\n"));
}

TEST(Fingerprint, OfPartsSeesEachOfThem) {
  const auto data =
      std::make_shared<const ByteSamples>("set", Shape{2}, 2, Bytes{1, 2, 3, 4}, std::vector<std::int32_t>{0, 1});
  const auto other =
      std::make_shared<const ByteSamples>("set", Shape{2}, 2, Bytes{1, 2, 3, 5}, std::vector<std::int32_t>{0, 1});
  const std::set<std::uint64_t> prints{fingerprint(DataParts{.train = data, .validation = data, .test = data}),
                                       fingerprint(DataParts{.train = other, .validation = data, .test = data}),
                                       fingerprint(DataParts{.train = data, .validation = other, .test = data}),
                                       fingerprint(DataParts{.train = data, .validation = data, .test = other}),
                                       fingerprint(DataParts{.train = data, .validation = nullptr, .test = data})};
  EXPECT_EQ(prints.size(), 5u);
}

// More than is looked at: its first sample and its size are.
TEST(Fingerprint, OfVeryMuchDataLooksAtSamplesThatAreSpreadEvenly) {
  class Wide final : public Dataset {
   public:
    explicit Wide(Index changed) : changed_(changed) {}
    std::string name() const override { return "wide"; }
    Index samples() const override { return 1000; }
    Shape shape() const override { return {Index{1} << 24}; }
    Index classes() const override { return 2; }
    std::int32_t label(Index i) const override { return static_cast<std::int32_t>(i % 2); }
    void read(Index i, std::span<Real> features) const override {
      std::ranges::fill(features, static_cast<Real>(i));
      if (i == changed_) features.back() = -1;
    }

   private:
    Index changed_;
  };
  const std::uint64_t print = fingerprint(Wide(-1));
  EXPECT_NE(fingerprint(Wide(750)), print);
  EXPECT_EQ(fingerprint(Wide(751)), print);
}

}  // namespace
}  // namespace espalier
