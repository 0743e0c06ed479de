#include "espalier/pruning/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "support/text.h"

namespace espalier {
namespace {

constexpr Index steps = 1000;

// The steps at which pruning happens, before the first (0) and after each.
std::vector<Index> due_steps(const Schedule& schedule, Index of = steps) {
  std::vector<Index> due;
  for (Index step = 0; step <= of; ++step)
    if (schedule.due(step, of)) due.push_back(step);
  return due;
}

TEST(Schedule, OneShotHappensOnceAndAtOnce) {
  const Schedule schedule{.kind = Schedule::Kind::one_shot, .density = 0.05, .begin = 0.3};
  EXPECT_EQ(due_steps(schedule), (std::vector<Index>{300}));
  EXPECT_EQ(schedule.density_at(299, steps), 1);
  EXPECT_EQ(schedule.density_at(300, steps), 0.05);
  EXPECT_EQ(schedule.density_at(1000, steps), 0.05);
}

TEST(Schedule, OneShotAtZeroHappensBeforeTheFirstStepAndAtOneAfterTheLast) {
  EXPECT_EQ(due_steps({.kind = Schedule::Kind::one_shot, .begin = 0}), (std::vector<Index>{0}));
  EXPECT_EQ(due_steps({.kind = Schedule::Kind::one_shot, .begin = 1, .end = 1}), (std::vector<Index>{1000}));
}

TEST(Schedule, LinearAndCubicHappenEveryIntervalAndAtTheEnd) {
  for (const char* kind : {"linear", "cubic"}) {
    const Schedule schedule{.kind = schedule_named(kind), .begin = 0.1, .end = 0.35, .interval = 100};
    EXPECT_EQ(due_steps(schedule), (std::vector<Index>{100, 200, 300, 350})) << kind;
  }
}

TEST(Schedule, LinearTakesEquallyManyEachTime) {
  const Schedule schedule{.kind = Schedule::Kind::linear, .density = 0.1, .begin = 0.2, .end = 0.6, .interval = 100};
  EXPECT_EQ(schedule.density_at(199, steps), 1);
  EXPECT_EQ(schedule.density_at(200, steps), 1);
  EXPECT_NEAR(schedule.density_at(300, steps), 0.775, 1e-12);
  EXPECT_NEAR(schedule.density_at(400, steps), 0.55, 1e-12);
  EXPECT_NEAR(schedule.density_at(500, steps), 0.325, 1e-12);
  EXPECT_EQ(schedule.density_at(600, steps), 0.1);
  EXPECT_EQ(schedule.density_at(1000, steps), 0.1);
}

TEST(Schedule, CubicFollowsItsFormula) {
  const Schedule schedule{.kind = Schedule::Kind::cubic, .density = 0.1, .begin = 0.2, .end = 0.6, .interval = 10};
  EXPECT_EQ(schedule.density_at(199, steps), 1);
  EXPECT_EQ(schedule.density_at(200, steps), 1);
  EXPECT_NEAR(schedule.density_at(300, steps), 1 - 0.9 * (1 - 0.75 * 0.75 * 0.75), 1e-12);
  EXPECT_NEAR(schedule.density_at(400, steps), 1 - 0.9 * 0.875, 1e-12);
  EXPECT_EQ(schedule.density_at(600, steps), 0.1);
  EXPECT_EQ(schedule.density_at(1000, steps), 0.1);
}

TEST(Schedule, IterativeHappensExactlyInItsRoundsByEqualFactors) {
  const Schedule schedule{.kind = Schedule::Kind::iterative, .density = 0.1, .begin = 0.1, .end = 0.5, .rounds = 5};
  const std::vector<Index> due = due_steps(schedule);
  EXPECT_EQ(due, (std::vector<Index>{100, 200, 300, 400, 500}));
  double before = 1;
  for (const Index step : due) {
    EXPECT_NEAR(schedule.density_at(step, steps) / before, std::pow(0.1, 0.2), 1e-12) << step;
    before = schedule.density_at(step, steps);
  }
  EXPECT_EQ(schedule.density_at(500, steps), 0.1);
}

TEST(Schedule, IterativeOfAnyNumberOfRoundsHappensThatOften) {
  for (const Index rounds : {1, 2, 3, 7, 40})
    for (const double begin : {0.0, 0.05}) {
      const Schedule schedule{
          .kind = Schedule::Kind::iterative, .density = 0.2, .begin = begin, .end = 0.9, .rounds = rounds};
      const std::vector<Index> due = due_steps(schedule);
      EXPECT_EQ(due.size(), static_cast<std::size_t>(rounds));
      EXPECT_EQ(due.front(), static_cast<Index>(begin * 1000));
      EXPECT_EQ(due.back(), rounds == 1 ? due.front() : 900);
    }
}

TEST(Schedule, IterativeRoundsNeedAStepEach) {
  // Five rounds: after steps 20, 40, 60, 80 and 100 of 1000, but what of 10, 30 or 40?
  const Schedule schedule{.kind = Schedule::Kind::iterative, .density = 0.1, .begin = 0.02, .end = 0.1, .rounds = 5};
  settled(schedule);
  EXPECT_EQ(due_steps(schedule, 50), (std::vector<Index>{1, 2, 3, 4, 5}));
  EXPECT_EQ(due_steps({.kind = Schedule::Kind::iterative, .begin = 0.1, .end = 0.1, .rounds = 1}, 10),
            (std::vector<Index>{1}));
  const std::pair<Schedule, Index> wrong[] = {
      {schedule, 40},                                                                         // steps 1 to 4
      {schedule, 10},                                                                         // 0 and 1
      {{.kind = Schedule::Kind::iterative, .begin = 0.3, .end = 0.3, .rounds = 2}, steps},    // 300 and 300
      {{.kind = Schedule::Kind::iterative, .begin = 0, .end = 0.0001, .rounds = 2}, steps}};  // 0 and 0, by rounding
  for (const auto& [s, of] : wrong) {
    EXPECT_THROW(s.due(0, of), UsageError) << of;
    EXPECT_THROW(s.density_at(1, of), UsageError) << of;
    EXPECT_THROW(settled(s, of), UsageError) << of;
  }
  try {
    settled(schedule, 40);
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(testing::contains, error.what(), "at most 4 iterative rounds, one after each step from 1 to 4, got 5");
  }
}

TEST(Schedule, IterativeRoundsAllHappenBeforeTheFirstStepIfTheyBeginAndEndThere) {
  const Schedule schedule{.kind = Schedule::Kind::iterative, .density = 0.1, .begin = 0, .end = 0, .rounds = 100};
  EXPECT_EQ(due_steps(schedule), (std::vector<Index>{0}));
  EXPECT_EQ(schedule.density_at(0, steps), 0.1);
}

TEST(Schedule, ThatBeginsAtZeroIsDueBeforeTheFirstStep) {
  for (const char* kind : {"one-shot", "linear", "cubic", "iterative"})
    EXPECT_TRUE((Schedule{.kind = schedule_named(kind), .begin = 0}.due(0, steps))) << kind;
  for (const char* kind : {"one-shot", "linear", "cubic", "iterative"})
    EXPECT_FALSE((Schedule{.kind = schedule_named(kind), .begin = 0.1}.due(0, steps))) << kind;
}

TEST(Schedule, NeverAsksForMoreThanBeforeAndEndsExactlyAtTheFinalDensity) {
  for (const char* kind : {"one-shot", "linear", "cubic", "iterative"})
    for (const double density : {0.1, 0.017, 1.0 / 3})
      for (const double begin : {0.0, 0.123})
        for (const double end : {begin, 0.77, 1.0})
          for (const Index of : {Index{7}, steps}) {
            const Index rounds = end > begin ? 5 : 1;  // a step each
            const Schedule schedule{.kind = schedule_named(kind),
                                    .density = density,
                                    .begin = begin,
                                    .end = end,
                                    .interval = 13,
                                    .rounds = rounds};
            settled(schedule);
            double before = 1, last_due = 1;
            for (Index step = 0; step <= of; ++step) {
              const double d = schedule.density_at(step, of);
              EXPECT_LE(d, before) << kind << ' ' << step;
              EXPECT_GE(d, density) << kind << ' ' << step;
              if (schedule.due(step, of)) last_due = d;
              before = d;
            }
            EXPECT_EQ(last_due, density) << kind << ' ' << density << ' ' << begin << ' ' << end << ' ' << of;
          }
}

TEST(Schedule, RejectsImpossibleNumbers) {
  const double not_a_number = std::nan("");
  const Schedule wrong[] = {
      {.density = 0},          {.density = 1.1}, {.density = not_a_number}, {.begin = -0.1}, {.begin = 0.7, .end = 0.6},
      {.begin = not_a_number}, {.end = 1.1},     {.interval = 0},           {.rounds = 0},   {.rounds = 1001}};
  for (const Schedule& schedule : wrong) EXPECT_THROW(settled(schedule), UsageError);
  EXPECT_EQ(settled(Schedule{}), Schedule{});
}

TEST(Schedule, RefusesToEndAfterTheTraining) {
  try {
    settled({.begin = 0.5, .end = 1.1});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_PRED2(testing::contains, error.what(), "begin <= end <= 1 of the training, got 0.5 and 1.1");
  }
}

TEST(Schedule, EveryKindHasAName) {
  using Kind = Schedule::Kind;
  for (const Kind kind : {Kind::one_shot, Kind::linear, Kind::cubic, Kind::iterative})
    EXPECT_EQ(schedule_named(name_of(kind)), kind);
  EXPECT_EQ(name_of(Kind::one_shot), "one-shot");
}

TEST(Schedule, ListsTheKnownKindsWhenAskedForAnother) {
  try {
    schedule_named("never");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    for (const char* part : {"one-shot", "linear", "cubic", "iterative", "\"never\""})
      EXPECT_PRED2(testing::contains, error.what(), part);
  }
}

}  // namespace
}  // namespace espalier
