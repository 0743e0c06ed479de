// Whole files, in and out. A file that another process may be reading, or that the next run depends on, is never half
// there:
//
//   1. write    .espalier-PID-N.tmp     beside the target, hence on the same file system
//   2. fsync    .espalier-PID-N.tmp     the bytes are on the disk before the name is
//   3. rename   -> model.safetensors    in one step: a reader sees the old file or the new one
//   4. fsync    the folder              the new name is on the disk as well, where the file system can do that
//
// If any step fails the temporary file is removed and what stood under the target's name still stands there.
//
// A symbolic link stays one: the target is what it leads to. A FIFO, a terminal or another device is no file that could
// be replaced, and is written into as it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace espalier {

// A file that is written piece by piece. Every function throws FileError, one line: the path, what failed, and the
// system's reason.
class OutputFile final {
 public:
  // Opens it, which waits for a reader if it is a FIFO.
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();  // without finish(), steps 3 and 4 do not take place
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view contents);
  void finish();  // the last call

 private:
  void create_temporary();
  std::filesystem::path path_;       // as messages call it
  std::filesystem::path target_;     // what is replaced; empty: path_ is written into
  std::filesystem::path temporary_;  // what replaces it, until then
  int file_ = -1;
};

// The whole of it in one piece.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

// Removes the temporary files that processes of this machine have left in a folder and that no longer run: were they
// killed, step 3 did not take place. To be called where no other thread is writing.
void remove_stale_temporaries(const std::filesystem::path& folder);

// Where a chain of symbolic links ends; nothing need stand there. Throws FileError for a circle.
std::filesystem::path link_target(std::filesystem::path path);

// The contents of a regular file. Throws FileError if it is missing, not a regular file, larger than limit_bytes, or
// ends before its size is reached.
std::string read_file(const std::filesystem::path& path, std::uintmax_t limit_bytes);

}  // namespace espalier
