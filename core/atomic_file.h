// Whole files, in and out. A file that another process may be reading, or that the next run depends on, is never half
// there:
//
//   1. write    .espalier-PID-N.tmp     beside the target, hence on the same file system
//   2. fsync    .espalier-PID-N.tmp     the bytes are on the disk before the name is
//   3. rename   -> model.safetensors    in one step: a reader sees the old file or the new one
//   4. fsync    the folder              the new name is on the disk as well, where the file system can do that
//
// If any step fails the temporary file is removed and what stood under the target's name still stands there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace espalier {

// Throws FileError, one line: the path, what failed, and the system's reason.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

// The contents of a regular file. Throws FileError if it is missing, not a regular file, larger than limit_bytes, or
// ends before its size is reached.
std::string read_file(const std::filesystem::path& path, std::uintmax_t limit_bytes);

}  // namespace espalier
