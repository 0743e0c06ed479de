#include "apps/tool/run_guarded.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <system_error>

#include "apps/tool/colour.h"
#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"

namespace espalier {
namespace {

// Not by fmt::print, which throws if standard error is closed.
int failed(const std::string& message, int code) {
  std::fputs((message + "\n").c_str(), stderr);
  return code;
}

// Were standard output or error closed, the next file to be opened would take its number, and what is printed would end
// in that file. Reserved like this, they cannot be written to.
void reserve_standard_descriptors() {
  int number = 0;
  while (number >= 0 && number <= STDERR_FILENO) number = ::open("/dev/null", O_RDONLY);
  if (number >= 0) ::close(number);
}

constexpr const char* unwritable = "error: standard output: cannot be written (disk full?)";

}  // namespace

int run_guarded(const std::function<int()>& body) {
  reserve_standard_descriptors();
  // A file that may not grow, and a pipe that is not read any more, are then errors of the write, which are reported.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = body();
    // What was printed may still be on its way, and has to arrive.
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) return failed(unwritable, exit_file);
    return code;
  } catch (const Error& error) {
    return failed(error_in_colours(fmt::format("error: {}", on_one_line(error.what())), shows_colours(stderr)),
                  error.code());
  } catch (const std::bad_alloc&) {
    return failed("error: out of memory", exit_internal);
  } catch (const std::system_error& error) {
    if (std::ferror(stdout)) return failed(unwritable, exit_file);
    if (std::ferror(stderr)) return exit_file;  // it could not be said
    return failed(fmt::format("internal error: {}", error.what()), exit_internal);
  } catch (const std::exception& error) {
    return failed(fmt::format("internal error: {}", error.what()), exit_internal);
  }
}

}  // namespace espalier
