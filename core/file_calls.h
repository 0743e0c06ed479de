// The system calls that make a file durable, replaceable so that tests can watch their order and let them fail
// (tests/core/atomic_file_test.cpp). Used by core/atomic_file.cpp only.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace espalier {

struct FileCalls {
  ssize_t (*write)(int file, const void* bytes, std::size_t count);
  int (*fsync)(int file);
  int (*rename)(const char* from, const char* to);
};

// Those of the system, unless a test replaced them. Not to be changed while files are written.
FileCalls& file_calls();

}  // namespace espalier
