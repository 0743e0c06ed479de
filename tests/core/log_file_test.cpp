// A file that grows line by line and can be cut back (core/log_file.h).
#include "espalier/core/log_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

class Log : public ::testing::Test {
 protected:
  std::string text() { return read_file(file_, 1000); }
  testing::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "log";
};

TEST_F(Log, KeepsWhatCountsAndNothingBehindIt) {
  write_file_atomically(file_, "one\ntwo\nthree\n");
  LogFile log(file_);
  EXPECT_EQ(log.keep(8), 8u);
  EXPECT_EQ(text(), "one\ntwo\nthree\n") << "until something is appended";
  log.append("four\n");
  EXPECT_EQ(text(), "one\ntwo\nfour\n");
  EXPECT_EQ(log.bytes(), 13u);
  log.append("five\n");
  log.synchronise();
  EXPECT_EQ(text(), "one\ntwo\nfour\nfive\n");
}

TEST_F(Log, BeginsAnewUnlessToldOtherwise) {
  write_file_atomically(file_, "of another time\n");
  LogFile log(file_);
  log.append("now\n");
  EXPECT_EQ(text(), "now\n");
}

TEST_F(Log, SaysWhenThereIsLessThanThereShouldBe) {
  write_file_atomically(file_, "short\n");
  LogFile log(file_);
  EXPECT_EQ(log.keep(100), 6u);
  log.append("more\n");
  EXPECT_EQ(text(), "short\nmore\n");
}

TEST_F(Log, AppendsAllOrNothing) {
  LogFile log(file_);
  log.append("first\n");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{10, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(log.append("a line that is too long\n"), FileError);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(text(), "first\n");
  log.append("second\n");
  EXPECT_EQ(text(), "first\nsecond\n");
}

TEST_F(Log, NamesTheFileThatItCannotOpen) {
  try {
    LogFile log(folder_.path() / "no" / "log");
    FAIL() << "expected an error";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find((folder_.path() / "no" / "log").string()), std::string::npos);
  }
}

}  // namespace
}  // namespace espalier
