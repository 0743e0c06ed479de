#include "espalier/optim/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

// What is captured is no terminal.
template <typename Work>
std::string said_by(Work&& work) {
  ::testing::internal::CaptureStderr();
  work();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Progress, SaysWithoutATerminalHowFarItIsAndHowLongItWillTake) {
  const std::string said = said_by([] {
    Progress progress("sparse", 1000, true, /*every=*/0);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    progress.update(250, "epoch 1/4  loss 0.5000");
    progress.clear();
  });
  EXPECT_PRED2(contains, said, "  sparse  25 %  epoch 1/4  loss 0.5000  ");
  EXPECT_TRUE(said.ends_with(" samples/s  0:00 left\n")) << said;
  EXPECT_EQ(said.find('\033'), std::string::npos) << "a log has no escape sequences: " << said;
}

TEST(Progress, SaysNothingBeforeItIsDueNorIfItIsNotWanted) {
  const std::string said = said_by([] {
    Progress soon("sparse", 10, true), never("sparse", 10, false, /*every=*/0);
    EXPECT_FALSE(soon.due());
    EXPECT_FALSE(never.due());
    soon.update(5, "");
    never.update(5, "");
  });
  EXPECT_EQ(said, "");
}

TEST(Progress, OfWaitingSaysWhatForAndStopsAtOnce) {
  EXPECT_EQ(said_by([] { const Waiting waiting("reading people.csv"); }), "");
  const std::string said = said_by([] {
    const Waiting waiting("reading people.csv", /*every=*/0.02);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  });
  EXPECT_TRUE(said.starts_with("  reading people.csv, 0:00 so far\n")) << said;
}

TEST(Progress, WritesTimesAsMinutesAndHours) {
  EXPECT_EQ(text_of_minutes(0.2), "0:00");
  EXPECT_EQ(text_of_minutes(65), "1:05");
  EXPECT_EQ(text_of_minutes(59.6), "1:00");
  EXPECT_EQ(text_of_minutes(7210), "2:00:10");
}

}  // namespace
}  // namespace espalier
