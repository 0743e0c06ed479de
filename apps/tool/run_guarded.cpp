#include "apps/tool/run_guarded.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <system_error>

#include "apps/tool/colour.h"
#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"

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

// One line that a person can read, whatever was on the command line or in a file.
std::string line_of(std::string_view message) {
  constexpr std::size_t most_bytes = 2000, shown_bytes = 900;
  const std::string line = on_one_line(message);
  if (line.size() <= most_bytes) return line;
  const std::string begin = line.substr(0, utf8_prefix(std::string_view(line).substr(0, shown_bytes)));
  std::size_t end = line.size() - shown_bytes;
  while (end < line.size() && utf8_character(std::string_view(line).substr(end)) == 0) ++end;
  return fmt::format("{} ... ({} bytes more) ... {}", begin, end - begin.size(), line.substr(end));
}

// Whether a stream that could not be written is a pipe, or a socket, that is not read any more.
bool reader_left(std::FILE* stream) {
  pollfd asked{.fd = ::fileno(stream), .events = POLLOUT, .revents = 0};
  return std::ferror(stream) && ::poll(&asked, 1, /*milliseconds=*/0) > 0 && (asked.revents & (POLLERR | POLLHUP));
}

// What `espalier trace | head` leaves unread is not missed: like other programs, this one then ends without a word.
int unwritten() {
  if (reader_left(stdout)) return exit_closed_pipe;
  return failed("error: standard output: cannot be written (disk full?)", exit_file);
}

}  // namespace

int run_guarded(const std::function<int()>& body) {
  reserve_standard_descriptors();
  // A file that may not grow, and a pipe that is not read any more, are then errors of the write: what is being done
  // with other files comes to a good end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = body();
    // What was printed may still be on its way, and has to arrive.
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) return unwritten();
    return code;
  } catch (const Error& error) {
    if (reader_left(stdout)) return exit_closed_pipe;
    return failed(error_in_colours("error: " + line_of(error.what()), shows_colours(stderr)), error.code());
  } catch (const std::bad_alloc&) {
    return failed("error: out of memory", exit_internal);
  } catch (const std::system_error& error) {
    if (std::ferror(stdout)) return unwritten();
    if (std::ferror(stderr)) return reader_left(stderr) ? exit_closed_pipe : exit_file;  // it could not be said
    return failed(fmt::format("internal error: {}", error.what()), exit_internal);
  } catch (const std::exception& error) {
    return failed(fmt::format("internal error: {}", error.what()), exit_internal);
  }
}

}  // namespace espalier
