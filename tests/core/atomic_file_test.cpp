// The order in which a file reaches the disk (core/atomic_file.h). What files hold: safetensors_test.cpp.
#include "espalier/core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/file_calls.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

std::vector<std::string> called;  // in order
std::string broken;               // the call that fails

bool fails(const std::string& call) {
  called.push_back(call);
  if (call != broken) return false;
  errno = ENOSPC;
  return true;
}

// Records every call, and hands it on unless it is the broken one.
class Recorded {
 public:
  explicit Recorded(const std::string& which_fails = {}) : before_(file_calls()) {
    called.clear();
    broken = which_fails;
    file_calls() = {
        .write = [](int file, const void* bytes, std::size_t count) -> ssize_t {
          return fails("write") ? -1 : ::write(file, bytes, count);
        },
        .fsync = [](int file) -> int {
          struct stat status = {};
          ::fstat(file, &status);
          return fails(S_ISDIR(status.st_mode) ? "fsync folder" : "fsync file") ? -1 : ::fsync(file);
        },
        .rename = [](const char* from, const char* to) -> int { return fails("rename") ? -1 : std::rename(from, to); }};
  }
  ~Recorded() { file_calls() = before_; }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

 private:
  FileCalls before_;
};

TEST(AtomicFile, ReachesTheDiskBeforeItGetsItsNameAndItsFolderAfterwards) {
  const testing::TemporaryFolder folder;
  {
    const Recorded recorded;
    write_file_atomically(folder.path() / "file", "contents");
  }
  EXPECT_EQ(called, (std::vector<std::string>{"write", "fsync file", "rename", "fsync folder"}));
  EXPECT_EQ(read_file(folder.path() / "file", 100), "contents");
}

TEST(AtomicFile, LeavesTheOldFileAndNothingElseWhenAStepFails) {
  for (const char* call : {"write", "fsync file", "rename"}) {
    const testing::TemporaryFolder folder;
    const auto file = folder.path() / "file";
    write_file_atomically(file, "old");
    std::string message = "no error";
    try {
      const Recorded recorded(call);
      write_file_atomically(file, "new");
    } catch (const FileError& error) {
      message = error.what();
    }
    EXPECT_NE(message.find("No space left on device"), std::string::npos) << call << ": " << message;
    EXPECT_NE(message.find(file.string()), std::string::npos) << call << ": " << message;
    EXPECT_EQ(called.back(), call) << "nothing follows the call that failed";
    EXPECT_EQ(read_file(file, 100), "old") << call;
    const auto entries = std::filesystem::directory_iterator(folder.path());
    EXPECT_EQ(std::distance(begin(entries), end(entries)), 1) << call << ": a temporary file was left";
  }
}

// Not every file system can do it, and the file is whole either way.
TEST(AtomicFile, DoesWithoutAFolderThatCannotBeSynchronised) {
  const testing::TemporaryFolder folder;
  {
    const Recorded recorded("fsync folder");
    write_file_atomically(folder.path() / "file", "contents");
  }
  EXPECT_EQ(read_file(folder.path() / "file", 100), "contents");
}

}  // namespace
}  // namespace espalier
