// Gzipped files that are far larger than they look: read by a process that may have little memory and few seconds.
// tests/memory.sh measures what all readers take.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "espalier/core/error.h"
#include "espalier/datasets/csv.h"
#include "espalier/datasets/idx.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/text.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitized = false;
#endif

class Bombs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "a sanitizer's addresses are not limited";
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  // The beginning, and then this piece so many times.
  std::string zipped(const std::string& name, const std::string& beginning, const std::string& piece, int times) const {
    const gzFile file = gzopen(path(name).c_str(), "wb1");
    gzwrite(file, beginning.data(), static_cast<unsigned>(beginning.size()));
    for (int i = 0; i < times; ++i) gzwrite(file, piece.data(), static_cast<unsigned>(piece.size()));
    gzclose(file);
    return path(name);
  }
  // What a process comes to that may have a hundred megabytes more than this one has, and ten seconds.
  static int code_of(const std::function<void()>& read) {
    const pid_t child = ::fork();
    if (child == 0) {
      constexpr rlim_t more_bytes = 100 << 20;
      Index pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      const rlim_t addresses = static_cast<rlim_t>(pages * ::sysconf(_SC_PAGESIZE)) + more_bytes;
      const rlimit limit{.rlim_cur = addresses, .rlim_max = addresses};
      ::setrlimit(RLIMIT_AS, &limit);
      ::alarm(10);
      try {
        read();
        ::_exit(exit_done);
      } catch (const FileError& error) {
        std::fprintf(stderr, "%s\n", error.what());
        ::_exit(exit_file);
      } catch (...) {
        ::_exit(exit_internal);
      }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  static void read_csv(const std::string& file) {
    CsvReader reader{std::filesystem::path(file)};
    while (reader.next()) continue;
  }
  const testing::TemporaryFolder folder_;
  const std::string megabyte_ = std::string(1 << 20, 'a');
};

TEST_F(Bombs, OfOneLineAreRefusedWhereItGetsTooLong) {
  for (const char* beginning : {"x,y\n1,", "x,y\n1,\"", "# "}) {
    const std::string file = zipped("line.csv.gz", beginning, megabyte_, 200);
    EXPECT_EQ(code_of([&] { read_csv(file); }), exit_file) << beginning;
  }
  const std::string file = zipped("line.svm.gz", "1 1:1\n", megabyte_, 200);
  EXPECT_EQ(code_of([&] { load_libsvm(file, {}, {}); }), exit_file);
}

TEST_F(Bombs, OfManyRowsAreReadInTheMemoryOfAFew) {
  std::string rows;
  while (rows.size() < megabyte_.size()) rows += "1,2\n";
  const std::string file = zipped("rows.csv.gz", "x,y\n", rows, 150);
  EXPECT_EQ(code_of([&] { read_csv(file); }), exit_done);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 20);
  EXPECT_EQ(code_of([&] { read_csv(file); }), exit_file) << "it ends too early";
}

TEST_F(Bombs, OfMoreThanThereIsMemoryAreRefused) {
  const std::string images = zipped("images.gz", std::string("\0\0\x08\x03\0\0\x04\0\0\0\x04\0\0\0\x01\0", 16),
                                    std::string(1 << 20, '\0'), 256);  // [1024, 1024, 256]
  EXPECT_EQ(code_of([&] { read_idx(images, 3); }), exit_file);
  std::filesystem::resize_file(images, std::filesystem::file_size(images) / 8);
  EXPECT_EQ(code_of([&] { read_idx(images, 3); }), exit_file) << "it ends too early";
  const std::string text = zipped("text.gz", "b", megabyte_, 200);
  EXPECT_EQ(code_of([&] { load_text(text); }), exit_file);
  const std::string promise =
      zipped("promise.gz", std::string("\0\0\x08\x03\0\x20\0\0\0\0\0\x20\0\0\0\x1f", 16), "0", 1);
  EXPECT_EQ(code_of([&] { read_idx(promise, 3); }), exit_file) << "2^31 bytes, so it says";
}

}  // namespace
}  // namespace espalier
