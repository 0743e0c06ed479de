// masks.jsonl: what is written of masks is what they were, and an interruption leaves no trace.
#include "espalier/experiment/mask_log.h"

#include <gtest/gtest.h>

#include <sstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/experiment/base64.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

constexpr std::uintmax_t limit_bytes = 1 << 26;

std::vector<Json> lines_of(const std::filesystem::path& file) {
  std::istringstream text(read_file(file, limit_bytes));
  std::vector<Json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

// The positions that a line says have changed, as its documentation has it.
std::vector<Index> changed_in(const Json& layer) {
  std::vector<Index> changed;
  if (layer.contains("bits")) {
    const auto bytes = bytes_of_base64(layer["bits"].get<std::string>());
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit)
      if (bytes[bit / 8] >> (bit % 8) & 1) changed.push_back(static_cast<Index>(bit));
    return changed;
  }
  Index at = -1, gap = 0;
  int shift = 0;
  for (const std::uint8_t byte : bytes_of_base64(layer.at("gaps").get<std::string>())) {
    gap += static_cast<Index>(byte & 127) << shift;
    shift += 7;
    if (byte & 128) continue;
    changed.push_back(at += gap);
    gap = shift = 0;
  }
  return changed;
}

// Prunings of one layer: patterns of ever lower density, each independent of the one before.
class Prunings {
 public:
  Prunings(Index rows, Index cols) : W_("w", rows, cols) {
    const Random random(1, "values");
    for (Index i = 0; i < W_.positions(); ++i)
      W_.value()[static_cast<std::size_t>(i)] = static_cast<Real>(random.uniform(static_cast<std::uint64_t>(i)) - 0.5);
  }
  PruneEvent to(double density, Index step) {
    const auto live = static_cast<Index>(density * static_cast<double>(W_.positions()));
    return rules_.apply(W_, Pattern::random(W_.rows(), W_.cols(), live, Random(static_cast<std::uint64_t>(step), "m")),
                        step);
  }
  const Parameter& W() const { return W_; }

 private:
  Parameter W_;
  StorageRules rules_{.histograms = true};
};

Json told(MaskLog& log, const PruneEvent& event) {
  Json layers = Json::array({Json({{"name", event.layer}})});
  log.add({event}, layers);
  log.flush();
  return layers[0];
}

TEST(MaskLog, TheLinesTogetherGiveEveryMask) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  Prunings prunings(7, 61);
  std::vector<std::vector<std::uint8_t>> masks;
  for (Index step = 0; step < 12; ++step) {
    told(log, prunings.to(step % 2 ? 0.5 : 0.9 / static_cast<double>(step + 1), step));
    masks.push_back(prunings.W().pattern()->mask());
  }
  const std::vector<Json> lines = lines_of(folder.path() / "m");
  ASSERT_EQ(lines.size(), masks.size());
  std::vector<std::uint8_t> mask(masks[0].size(), 1);
  for (std::size_t line = 0; line < lines.size(); ++line) {
    EXPECT_EQ(lines[line]["step"], line);
    for (const Index at : changed_in(lines[line]["layers"][0])) mask[static_cast<std::size_t>(at)] ^= 1;
    EXPECT_EQ(mask, masks[line]) << line;
  }
}

TEST(MaskLog, WhatDiedAndWasBornIsTheDifferenceOfTwoMasks) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  Prunings prunings(9, 40);
  std::vector<std::uint8_t> before(360, 1), ever(360, 0);
  for (Index step = 0; step < 6; ++step) {
    const Json layer = told(log, prunings.to(0.1, step));
    const std::vector<std::uint8_t> after = prunings.W().pattern()->mask();
    Index died = 0, born = 0, tried = 0;
    for (std::size_t at = 0; at < after.size(); ++at) {
      died += before[at] && !after[at];
      born += !before[at] && after[at];
      tried += ever[at] = ever[at] || after[at];
    }
    EXPECT_EQ(layer["died"], died);
    EXPECT_EQ(layer["born"], born);
    EXPECT_DOUBLE_EQ(layer["explored"].get<double>(), static_cast<double>(tried) / 360);
    before = after;
  }
}

TEST(MaskLog, OfANetworkThatWasDenseEveryWeightHasBeenTried) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  Prunings prunings(9, 40);
  EXPECT_FALSE(told(log, prunings.to(0.5, 100)).contains("explored"));
  EXPECT_FALSE(told(log, prunings.to(0.2, 200)).contains("explored"));
}

TEST(MaskLog, ATrainingThatGoesOnWritesWhatOneThatWasLeftAloneWrites) {
  const testing::TemporaryFolder folder;
  const auto events = [] {
    Prunings prunings(20, 50);
    std::vector<PruneEvent> all;
    for (Index step = 0; step < 300; ++step) all.push_back(prunings.to(0.3, step));
    return all;
  }();
  Json whole, part;
  {
    MaskLog log(folder.path() / "whole", false);
    for (const PruneEvent& event : events) whole.push_back(told(log, event));
    log.finish();
  }
  for (const std::size_t stop : {0, 1, 130, 299}) {
    Json note;
    part = Json::array();
    {
      MaskLog log(folder.path() / "part", false);
      for (std::size_t e = 0; e < stop; ++e) part.push_back(told(log, events[e]));
      note = Json::parse(log.noted().dump());
      for (std::size_t e = stop; e < std::min<std::size_t>(stop + 3, 300); ++e) told(log, events[e]);  // is lost
    }
    MaskLog log(folder.path() / "part", false);
    log.go_on_behind(note);
    for (std::size_t e = stop; e < events.size(); ++e) part.push_back(told(log, events[e]));
    log.finish();
    EXPECT_EQ(read_file(folder.path() / "part", limit_bytes), read_file(folder.path() / "whole", limit_bytes)) << stop;
    for (Json* lines : {&whole, &part})
      for (Json& line : *lines)
        if (line.contains("histogram")) line["histogram"].erase("seconds");
    EXPECT_EQ(part, whole) << stop;
  }
}

TEST(MaskLog, StaysSmallHoweverManyPruningsThereAre) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  Prunings prunings(64, 512);
  for (Index step = 0; step < 1500; ++step) told(log, prunings.to(0.5, step));  // a bit for each weight, each time
  EXPECT_LT(std::filesystem::file_size(folder.path() / "m"), 2'100'000);
  EXPECT_LE(lines_of(folder.path() / "m").size(), 240);
  EXPECT_GT(lines_of(folder.path() / "m").back()["step"], 500) << "later prunings are shown as well";
}

TEST(MaskLog, OfALargeLayerRowsAreLeftOut) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  Prunings prunings(1000, 1000);
  told(log, prunings.to(0.01, 0));
  const Json layer = lines_of(folder.path() / "m").front()["layers"][0];
  ASSERT_EQ(layer["row_step"], 4);
  std::vector<Index> dead;
  for (Index r = 0; r < 1000; r += 4)
    for (Index c = 0; c < 1000; ++c)
      if (!prunings.W().pattern()->live(r, c)) dead.push_back(r / 4 * 1000 + c);
  EXPECT_EQ(changed_in(layer), dead);
}

TEST(MaskLog, NoPruningLeavesNoFile) {
  const testing::TemporaryFolder folder;
  MaskLog log(folder.path() / "m", false);
  log.flush();
  log.finish();
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m"));
}

TEST(Base64, GivesBackWhatWentIn) {
  const std::vector<std::pair<std::string, std::string>> known{
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};  // RFC 4648
  for (const auto& [text, coded] : known) {
    const std::vector<std::uint8_t> bytes(text.begin(), text.end());
    EXPECT_EQ(base64_of(bytes), coded);
    EXPECT_EQ(bytes_of_base64(coded), bytes);
  }
  EXPECT_THROW(bytes_of_base64("Zm9v*"), FileError);
}

}  // namespace
}  // namespace espalier
