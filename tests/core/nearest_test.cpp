#include "espalier/core/nearest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/catalogue.h"

namespace espalier {
namespace {

using Names = std::vector<std::string>;

TEST(Nearest, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edits_between("rigl", "rigl"), 0u);
  EXPECT_EQ(edits_between("rigel", "rigl"), 1u);
  EXPECT_EQ(edits_between("rgl", "rigl"), 1u);
  EXPECT_EQ(edits_between("rigs", "rigl"), 1u);
  EXPECT_EQ(edits_between("irgl", "rigl"), 1u);
  EXPECT_EQ(edits_between("RigL", "rigl"), 0u) << "case counts for nothing";
  EXPECT_EQ(edits_between("", "rigl"), 4u);
  EXPECT_EQ(edits_between("kitten", "sitting"), 3u);
  EXPECT_EQ(edits_between("ca", "abc"), 3u) << "no letter is edited twice";
}

TEST(Nearest, IsSymmetricAndObeysTheBoundOfLengths) {
  const Names words{"", "a", "set", "rigl", "magnitude", "edge-popup", "lottery"};
  for (const std::string& a : words)
    for (const std::string& b : words) {
      EXPECT_EQ(edits_between(a, b), edits_between(b, a)) << a << " " << b;
      EXPECT_GE(edits_between(a, b), std::max(a.size(), b.size()) - std::min(a.size(), b.size())) << a << " " << b;
      EXPECT_LE(edits_between(a, b), std::max(a.size(), b.size())) << a << " " << b;
    }
}

TEST(Nearest, NamesOnlyWhatIsNear) {
  const Names names{"magnitude", "random", "rigl", "set", "snip", "snfs"};
  EXPECT_EQ(nearest_names("magnitdue", names), Names{"magnitude"});
  EXPECT_EQ(nearest_names("sni", names), Names{"snip"});
  EXPECT_EQ(nearest_names("snis", names), (Names{"snip", "snfs"})) << "as many edits each";
  EXPECT_EQ(nearest_names("mag", names), Names{"magnitude"}) << "the beginning of one";
  EXPECT_EQ(nearest_names("psychic", names), Names());
  EXPECT_EQ(nearest_names("z", Names{"x", "y"}), Names()) << "nothing of it is left";
  EXPECT_EQ(nearest_names("", names), Names());
  EXPECT_EQ(nearest_names(std::string(1 << 20, 'm'), names), Names());
  EXPECT_EQ(nearest_names("conv-3", Names{"conv-1", "conv-2", "conv-4", "conv-6"}).size(), 3u);
}

TEST(Nearest, KeepsWhatStandsBehindTheBeginningOfAName) {
  const Names names{"lenet-5", "mlp:", "tabular:", "tabular-resnet:"};
  EXPECT_EQ(nearest_names("mpl:784-10", names), Names{"mlp:784-10"});
  EXPECT_EQ(nearest_names("tablar-resnet:128x3", names), Names{"tabular-resnet:128x3"});
}

TEST(Nearest, StandsBehindTheErrorOfACatalogue) {
  struct Entry {
    std::string name, line;
  };
  const Catalogue<Entry> all("colour", {{"green", ""}, {"yellow", ""}});
  try {
    all.named("grene");
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "[colour] expected green or yellow, got \"grene\"; did you mean green?");
  }
}

}  // namespace
}  // namespace espalier
