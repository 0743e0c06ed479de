#include "espalier/optim/rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr Index steps = 200;
constexpr RateSchedule all[] = {RateSchedule::constant, RateSchedule::step, RateSchedule::cosine};

TEST(Rate, ConstantIsTheSameAtEveryStep) {
  for (Index step = 0; step < steps; ++step)
    EXPECT_EQ(rate_at({.schedule = RateSchedule::constant, .rate = 0.3}, step, steps), 0.3);
}

TEST(Rate, WarmUpRisesInEqualPartsToTheFullRateInEverySchedule) {
  for (const RateSchedule schedule : all) {
    const RateOptions options{.schedule = schedule, .rate = 0.4, .warmup = 0.1};  // 20 steps
    const double first = rate_at(options, 0, steps), rise = rate_at(options, 1, steps) - first;
    EXPECT_NEAR(first, 0.4 / 21, 1e-12) << name_of(schedule);
    for (Index step = 1; step <= 20; ++step)
      EXPECT_NEAR(rate_at(options, step, steps) - rate_at(options, step - 1, steps), rise, 1e-12)
          << name_of(schedule) << ' ' << step;
    EXPECT_NEAR(rate_at(options, 20, steps), 0.4, 1e-12) << name_of(schedule);
    for (Index step = 21; step < steps; ++step)
      EXPECT_LE(rate_at(options, step, steps), rate_at(options, step - 1, steps)) << name_of(schedule) << ' ' << step;
  }
}

TEST(Rate, CosineFallsFromTheRateThroughTheMiddleToTheFloor) {
  const RateOptions options{.schedule = RateSchedule::cosine, .rate = 0.2, .floor = 0.1};
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
  const RateOptions options{.schedule = RateSchedule::step, .rate = 1, .gamma = 0.5, .milestones = {0.25, 0.75}};
  EXPECT_EQ(rate_at(options, 0, steps), 1);
  EXPECT_EQ(rate_at(options, 49, steps), 1);
  EXPECT_EQ(rate_at(options, 50, steps), 0.5);
  EXPECT_EQ(rate_at(options, 149, steps), 0.5);
  EXPECT_EQ(rate_at(options, 150, steps), 0.25);
  EXPECT_EQ(rate_at(options, 199, steps), 0.25);
}

TEST(Rate, IsPositiveEvenInARunOfOneStep) {
  for (const RateSchedule schedule : all)
    EXPECT_GT(rate_at({.schedule = schedule, .rate = 0.4, .warmup = 0.9}, 0, 1), 0) << name_of(schedule);
}

TEST(Rate, OptionsAreSettledUnlessANumberIsImpossibleWhichIsNamed) {
  const double not_a_number = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::pair<const char*, RateOptions> wrong[] = {{"[rate] rate: ", {.rate = 0}},
                                                       {"[rate] rate: ", {.rate = -1}},
                                                       {"[rate] rate: ", {.rate = not_a_number}},
                                                       {"[rate] rate: ", {.rate = infinity}},
                                                       {"[rate] warmup: ", {.warmup = 1}},
                                                       {"[rate] warmup: ", {.warmup = -0.1}},
                                                       {"[rate] floor: ", {.floor = 1.1}},
                                                       {"[rate] floor: ", {.floor = -0.1}},
                                                       {"[rate] gamma: ", {.gamma = 0}},
                                                       {"[rate] gamma: ", {.gamma = 2}},
                                                       {"[rate] milestones: ", {.milestones = {0.5, 1.5}}}};
  for (const auto& [where, options] : wrong) {
    try {
      settled(options);
      ADD_FAILURE() << where << "was accepted";
    } catch (const UsageError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with(where)) << error.what();
    }
  }
  const RateOptions possible = settled({.schedule = RateSchedule::step, .rate = 0.3, .milestones = {0, 1}});
  EXPECT_EQ(possible.rate, 0.3);
  EXPECT_EQ(possible.milestones, (std::vector<double>{0, 1}));
}

TEST(Rate, SchedulesHaveNamesAndAnUnknownOneListsThem) {
  for (const RateSchedule schedule : all) EXPECT_EQ(rate_schedule_named(name_of(schedule)), schedule);
  try {
    rate_schedule_named("linear");
    FAIL() << "expected an error";
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()), "[rate] schedule: expected constant, step or cosine, got \"linear\"");
  }
}

}  // namespace
}  // namespace espalier
