// A file that grows line by line while a program runs, and can be cut back to where it was at an earlier moment.
//
//   what a program that was killed has written      | | | | | | | |
//   what its checkpoint knows of                     | | | | |
//   a program that goes on from there, cut to that   | | | | |       then its own lines, and none of them twice
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace espalier {

class LogFile final {
 public:
  // Opens or makes it, and leaves what is in it. Every function throws FileError, one line.
  explicit LogFile(std::filesystem::path path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Of what is in the file, only so many bytes count; 0 when it is opened. What stands behind is cut off by the next
  // append. Returns the bytes that there are, if they are fewer.
  std::uintmax_t keep(std::uintmax_t bytes);
  // Behind what counts: all of it or, if it throws, nothing.
  void append(std::string_view text);
  void synchronise();                              // what was appended is on the disk
  std::uintmax_t bytes() const { return bytes_; }  // that count

 private:
  std::filesystem::path path_;
  int file_ = -1;
  std::uintmax_t bytes_ = 0;
  bool cut_ = false;  // nothing stands behind them
};

}  // namespace espalier
