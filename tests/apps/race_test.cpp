// Successive halving on made-up candidates: what they reach, and how long they take, is written down here.
#include "espalier/experiment/race.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// Reaches `floor` + `slope` / passes over the data, in `seconds` for each of them.
struct Pupil {
  double floor, slope = 1;
  Index nonzeros = 100;
  double seconds = 1;
  Outcome outcome = Outcome::trained;
};

struct Lesson {
  std::size_t candidate;
  Length length;
  bool operator==(const Lesson& other) const {
    return candidate == other.candidate && length.epochs == other.length.epochs && length.rows == other.length.rows;
  }
};

constexpr Index all_rows = 100000;

struct School {
  std::vector<Pupil> pupils;
  std::vector<Lesson> lessons = {};
  std::size_t stop_at = 1000;  // lessons

  Heat train(std::size_t c, Length length) {
    if (lessons.size() == stop_at) throw InterruptedError("enough");
    lessons.push_back({c, length});
    const Pupil& p = pupils[c];
    const double passes =
        static_cast<double>(length.epochs) * static_cast<double>(length.rows) / static_cast<double>(all_rows);
    return {.candidate = c,
            .epochs = length.epochs,
            .rows = length.rows,
            .error = p.floor + p.slope / passes,
            .nonzeros = p.nonzeros,
            .seconds = p.seconds * passes,
            .step_seconds = p.seconds * passes,
            .outcome = p.outcome};
  }
  Race race(RaceOptions options) {
    options.rows = all_rows;
    if (options.longest.empty()) options.longest.assign(pupils.size(), 1000);
    return run_race([this](std::size_t c, Length length) { return train(c, length); }, options);
  }
};

std::vector<std::size_t> order_of(const Rung& rung) {
  std::vector<std::size_t> order;
  for (const Heat& heat : rung.heats) order.push_back(heat.candidate);
  return order;
}

double seconds_of(const Race& race) {
  double seconds = 0;
  for (const Rung& rung : race.rungs)
    for (const Heat& heat : rung.heats) seconds += heat.seconds;
  return seconds;
}

using Order = std::vector<std::size_t>;

TEST(Race, HalvesTheCandidatesAndDoublesTheEpochs) {
  School school{{{0.5}, {0.1}, {0.4}, {0.2}, {0.3}}};
  const Race race = school.race({.epochs = 8});
  ASSERT_EQ(race.rungs.size(), 3u);
  EXPECT_EQ(race.rungs[0].length.epochs, 2);
  EXPECT_EQ(race.rungs[1].length.epochs, 4);
  EXPECT_EQ(race.rungs[2].length.epochs, 8);
  EXPECT_EQ(order_of(race.rungs[0]), (Order{1, 3, 4, 2, 0}));
  EXPECT_EQ(order_of(race.rungs[1]), (Order{1, 3, 4}));
  EXPECT_EQ(order_of(race.rungs[2]), (Order{1, 3}));
  EXPECT_EQ(race.winner.candidate, 1u);
  EXPECT_FALSE(race.interrupted);
}

// Invariant 1.
TEST(Race, WithoutAClockSecondsDoNotMatter) {
  School quick{{{0.1}, {0.2}, {0.3}}}, slow{{{0.1, 1, 100, 1e6}, {0.2, 1, 100, 1}, {0.3, 1, 100, 1e-6}}};
  const Race first = quick.race({.epochs = 4, .seconds = 1e-9}), second = slow.race({.epochs = 4});
  EXPECT_EQ(quick.lessons, slow.lessons);
  EXPECT_EQ(first.winner.candidate, second.winner.candidate);
}

TEST(Race, ACandidateThatIsSlowAtFirstGoesInTheFirstRung) {
  const std::vector<Pupil> pupils{{0.2, 0.1}, {0.0, 18}, {0.3, 0.1}};
  School halving{pupils}, patient{pupils};
  EXPECT_EQ(halving.race({.epochs = 100}).winner.candidate, 0u);
  EXPECT_EQ(patient.race({.rungs = 1, .epochs = 100}).winner.candidate, 1u);
}

TEST(Race, RungsAreNeverMoreThanThereAreEpochsToHalve) {
  School school{std::vector<Pupil>(16, Pupil{0.1})};
  const Race race = school.race({.epochs = 3});
  ASSERT_EQ(race.rungs.size(), 2u);
  EXPECT_EQ(race.rungs[0].length.epochs, 1);
  EXPECT_EQ(race.rungs[1].length.epochs, 3);
}

TEST(Race, TheSmallestWithinTheToleranceWins) {
  const std::vector<Pupil> pupils{{0.100, 0, 1000}, {0.109, 0, 500}, {0.111, 0, 10}};
  const auto winner = [&](double tolerance) {
    School school{pupils};
    const Race race = school.race({.rungs = 1, .epochs = 1, .tolerance = tolerance});
    EXPECT_EQ(race.best.candidate, 0u);
    return race.winner.candidate;
  };
  EXPECT_EQ(winner(0), 0u);
  EXPECT_EQ(winner(0.1), 1u);
  EXPECT_EQ(winner(0.2), 2u);
}

TEST(Race, OfEqualCandidatesTheSmallerStaysAndThenTheFirst) {
  School school{{{0.1, 1, 300}, {0.1, 1, 100}, {0.1, 1, 200}, {0.1, 1, 200}}};
  const Race race = school.race({.epochs = 4});
  EXPECT_EQ(order_of(race.rungs[0]), (Order{1, 2, 3, 0}));
  EXPECT_EQ(order_of(race.rungs[1]), (Order{1, 2}));
}

// Invariant 2.
TEST(Race, WhoDivergesOrIsRefusedLosesAndTheOthersRaceOn) {
  School school{{{0, 0, 1, 1, Outcome::diverged}, {0.3}, {0, 0, 1, 1, Outcome::refused}, {0.2}, {0.4}}};
  for (const Index epochs : {Index{4}, Index{0}}) {  // and with a clock
    const Race race = school.race({.longest = {8, 8, 8, 8, 8}, .epochs = epochs, .seconds = 100});
    EXPECT_EQ(race.winner.candidate, 3u);
    EXPECT_EQ(order_of(race.rungs[0]), (Order{3, 1, 4, 0, 2}));
    for (const Rung& rung : race.rungs)
      for (const Heat& heat : rung.heats) EXPECT_TRUE(!heat.stays || heat.outcome == Outcome::trained);
  }
}

// Invariant 4.
TEST(Race, IfALaterRungDivergesAnEarlierTrainingWins) {
  School school{{{0.1}, {0.2}, {0.3}, {0.4}}};
  const Race race = run_race(
      [&](std::size_t c, Length length) {
        Heat heat = school.train(c, length);
        if (length.epochs > 1) heat.outcome = Outcome::diverged;
        return heat;
      },
      {.rows = all_rows, .longest = {9, 9, 9, 9}, .epochs = 2});
  EXPECT_EQ(race.winner.candidate, 0u);
  EXPECT_EQ(race.winner.epochs, 1);
}

// Invariant 4: longer is not better where rows are learnt by heart.
TEST(Race, AllRungsCount) {
  for (const Index epochs : {Index{8}, Index{0}}) {  // and with a clock
    School school{{{0.3}, {0.5, -0.2}, {0.6, -0.2}, {0.7}}};
    const Race race = school.race({.longest = {8, 8, 8, 8}, .epochs = epochs, .seconds = 1000});
    EXPECT_EQ(race.winner.candidate, 1u);
    EXPECT_EQ(race.winner.epochs, race.rungs.front().length.epochs);
    EXPECT_EQ(race.winner.error, race.rungs.front().heats.front().error);
  }
}

TEST(Race, IsAnErrorIfNobodyCanBeTrained) {
  School diverged{{{0, 0, 1, 1, Outcome::diverged}, {0, 0, 1, 1, Outcome::refused}}},
      refused{{{0, 0, 1, 1, Outcome::refused}, {0, 0, 1, 1, Outcome::refused}}}, nobody{{}};
  for (const Index epochs : {Index{4}, Index{0}}) {
    EXPECT_THROW(diverged.race({.epochs = epochs}), DivergedError);
    EXPECT_THROW(refused.race({.epochs = epochs}), UsageError);
    EXPECT_THROW(nobody.race({.epochs = epochs}), UsageError);
  }
}

// Invariant 3.
TEST(Race, NobodyIsTrainedLongerThanItsOwnTraining) {
  School school{{{0, 0.1}, {0.2}, {0.3}, {0.4}}};
  const Race race = school.race({.longest = {3, 9, 9, 9}, .epochs = 8});
  for (const Lesson& lesson : school.lessons) EXPECT_LE(lesson.length.epochs, lesson.candidate == 0 ? 3 : 9);
  EXPECT_EQ(race.rungs.back().heats.front().epochs, 3);
}

TEST(Race, AClockIsKept) {
  for (const double seconds : {30.0, 100.0, 1000.0}) {
    School school{{{0.1, 1, 100, 1}, {0.2, 1, 100, 3}, {0.3, 1, 100, 0.5}, {0.4, 1, 100, 2}, {0.5, 1, 100, 1}}};
    const Race race = school.race({.seconds = seconds});
    EXPECT_LE(seconds_of(race), seconds);
    EXPECT_GT(seconds_of(race), 0.5 * seconds);
    EXPECT_GE(race.rungs.size(), 2u);
    EXPECT_EQ(race.winner.candidate, 0u);
    for (std::size_t r = 1; r < race.rungs.size(); ++r)
      EXPECT_GT(race.rungs[r].length.epochs, race.rungs[r - 1].length.epochs);
  }
}

// Invariant 5.
TEST(Race, WithLittleTimeThoseOfTheLastPlacesStayOut) {
  School school{std::vector<Pupil>(8, Pupil{0.1, 1, 100, 1})};
  school.pupils.back().floor = 0;  // the best one
  const Race race = school.race({.longest = std::vector<Index>(8, 32), .seconds = 40});
  EXPECT_LT(race.rungs.front().heats.size(), 5u);
  for (const Rung& rung : race.rungs)
    for (const Heat& heat : rung.heats) EXPECT_GE(heat.epochs, 3);
  EXPECT_LE(seconds_of(race), 40);
  EXPECT_GT(seconds_of(race), 28);
  const Race patient = school.race({.longest = std::vector<Index>(8, 32), .seconds = 1000});
  EXPECT_EQ(patient.rungs.front().heats.size(), 8u);
  EXPECT_EQ(patient.winner.candidate, 7u);
}

TEST(Race, TheCandidatesOfARungHaveTheSameSeconds) {
  School school{{{0.1, 1, 100, 1}, {0.2, 1, 100, 4}, {0.3, 1, 100, 0.1}}};
  const Race race = school.race({.longest = {300, 300, 30}, .seconds = 120});
  for (const Heat& heat : race.rungs.front().heats) {
    if (heat.candidate == 2)
      EXPECT_EQ(heat.epochs, 3);  // a ninth of its own 30
    else
      EXPECT_NEAR(heat.seconds, 19, 4);
  }
}

TEST(Race, WithTimeForEverythingNoCandidateHasToGo) {
  School school{{{0.1}, {0.2}, {0.3}}};
  const Race race = school.race({.longest = {9, 18, 9}, .seconds = 100});
  ASSERT_EQ(race.rungs.size(), 3u);
  constexpr Index epochs[] = {2, 6, 18};
  for (std::size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(race.rungs[r].length.epochs, epochs[r]);
    EXPECT_EQ(race.rungs[r].heats.size(), 3u);
  }
}

TEST(Race, OneCandidateIsTriedAtSeveralLengths) {
  School school{{{0.5, -0.1}}};
  const Race race = school.race({.longest = {9}, .seconds = 100});
  ASSERT_EQ(race.rungs.size(), 3u);
  EXPECT_EQ(race.winner.epochs, 1);
}

TEST(Race, WithoutTimeForAnEpochItRacesOnAPartOfTheRows) {
  School school{{{0.1, 1, 100, 100}, {0.2, 1, 100, 100}}};
  const Race race = school.race({.seconds = 30});
  ASSERT_EQ(race.rungs.size(), 1u);
  EXPECT_EQ(race.rungs[0].length.epochs, 1);
  EXPECT_GT(race.rungs[0].length.rows, all_rows / 20);
  EXPECT_LT(race.rungs[0].length.rows, all_rows / 5);
  EXPECT_LE(seconds_of(race), 30);
}

TEST(Race, WithNextToNoTimeWhatWasTimedIsTheFirstRung) {
  School school{{{0.1, 1, 100, 100}, {0.2, 1, 100, 100}, {0.3, 1, 100, 100}, {0.4, 1, 100, 100}}};
  const Race race = school.race({.seconds = 0.1});
  EXPECT_EQ(school.lessons.size(), 3u);  // two, and a third that there is no time for either
  ASSERT_EQ(race.rungs.size(), 1u);
  EXPECT_EQ(race.winner.candidate, 0u);
}

TEST(Race, WithoutTimeForAnEpochOfAllTheFirstTwoRaceOnMoreRows) {
  // Three of them are timed, for a second each.
  School school{std::vector<Pupil>(8, Pupil{0.1, 1, 100, 50})};
  const Race race = school.race({.seconds = 14});
  ASSERT_EQ(race.rungs.size(), 1u);
  EXPECT_EQ(order_of(race.rungs[0]), (Order{0, 1}));
  EXPECT_GT(race.rungs[0].length.rows, 5000);
  EXPECT_LE(seconds_of(race) + 3, 14.5);
}

TEST(Race, InterruptedItSaysWhoLedTheLastWholeRung) {
  const std::vector<Pupil> pupils{{0.3}, {0.1}, {0.2}, {0.4}};
  for (const std::size_t stop_at : {2u, 5u}) {
    School school{.pupils = pupils, .stop_at = stop_at};
    const Race race = school.race({.epochs = 4});
    EXPECT_TRUE(race.interrupted);
    EXPECT_EQ(race.rungs.size(), 1u);
    EXPECT_EQ(race.winner.candidate, 1u);
  }
  School at_once{.pupils = pupils, .stop_at = 0};
  EXPECT_THROW(at_once.race({.epochs = 4}), InterruptedError);
}

}  // namespace
}  // namespace espalier
