#include "espalier/pruning/rewind.h"

#include <gtest/gtest.h>

#include <vector>

#include "espalier/core/error.h"
#include "support/numbers.h"
#include "support/patterns.h"
#include "support/text.h"
#include "support/training.h"

namespace espalier {
namespace {

using testing::bits_of;
using testing::contains;
using testing::dense_values;
using testing::fill_normal;

// A weight with a slot, and a bias.
struct Two {
  Parameter W{"W", 9, 13}, b{"b", 9, 1, Role::bias};
  std::vector<Parameter*> list{&W, &b};

  explicit Two(std::string_view purpose) {
    W.add_slot("momentum");
    draw(purpose);
  }
  void draw(std::string_view purpose) {
    fill_normal(W.value(), W, purpose);
    fill_normal(W.slot("momentum"), W, purpose, 2);
    fill_normal(b.value(), b, purpose);
  }
};

TEST(Rewind, IsReadFromItsNameAndHasItAgain) {
  for (const char* text : {"none", "rate", "init", "500"}) EXPECT_EQ(name_of(rewind_named(text)), text);
  EXPECT_EQ(rewind_named("init"), (Rewind{Rewind::Kind::step, 0}));
  EXPECT_EQ(rewind_named("500"), (Rewind{Rewind::Kind::step, 500}));
  EXPECT_FALSE(rewind_named("none"));
  for (const char* text : {"", "tomorrow", "-1", "5x", "1.5", "99999999999999999999"})
    EXPECT_THROW(rewind_named(text), UsageError) << text;
}

TEST(Rewind, GivesSurvivorsTheirOldValuesInAnyStorageAndLeavesPatternAndSlotsAlone) {
  for (const Storage storage : testing::all_storages) {
    Two model("early");
    const std::vector<Real> early = dense_values(model.W), early_bias = dense_values(model.b);
    const Snapshot snapshot(model.list);

    const PatternPtr pattern = storage == Storage::dense ? nullptr : testing::pattern_of(9, 13, testing::Density::half);
    model.W.become(pattern, storage);
    model.draw("late");
    const std::vector<Real> slots(model.W.slot("momentum").begin(), model.W.slot("momentum").end());
    snapshot.restore(model.list);

    EXPECT_EQ(model.W.storage(), storage);
    EXPECT_EQ(model.W.pattern(), pattern);
    EXPECT_TRUE(testing::same_bits(model.W.slot("momentum"), slots));
    EXPECT_EQ(dense_values(model.b), early_bias);
    std::vector<Real> expected = early;
    if (pattern)
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= static_cast<Real>(pattern->mask()[i]);
    EXPECT_EQ(dense_values(model.W), expected) << name_of(storage);
    if (storage != Storage::csr) {  // off the pattern there is 0, not the early value
      EXPECT_TRUE(testing::same_bits(model.W.value(), dense_values(model.W)));
    }
  }
}

TEST(Rewind, GivesZeroToWeightsThatWereNotLiveAtTheTime) {
  Two model("early");
  model.W.become(testing::pattern_of(9, 13, testing::Density::tenth), Storage::csr);
  model.draw("early");
  const std::vector<Real> early = dense_values(model.W);
  const Snapshot snapshot(model.list);
  model.W.become(nullptr, Storage::dense);
  model.draw("late");
  snapshot.restore(model.list);
  EXPECT_EQ(dense_values(model.W), early);
}

TEST(Rewind, MayBeDoneAgain) {
  Two model("early");
  const Snapshot snapshot(model.list);
  for (int round = 0; round < 2; ++round) {
    model.draw("late");
    snapshot.restore(model.list);
    EXPECT_EQ(dense_values(model.W), dense_values(Two("early").W));
  }
}

TEST(Rewind, GivesRunningStatisticsBackToo) {
  Two model("early");
  std::vector<Real> mean{1, 2, 3};
  const std::vector<NamedNumbers> state{{"norm.mean", mean}};
  Snapshot snapshot(model.list, state);
  mean = {7, 8, 9};
  snapshot.restore(model.list, state);
  EXPECT_EQ(mean, (std::vector<Real>{1, 2, 3}));
  ASSERT_EQ(snapshot.state().size(), 1u);
  EXPECT_EQ(snapshot.state()[0].name, "norm.mean");
}

TEST(Rewind, RefusesOtherStateAndChangesNothingThen) {
  Two model("early"), late("late");
  std::vector<Real> mean{1, 2, 3}, two{4, 5};
  const Snapshot snapshot(model.list, std::vector<NamedNumbers>{{"norm.mean", mean}});
  const auto before = bits_of(late.list);
  EXPECT_THROW(snapshot.restore(late.list), UsageError);
  EXPECT_THROW(snapshot.restore(late.list, std::vector<NamedNumbers>{{"norm.mean", two}}), UsageError);
  EXPECT_THROW(snapshot.restore(late.list, std::vector<NamedNumbers>{{"other", mean}}), UsageError);
  EXPECT_TRUE(before == bits_of(late.list));
}

TEST(Rewind, RefusesOtherParametersAndChangesNothingThen) {
  Two model("early"), late("late");
  const Snapshot snapshot(model.list);
  const auto before = bits_of(late.list);
  Parameter other_name("c", 9, 1, Role::bias), other_shape("b", 10, 1, Role::bias);
  const std::pair<std::vector<Parameter*>, const char*> cases[] = {{{&late.W}, "got 1"},
                                                                   {{&late.b, &late.W}, "expected parameter W"},
                                                                   {{&late.W, &other_name}, "got c"},
                                                                   {{&late.W, &other_shape}, "got b (10 x 1)"}};
  for (const auto& [parameters, message] : cases) try {
      snapshot.restore(parameters);
      ADD_FAILURE() << "expected an error with \"" << message << '"';
    } catch (const UsageError& error) {
      EXPECT_PRED2(contains, error.what(), message);
      EXPECT_TRUE(before == bits_of(late.list)) << message;
    }
}

}  // namespace
}  // namespace espalier
