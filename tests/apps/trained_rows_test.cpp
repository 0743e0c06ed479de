#include "espalier/experiment/trained_rows.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

// Rows [n / same], so that `same` of them are alike.
class Rows final : public Dataset {
 public:
  Rows(Index rows, Index same) : rows_(rows), same_(same) {}
  std::string name() const override { return "rows"; }
  Index samples() const override { return rows_; }
  Shape shape() const override { return {2}; }
  Index classes() const override { return 2; }
  std::int32_t label(Index) const override { return 0; }
  void read(Index i, std::span<Real> features) const override {
    features[0] = static_cast<Real>(i / same_);
    features[1] = 1;
  }

 private:
  Index rows_, same_;
};

// What is said when rows [from, to) of another set are asked about.
std::string asked(const TrainedRows& trained, const Rows& rows, Index from, Index to) {
  const testing::TemporaryFolder folder;
  trained.save(folder.path() / trained_rows_file);
  std::optional<TrainedRows> loaded = TrainedRows::load(folder.path() / trained_rows_file);
  std::vector<Real> features(2);
  for (Index i = from; i < to; ++i) {
    rows.read(i, features);
    loaded->ask(features);
  }
  return loaded->found();
}

TEST(TrainedRows, AreCountedAmongThoseThatAreAskedAbout) {
  const TrainedRows trained(Rows(300, 1));
  EXPECT_EQ(asked(trained, Rows(400, 1), 0, 400), "300 of the 400 rows are rows that the network was trained on");
  EXPECT_EQ(asked(trained, Rows(400, 1), 290, 400), "10 of the 110 rows are rows that the network was trained on");
  EXPECT_EQ(asked(trained, Rows(400, 1), 300, 400), "");
}

TEST(TrainedRows, AreFoundAsOftenAsTheyWereTrainedOnAndNoOftener) {
  const TrainedRows trained(Rows(300, 3));
  EXPECT_EQ(asked(trained, Rows(500, 5), 0, 500), "300 of the 500 rows are rows that the network was trained on");
  EXPECT_EQ(asked(trained, Rows(200, 2), 0, 200), "200 of the 200 rows are rows that the network was trained on");
}

TEST(TrainedRows, OfManyAreEstimatedFromASample) {
  const Rows rows(40'000, 1);
  const TrainedRows trained(Rows(30'000, 1), 1000);
  const std::string said = asked(trained, rows, 0, 40'000);
  ASSERT_TRUE(said.starts_with("about ")) << said;
  EXPECT_NEAR(std::stod(said.substr(6)), 30'000, 1200) << said;  // three deviations of a sample of 1,333
  EXPECT_EQ(asked(trained, rows, 30'000, 40'000), "");
  const testing::TemporaryFolder folder;
  trained.save(folder.path() / "rows");
  EXPECT_LT(std::filesystem::file_size(folder.path() / "rows"), 8 * 1000 + 200u);
}

TEST(TrainedRows, OfARunFromBeforeAreNotKnownAndOfABrokenFileAnError) {
  const testing::TemporaryFolder folder;
  EXPECT_FALSE(TrainedRows::load(folder.path() / "absent"));
  write_file_atomically(folder.path() / "broken", "not a tensor");
  EXPECT_THROW(TrainedRows::load(folder.path() / "broken"), FileError);
}

}  // namespace
}  // namespace espalier
