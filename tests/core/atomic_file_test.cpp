// The order in which a file reaches the disk (core/atomic_file.h). What files hold: safetensors_test.cpp.
#include "espalier/core/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <thread>
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

// --- what is no file of its own
// ----------------------------------------------------------------------------------------

using std::filesystem::create_symlink;
using std::filesystem::is_symlink;

std::size_t entries_of(const std::filesystem::path& folder) {
  const auto entries = std::filesystem::directory_iterator(folder);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

std::string complaint(const std::filesystem::path& file) {
  try {
    write_file_atomically(file, "contents");
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

TEST(AtomicFile, ReplacesWhatALinkLeadsToAndLeavesTheLink) {
  const testing::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "far");
  const auto real = folder.path() / "far" / "real", link = folder.path() / "link", chain = folder.path() / "chain";
  write_file_atomically(real, "old");
  create_symlink("far/real", link);
  create_symlink(link, chain);
  for (const auto& name : {link, chain}) {
    write_file_atomically(name, name.string());
    EXPECT_TRUE(is_symlink(name));
    EXPECT_FALSE(is_symlink(real));
    EXPECT_EQ(read_file(real, 1000), name.string());
  }
  EXPECT_EQ(entries_of(folder.path()), 3u);
  EXPECT_EQ(entries_of(folder.path() / "far"), 1u);
}

TEST(AtomicFile, MakesTheFileThatALinkLeadsToWhereThereIsNone) {
  const testing::TemporaryFolder folder;
  create_symlink("not-yet", folder.path() / "link");
  write_file_atomically(folder.path() / "link", "contents");
  EXPECT_TRUE(is_symlink(folder.path() / "link"));
  EXPECT_EQ(read_file(folder.path() / "not-yet", 100), "contents");
}

TEST(AtomicFile, RefusesACircleOfLinksAndAFolder) {
  const testing::TemporaryFolder folder;
  create_symlink("b", folder.path() / "a");
  create_symlink("a", folder.path() / "b");
  EXPECT_EQ(complaint(folder.path() / "a"),
            (folder.path() / "a").string() + ": expected symbolic links that end somewhere, found a circle");
  EXPECT_EQ(complaint(folder.path()), folder.path().string() + ": expected a file to write, found a folder");
}

TEST(AtomicFile, LeavesTheLinkAndItsTargetWhenAStepFails) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.path() / "real", "old");
  create_symlink("real", folder.path() / "link");
  {
    const Recorded recorded("rename");
    EXPECT_NE(complaint(folder.path() / "link").find("No space left on device"), std::string::npos);
  }
  EXPECT_TRUE(is_symlink(folder.path() / "link"));
  EXPECT_EQ(read_file(folder.path() / "real", 100), "old");
  EXPECT_EQ(entries_of(folder.path()), 2u);
}

TEST(AtomicFile, IsWrittenIntoAFifoWhoseReaderGetsAllOfIt) {
  const testing::TemporaryFolder folder;
  const auto fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::string contents(300'000, 'x');  // more than a pipe holds
  std::string received;
  std::jthread reader([&] {
    const int file = ::open(fifo.c_str(), O_RDONLY);
    char buffer[4096];
    for (ssize_t got; (got = ::read(file, buffer, sizeof buffer)) > 0;) received.append(buffer, buffer + got);
    ::close(file);
  });
  write_file_atomically(fifo, contents);
  reader.join();
  EXPECT_EQ(received, contents);
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  EXPECT_EQ(entries_of(folder.path()), 1u);
}

// By way of a link, so that a device is in no danger if this fails.
TEST(AtomicFile, IsWrittenIntoADeviceAndSaysWhyThatFails) {
  const testing::TemporaryFolder folder;
  const auto link = folder.path() / "link";
  create_symlink("/dev/full", link);
  EXPECT_EQ(complaint(link), link.string() + ": expected to write it, but writing failed: No space left on device");
  EXPECT_TRUE(is_symlink(link));
}

TEST(AtomicFile, KeepsThePermissionsOfTheFileThatItReplaces) {
  const testing::TemporaryFolder folder;
  const auto file = folder.path() / "file";
  write_file_atomically(file, "old");
  using std::filesystem::perms;
  std::filesystem::permissions(file, perms::owner_read | perms::owner_write);
  write_file_atomically(file, "new");
  EXPECT_EQ(std::filesystem::status(file).permissions(), perms::owner_read | perms::owner_write);
}

TEST(AtomicFile, ThatIsNeverFinishedLeavesWhatWasThere) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder.path() / "file", "old");
  {
    OutputFile half(folder.path() / "file");
    half.write("ne");
  }
  EXPECT_EQ(read_file(folder.path() / "file", 100), "old");
  EXPECT_EQ(entries_of(folder.path()), 1u);
}

}  // namespace
}  // namespace espalier
