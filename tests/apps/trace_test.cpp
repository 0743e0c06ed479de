// espalier trace: its numbers, by hand, and the page that quotes them.
#include "apps/tool/trace.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::contains;
using testing::Ran;
using testing::tool;
using Numbers = std::vector<Real>;

std::vector<std::uint32_t> columns_of(const Parameter& W) {
  return {W.pattern()->column().begin(), W.pattern()->column().end()};
}
std::vector<Index> begins_of(const Parameter& W) {
  return {W.pattern()->row_begin().begin(), W.pattern()->row_begin().end()};
}
Numbers values_of_csr(const Parameter& W) {
  return {W.value().begin(), W.value().end()};
}

// By hand: of the 56 magnitudes 13 are above 0.30
//   0.80 0.75 0.70 0.65 0.60 0.55 0.50 0.50 0.45 0.40 0.40 0.35 0.35
// and 5 are 0.30. A quarter of 56 is 14: so one of the five stays, the first one, h3 x1 of fc1.
TEST(Trace, KeepsFourteenWeightsOfWhichOneWonATie) {
  const PruningTrace trace = traced();
  const LayerTrace &fc1 = trace.layers[0], &output = trace.layers[1];
  EXPECT_EQ(fc1.kept, 10);
  EXPECT_EQ(output.kept, 4);
  EXPECT_EQ(fc1.last.score, 0.30f);
  EXPECT_EQ(fc1.last.ties, 1) << "of h3 x1 and h5 x1 one is kept";
  EXPECT_PRED2(contains, text_of(trace),
               "all layers together: 14 of 56 stay, 13 scores above 0.30 and 1 of the 5 that are equal to it:\n"
               "  h3 x1 stays, h5 x1 goes, o0 h1 goes, o1 h3 goes, o2 h4 goes\n");
  EXPECT_EQ(output.last.score, 0.40f) << "its three of 0.30 go";
  EXPECT_EQ(fc1.score[3 * 4 + 0], 0.60f) << "of -0.60";

  EXPECT_EQ(begins_of(fc1.csr), (std::vector<Index>{0, 1, 3, 3, 6, 7, 8, 9, 10}));
  EXPECT_EQ(columns_of(fc1.csr), (std::vector<std::uint32_t>{0, 0, 1, 0, 1, 3, 1, 3, 2, 3}));
  EXPECT_EQ(values_of_csr(fc1.csr),
            (Numbers{0.70f, -0.40f, 0.55f, -0.60f, 0.30f, 0.45f, 0.35f, -0.80f, 0.50f, -0.35f}));
  EXPECT_EQ(begins_of(output.csr), (std::vector<Index>{0, 2, 3, 4}));
  EXPECT_EQ(columns_of(output.csr), (std::vector<std::uint32_t>{0, 5, 1, 3}));
  EXPECT_EQ(values_of_csr(output.csr), (Numbers{0.65f, 0.40f, 0.75f, 0.50f}));
}

// Weight n had the momentum ((7 n) mod 11 - 5) / 50: of position 13, h3 x1, (91 mod 11 - 5) / 50 = -0.04.
TEST(Trace, MovesMomentumWithItsWeightAndForgetsThatOfWhatWent) {
  const PruningTrace trace = traced();
  const Parameter &csr = trace.layers[0].csr, &masked = trace.layers[0].masked;
  const Numbers by_hand{-0.10f, 0.02f, -0.06f, 0.04f, -0.04f, 0.02f, 0.08f, 0.04f, 0.02f, 0.06f};
  const std::vector<Index> positions{0, 4, 5, 12, 13, 15, 17, 23, 26, 31};
  for (std::size_t n = 0; n < positions.size(); ++n) {
    EXPECT_NEAR(csr.slot("momentum")[n], by_hand[n], 1e-6) << positions[n];
    EXPECT_NEAR(masked.slot("momentum")[static_cast<std::size_t>(positions[n])], by_hand[n], 1e-6) << positions[n];
  }
  for (Index n = 0; n < masked.positions(); ++n)
    if (!masked.pattern()->live(n / 4, n % 4)) {
      EXPECT_EQ(masked.value()[n], 0) << n;
      EXPECT_EQ(masked.slot("momentum")[n], 0) << n;
    }
  EXPECT_EQ(csr.value().size(), 10u);
  EXPECT_EQ(csr.slot("momentum").size(), 10u);
}

// h2 has no weight above 0.20; h4, h6 and h7 lead to outputs by 0.30 at most.
TEST(Trace, NamesTheUnitsThatDied) {
  const PruningTrace trace = traced();
  EXPECT_EQ(trace.without_input, std::vector<Index>{2});
  EXPECT_EQ(trace.unread, (std::vector<Index>{2, 4, 6, 7}));
  EXPECT_PRED2(contains, text_of(trace), "3 weights lead into units that nothing reads");
}

TEST(Trace, FollowsItsFlags) {
  const PruningTrace uniform = traced({.density = 0.5, .allocation = Allocation::uniform});
  EXPECT_EQ(uniform.layers[0].kept, 16);
  EXPECT_EQ(uniform.layers[1].kept, 12);
  EXPECT_EQ(tool("trace --density 1").code, exit_done);
  EXPECT_EQ(tool("trace --density 0").code, exit_usage);
  EXPECT_EQ(tool("trace --density 0.01").code, exit_usage) << "a layer would be empty";
  EXPECT_PRED2(contains, tool("trace --allocation unifrom").err, "did you mean uniform?");
}

// A fenced block behind <!-- output: espalier ... --> is what that command prints.
TEST(Trace, IsWhatTheChapterQuotes) {
  constexpr std::uintmax_t limit = 1 << 20;
  const std::string page = read_file(std::filesystem::path(ESPALIER_SOURCE_DIR) / "pruning" / "README.md", limit);
  const std::string marker = "<!-- output: espalier ";
  std::size_t found = 0;
  for (std::size_t at = page.find(marker); at != std::string::npos; at = page.find(marker, at + 1), ++found) {
    const std::size_t command = at + marker.size(), begin = page.find("```\n", at), end = page.find("\n```", begin + 4);
    ASSERT_NE(end, std::string::npos);
    const std::string line = page.substr(command, page.find(" -->", command) - command);
    EXPECT_EQ(page.substr(begin + 4, end + 1 - begin - 4), tool(line).out) << "espalier " << line;
  }
  EXPECT_EQ(found, 1u);
}

}  // namespace
}  // namespace espalier
