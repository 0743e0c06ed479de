#include "espalier/core/catalogue.h"

#include <gtest/gtest.h>

namespace espalier {
namespace {

struct Tree {
  std::string name, line;
  int height = 0;
};

Catalogue<Tree> trees() {
  return Catalogue<Tree>("tree", {{"apple", "a fruit tree", 4}, {"pear", "another", 6}, {"yew", "a conifer", 15}});
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Catalogue, FindsEntriesByName) {
  const auto catalogue = trees();
  EXPECT_EQ(catalogue.named("pear").height, 6);
  EXPECT_EQ(catalogue.find("pear"), &catalogue.named("pear"));
  EXPECT_EQ(catalogue.find("pea"), nullptr);
  EXPECT_EQ(catalogue.find("pears"), nullptr);
}

TEST(Catalogue, ListsItsNamesInTheOrderOfItsEntries) {
  EXPECT_EQ(trees().names(), "apple, pear or yew");
  EXPECT_EQ(Catalogue<Tree>("tree", {{"apple", ""}, {"pear", ""}}).names(), "apple or pear");
  EXPECT_EQ(Catalogue<Tree>("tree", {{"apple", ""}}).names(), "apple");
  EXPECT_EQ(Catalogue<Tree>("tree").names(), "");
}

TEST(Catalogue, SaysWhatItKnowsWhenANameIsUnknown) {
  EXPECT_EQ(message_of([] { trees().named("oak"); }), "[tree] expected apple, pear or yew, got \"oak\"");
}

// Invariant 1.
TEST(Catalogue, RefusesANameThatIsTakenAndAnEntryWithoutOne) {
  auto catalogue = trees();
  EXPECT_EQ(message_of([&] {
              catalogue.add({"yew", "", 1});
            }),
            "[tree] expected a new name, got \"yew\", which is taken");
  EXPECT_EQ(message_of([&] { catalogue.add({"", "", 1}); }), "[tree] expected an entry with a name, got none");
  EXPECT_EQ(catalogue.entries().size(), 3u);
  EXPECT_EQ(catalogue.named("yew").height, 15);
}

// Invariant 2.
TEST(Catalogue, KeepsTheAddressesOfEntriesWhenOthersAreAdded) {
  auto catalogue = trees();
  const Tree* const apple = catalogue.find("apple");
  for (int i = 0; i < 1000; ++i) catalogue.add({.name = fmt::format("oak {}", i), .line = "an oak"});
  EXPECT_EQ(catalogue.find("apple"), apple);
  EXPECT_EQ(apple->height, 4);
  EXPECT_NE(catalogue.names().find(" or oak 999"), std::string::npos);
}

}  // namespace
}  // namespace espalier
