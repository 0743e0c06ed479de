// The chapters quote the source. A fenced block of C++ in a README.md that follows a line
//
//   <!-- quote: path/to/file -->
//
// must stand in that file, line by line; only indentation may differ.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace espalier {
namespace {

constexpr std::string_view marker = "<!-- quote: ", marker_end = " -->", fence = "```";

std::vector<std::string> trimmed_lines(std::istream& stream) {
  constexpr const char* blank = " \t\r";
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    const std::size_t first = line.find_first_not_of(blank);
    lines.push_back(first == std::string::npos ? "" : line.substr(first, line.find_last_not_of(blank) - first + 1));
  }
  return lines;
}

std::vector<std::string> trimmed_lines_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return trimmed_lines(stream);
}

struct Quote {
  std::size_t line;  // of the marker, from 1
  std::string file;
  std::vector<std::string> lines;  // empty: no fenced C++ follows the marker
};

std::vector<Quote> quotes_in(const std::vector<std::string>& page) {
  std::vector<Quote> quotes;
  for (std::size_t i = 0; i < page.size(); ++i) {
    const std::string_view line = page[i];
    if (!line.starts_with(marker) || !line.ends_with(marker_end)) continue;
    Quote& quote = quotes.emplace_back();
    quote.line = i + 1;
    quote.file = line.substr(marker.size(), line.size() - marker.size() - marker_end.size());
    if (i + 1 == page.size() || page[i + 1] != "```cpp") continue;
    const auto begin = page.begin() + static_cast<std::ptrdiff_t>(i) + 2;
    const auto end = std::find(begin, page.end(), fence);
    if (end != page.end()) quote.lines.assign(begin, end);
  }
  return quotes;
}

bool occurs(const std::vector<std::string>& lines, const std::vector<std::string>& in) {
  return !lines.empty() && std::search(in.begin(), in.end(), lines.begin(), lines.end()) != in.end();
}

// The README.md of the project and of its folders.
std::vector<std::filesystem::path> chapters() {
  const std::filesystem::path root = ESPALIER_SOURCE_DIR;
  std::vector<std::filesystem::path> found;
  for (const char* folder : {".", "core", "layers", "optim", "pruning", "datasets", "apps", "apps/recipes", "tests"})
    if (const std::filesystem::path page = root / folder / "README.md"; exists(page)) found.push_back(page);
  return found;
}

TEST(Quotes, InTheChaptersStandInTheSource) {
  std::size_t found = 0;
  for (const std::filesystem::path& page : chapters())
    for (const Quote& quote : quotes_in(trimmed_lines_of(page))) {
      const std::filesystem::path source = std::filesystem::path(ESPALIER_SOURCE_DIR) / quote.file;
      const std::string where = fmt::format("{}:{}", page.lexically_normal().string(), quote.line);
      EXPECT_FALSE(quote.lines.empty()) << where << ": expected a ```cpp block on the next line";
      EXPECT_TRUE(exists(source)) << where << ": there is no " << quote.file;
      EXPECT_TRUE(occurs(quote.lines, trimmed_lines_of(source)))
          << where << ": this does not stand in " << quote.file << ":\n"
          << fmt::format("{}", fmt::join(quote.lines, "\n"));
      ++found;
    }
  EXPECT_GT(found, 5u);
}

TEST(Quotes, MayDifferFromTheSourceInIndentationOnly) {
  const std::vector<std::string> source = {"int f() {", "return 1;", "}", "", "int g();"};
  EXPECT_TRUE(occurs({"return 1;", "}"}, source));
  EXPECT_FALSE(occurs({"return 2;", "}"}, source));
  EXPECT_FALSE(occurs({"int f() {", "}"}, source));  // nothing left out
  EXPECT_FALSE(occurs({"eturn 1;"}, source));        // whole lines
  EXPECT_FALSE(occurs({}, source));
}

TEST(Quotes, AreFoundByTheirMarker) {
  std::istringstream page(
      "text\n```cpp\nnot a quote\n```\n"
      "<!-- quote: core/a.h -->\n```cpp\n  one\n\ttwo \n```\n"
      "<!-- quote: core/b.h -->\n\n```cpp\nthree\n```\n");
  const std::vector<Quote> quotes = quotes_in(trimmed_lines(page));
  ASSERT_EQ(quotes.size(), 2u);
  EXPECT_EQ(quotes[0].file, "core/a.h");
  EXPECT_EQ(quotes[0].line, 5u);
  EXPECT_EQ(quotes[0].lines, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(quotes[1].lines.empty());  // the block must follow at once
}

}  // namespace
}  // namespace espalier
