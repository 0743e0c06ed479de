#include "espalier/experiment/class_table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(ClassTable, OfFewClassesIsAMatrixToo) {
  Confusion confusion(2);
  confusion.add({0, 0}, 46);
  confusion.add({0, 1}, 3);
  confusion.add({1, 0}, 1);
  confusion.add({1, 1}, 30);
  EXPECT_EQ(class_table_of(confusion, {"no", "yes"}),
            "by class               rows  precision    recall        F1   taken for:     no    yes\n"
            "no                       49    97.87 %   93.88 %   95.83 %                  46      3\n"
            "yes                      31    90.91 %   96.77 %   93.75 %                   1     30\n");
}

TEST(ClassTable, SaysNothingOfNoRowsAndADashWhereThereIsNoNumber) {
  EXPECT_EQ(class_table_of(Confusion(), {}), "");
  EXPECT_EQ(class_table_of(Confusion(3), {"a", "b", "c"}), "");
  Confusion confusion(2);
  confusion.add({0, 0});
  EXPECT_PRED2(contains, class_table_of(confusion, {"a", "b"}), "–         –         –");
}

TEST(ClassTable, OfManyClassesShowsTheWorstAndTheMostFrequentMistakes) {
  constexpr int classes = 30;
  Confusion confusion(classes);
  std::vector<std::string> names;
  for (int c = 0; c < classes; ++c) {
    names.push_back(fmt::format("class {}", c));
    confusion.add({c, c}, 100);
    confusion.add({c, (c + 1) % classes}, c);
  }
  const std::string text = class_table_of(confusion, names, {.classes = 3, .mistakes = 2});
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 6u) << text;
  EXPECT_TRUE(lines[1].starts_with("class 29 ")) << text;
  EXPECT_PRED2(contains, lines[4], "lowest F1 of 30 classes");
  EXPECT_EQ(lines[5], "most often taken: class 29 for class 0 (29 of 129), class 28 for class 29 (28 of 128)");
  EXPECT_EQ(lines_of(class_table_of(confusion, names)).size(), 32u) << "all of 30, and their mistakes";
}

TEST(ClassTable, ShowsNamesAsTextWhateverTheyAre) {
  Confusion confusion(2);
  confusion.add({0, 0}, 2);
  confusion.add({1, 0}, 1);
  const std::string text = class_table_of(confusion, {"\x1b[31mred", "très très long nom de classe"});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_PRED2(contains, text, "très très long nom de classe ");
  EXPECT_PRED2(contains, text, "très trè…");
}

}  // namespace
}  // namespace espalier
