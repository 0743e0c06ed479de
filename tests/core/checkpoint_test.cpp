// Checkpoints keep everything parameters are, to the bit.
#include "espalier/core/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::megabyte;

void number(std::span<Real> array, Real from) {
  for (Real& a : array) a = from, from += Real{0.25};
}

// A dense bias, a masked and a csr weight, all with slots.
std::vector<Parameter> some_parameters() {
  std::vector<Parameter> all;
  all.emplace_back("bias", 5, 1, Role::bias);
  all.emplace_back("masked", 4, 6);
  all.emplace_back("csr", Pattern::random(7, 9, 20, Random(3, "csr")));
  all[1].become(Pattern::random(4, 6, 10, Random(4, "masked")), Storage::masked);
  for (Parameter& W : all) {
    W.add_slot("momentum");
    W.for_each_weight([&](Index r, Index c, Index at) {
      W.value()[at] = static_cast<Real>(r) - static_cast<Real>(c) / 3;
      W.slot("momentum")[at] = static_cast<Real>(r * c) * Real{1e-30};
    });
  }
  return all;
}

std::vector<Parameter*> pointers(std::vector<Parameter>& all) {
  std::vector<Parameter*> list;
  for (Parameter& W : all) list.push_back(&W);
  return list;
}

void expect_equal(const Parameter& a, const Parameter& b) {
  EXPECT_EQ(a.storage(), b.storage());
  EXPECT_EQ(a.role(), b.role());
  ASSERT_EQ(a.pattern() == nullptr, b.pattern() == nullptr);
  if (a.pattern()) {
    EXPECT_TRUE(*a.pattern() == *b.pattern());
  }
  EXPECT_TRUE(std::ranges::equal(a.value(), b.value()));
  ASSERT_EQ(a.slot_names(), b.slot_names());
  for (const std::string& slot : a.slot_names()) EXPECT_TRUE(std::ranges::equal(a.slot(slot), b.slot(slot)));
}

TEST(Checkpoint, BringsBackValuesSlotsPatternsAndStorage) {
  const testing::TemporaryFolder folder;
  std::vector<Parameter> saved = some_parameters();
  save_checkpoint(pointers(saved), {{"step", "41"}}, folder.path() / "checkpoint");
  std::vector<Parameter> loaded;  // same names and shapes, everything else different
  loaded.emplace_back("bias", 5, 1, Role::bias);
  loaded.emplace_back("masked", 4, 6);
  loaded.emplace_back("csr", 7, 9);
  number(loaded[2].value(), 1);
  const auto metadata = load_checkpoint(pointers(loaded), folder.path() / "checkpoint");
  EXPECT_EQ(metadata, (std::map<std::string, std::string>{{"step", "41"}}));
  for (std::size_t i = 0; i < saved.size(); ++i) expect_equal(saved[i], loaded[i]);
}

TEST(Checkpoint, OfOtherParametersIsRefusedAndChangesNothing) {
  const testing::TemporaryFolder folder;
  std::vector<Parameter> saved = some_parameters();
  save_checkpoint(pointers(saved), {}, folder.path() / "checkpoint");
  for (const int which : {0, 1, 2}) {
    std::vector<Parameter> other = some_parameters();
    if (which == 0) other[2] = Parameter("another", 7, 9);  // a name it does not have
    if (which == 1) other[2] = Parameter("csr", 8, 9);      // another shape
    if (which == 2) other[0] = Parameter("bias", 6, 1, Role::bias);
    for (Parameter& W : other) std::ranges::fill(W.value(), Real{7});
    const std::vector<Parameter> before = other;
    EXPECT_THROW(load_checkpoint(pointers(other), folder.path() / "checkpoint"), FileError);
    for (std::size_t i = 0; i < other.size(); ++i) expect_equal(before[i], other[i]);
  }
}

TEST(Checkpoint, ThatIsDamagedIsRefusedWhereverTheDamageIs) {
  const testing::TemporaryFolder folder;
  std::vector<Parameter> saved = some_parameters();
  save_checkpoint(pointers(saved), {}, folder.path() / "checkpoint");
  const std::string bytes = read_file(folder.path() / "checkpoint", megabyte);
  const auto refused = [&](const std::string& damaged) {
    std::ofstream(folder.path() / "damaged", std::ios::binary) << damaged;  // quickly: nothing depends on it
    try {
      load_checkpoint(pointers(saved), folder.path() / "damaged");
    } catch (const FileError&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refused(bytes));
  for (std::size_t length = 0; length < bytes.size(); ++length) ASSERT_TRUE(refused(bytes.substr(0, length))) << length;
  EXPECT_TRUE(refused(bytes + '\0'));
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_TRUE(refused(damaged)) << bit;
  }
}

TEST(Checkpoint, KeepsSetsOfTheSameParametersApart) {
  const testing::TemporaryFolder folder;
  std::vector<Parameter> now = some_parameters(), then = some_parameters();
  for (Parameter& W : then) W.for_each_weight([&](Index, Index, Index at) { W.value()[at] = 3; });
  const std::vector<CheckpointPart> parts{{.parameters = pointers(now)},
                                          {.name = "then", .parameters = pointers(then)}};
  save_checkpoint(parts, {}, folder.path() / "checkpoint");
  std::vector<Parameter> other = some_parameters(), another = some_parameters();
  const CheckpointFile file(folder.path() / "checkpoint");
  file.load(std::vector<CheckpointPart>{{.name = "then", .parameters = pointers(other)}});
  file.load(std::vector<CheckpointPart>{{.parameters = pointers(another)}});
  for (std::size_t i = 0; i < now.size(); ++i) {
    expect_equal(other[i], then[i]);
    expect_equal(another[i], now[i]);
  }
  EXPECT_THROW(file.load(std::vector<CheckpointPart>{{.name = "never", .parameters = pointers(other)}}), FileError);
}

// The checksum is right in all of these.
TEST(Checkpoint, IsNotBelievedWhateverItsChecksum) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "checkpoint";
  for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity()}) {
    std::vector<Parameter> wrong = some_parameters();
    wrong[2].value()[3] = bad;
    save_checkpoint(pointers(wrong), {}, file);
    std::vector<Parameter> mine = some_parameters();
    EXPECT_THROW(load_checkpoint(pointers(mine), file), FileError);
  }
  std::vector<Parameter> wrong = some_parameters();
  Index dead = 0;  // a place in the masked matrix that is not live
  while (std::ranges::count(wrong[1].pattern()->row(0), static_cast<std::uint32_t>(dead))) ++dead;
  wrong[1].value()[dead] = 1;
  save_checkpoint(pointers(wrong), {}, file);
  std::vector<Parameter> mine = some_parameters();
  EXPECT_THROW(load_checkpoint(pointers(mine), file), FileError) << "a weight where none can be";
  wrong = some_parameters();
  wrong[0].remove_slot("momentum");
  save_checkpoint(pointers(wrong), {}, file);
  EXPECT_THROW(load_checkpoint(pointers(mine), file), FileError) << "a slot is missing";
}

}  // namespace
}  // namespace espalier
