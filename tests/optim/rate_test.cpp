#include "espalier/optim/rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "espalier/core/error.h"
#include "support/text.h"

namespace espalier {
namespace {

constexpr Index steps = 200;

TEST(Rate, ConstantIsTheSameAtEveryStep) {
  for (Index step = 0; step < steps; ++step)
    EXPECT_EQ(rate_at({.schedule = "constant", .rate = 0.3}, step, steps), 0.3);
}

TEST(Rate, WarmUpRisesInEqualPartsToTheFullRateInEverySchedule) {
  for (const std::string schedule : {"constant", "step", "cosine"}) {
    const RateOptions options{.schedule = schedule, .rate = 0.4, .warmup = 0.1};  // 20 steps
    const double first = rate_at(options, 0, steps), rise = rate_at(options, 1, steps) - first;
    EXPECT_NEAR(first, 0.4 / 21, 1e-12) << schedule;
    for (Index step = 1; step <= 20; ++step)
      EXPECT_NEAR(rate_at(options, step, steps) - rate_at(options, step - 1, steps), rise, 1e-12)
          << schedule << ' ' << step;
    EXPECT_NEAR(rate_at(options, 20, steps), 0.4, 1e-12) << schedule;
    for (Index step = 21; step < steps; ++step)
      EXPECT_LE(rate_at(options, step, steps), rate_at(options, step - 1, steps)) << schedule << ' ' << step;
  }
}

TEST(Rate, CosineFallsFromTheRateThroughTheMiddleToTheFloor) {
  const RateOptions options{.schedule = "cosine", .rate = 0.2, .floor = 0.1};
  EXPECT_EQ(rate_at(options, 0, steps), 0.2);
  EXPECT_NEAR(rate_at(options, steps / 2, steps), 0.2 * (1 + 0.1) / 2, 1e-12);
  EXPECT_NEAR(rate_at(options, steps / 4, steps), 0.2 * (0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2), 1e-12);
  EXPECT_NEAR(rate_at(options, steps - 1, steps), 0.02, 0.02 * 0.001);
  for (Index step = 1; step < steps; ++step) {
    EXPECT_LT(rate_at(options, step, steps), rate_at(options, step - 1, steps));
    EXPECT_GT(rate_at(options, step, steps), 0.02);
  }
}

TEST(Rate, StepMultipliesByGammaAtEachMilestoneExactly) {
  const RateOptions options{.schedule = "step", .rate = 1, .gamma = 0.5, .milestones = {0.25, 0.75}};
  EXPECT_EQ(rate_at(options, 0, steps), 1);
  EXPECT_EQ(rate_at(options, 49, steps), 1);
  EXPECT_EQ(rate_at(options, 50, steps), 0.5);
  EXPECT_EQ(rate_at(options, 149, steps), 0.5);
  EXPECT_EQ(rate_at(options, 150, steps), 0.25);
  EXPECT_EQ(rate_at(options, 199, steps), 0.25);
}

TEST(Rate, IsPositiveEvenInARunOfOneStep) {
  for (const std::string schedule : {"constant", "step", "cosine"})
    EXPECT_GT(rate_at({.schedule = schedule, .rate = 0.4, .warmup = 0.9}, 0, 1), 0) << schedule;
}

TEST(Rate, RejectsImpossibleNumbers) {
  const double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const RateOptions wrong[] = {
      {.rate = 0},   {.rate = -1},     {.rate = not_a_number}, {.rate = std::numeric_limits<double>::infinity()},
      {.warmup = 1}, {.warmup = -0.1}, {.floor = 1.1},         {.floor = -0.1},
      {.gamma = 0},  {.gamma = 2}};
  for (const RateOptions& options : wrong) EXPECT_THROW(check_rate(options), UsageError);
  EXPECT_NO_THROW(check_rate({}));
}

TEST(Rate, ListsTheKnownSchedulesWhenAskedForAnother) {
  try {
    check_rate({.schedule = "linear"});
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    for (const char* part : {"constant", "step", "cosine", "\"linear\""})
      EXPECT_PRED2(testing::contains, error.what(), part);
  }
}

}  // namespace
}  // namespace espalier
