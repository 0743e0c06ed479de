// Errors, told apart by type and, at the top of a program, by exit code.
//
//   UsageError        the caller's mistake: operation, expected, got                 exit code 2
//   FileError         the world's mistake: file, where in it, expected, found        exit code 3
//   InterruptedError  the user asked to stop                                         exit code 4
//   DivergedError     training produced NaN or Inf: layer and step                   exit code 5
//   anything else     a mistake in Espalier                                          exit code 1
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace espalier {

enum ExitCode : int {
  exit_done = 0,
  exit_internal = 1,
  exit_usage = 2,
  exit_file = 3,
  exit_interrupted = 4,
  exit_diverged = 5
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

struct UsageError final : Error {
  explicit UsageError(const std::string& message) : Error(exit_usage, message) {}
};

struct FileError final : Error {
  explicit FileError(const std::string& message) : Error(exit_file, message) {}
};

struct InterruptedError final : Error {
  explicit InterruptedError(const std::string& message) : Error(exit_interrupted, message) {}
};

struct DivergedError final : Error {
  explicit DivergedError(const std::string& message) : Error(exit_diverged, message) {}
};

// require(x.rows() == W.cols(), "[linear] {}: expected {} inputs, got {}", name, W.cols(), x.rows());
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> message, Args&&... args) {
  if (!condition) [[unlikely]]
    throw UsageError(fmt::format(message, std::forward<Args>(args)...));
}

}  // namespace espalier
