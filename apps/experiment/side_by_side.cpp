#include "espalier/experiment/side_by_side.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <new>
#include <thread>

#include "espalier/core/error.h"
#include "espalier/experiment/interrupt.h"

namespace espalier {
namespace {

void print_to(const std::filesystem::path& log) {
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) throw FileError(fmt::format("{}: cannot be written", log.string()));
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  ::close(file);
}

int ended_with(const std::string& message, int code) {
  std::fputs((message + "\n").c_str(), stderr);
  return code;
}

int code_of(const Job& job) {
  try {
    print_to(job.log);
    job.body();
    return exit_done;
  } catch (const Error& error) {
    return ended_with(fmt::format("error: {}", error.what()), error.code());
  } catch (const std::bad_alloc&) {
    return ended_with("error: out of memory", exit_internal);
  } catch (const std::exception& error) {
    return ended_with(fmt::format("internal error: {}", error.what()), exit_internal);
  }
}

// In the process of the job, which ends here: nothing of what its parent still has to do may be done twice.
[[noreturn]] void be(const Job& job, pid_t parent) {
#if defined(__linux__)
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  stop_when_asked_by_parent();
  if (::getppid() != parent) ::_exit(exit_interrupted);
  const int code = code_of(job);
  std::fflush(stdout);
  std::fflush(stderr);
  ::_exit(code);
}

pid_t begin(const Job& job) {
  if (job.prepare) job.prepare();
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0) throw FileError(fmt::format("{}: a process for this run cannot be made", job.log.string()));
  if (child == 0) be(job, parent);
  return child;
}

std::string last_line_in(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  constexpr std::string_view before = "error: ";
  return last.starts_with(before) ? last.substr(before.size()) : last;
}

JobEnd end_of(std::size_t which, const Job& job, int status) {
  JobEnd end{.job = which};
  if (WIFSIGNALED(status)) {
    end.code = 128 + WTERMSIG(status);
    end.said = fmt::format("ended by signal {}{}", WTERMSIG(status),
                           WTERMSIG(status) == SIGKILL ? ", which also "
                                                         "happens where "
                                                         "memory runs out"
                                                       : "");
  } else {
    end.code = WEXITSTATUS(status);
    if (end.code != exit_done) end.said = last_line_in(job.log);
  }
  return end;
}

// The processes that run now.
class Running {
 public:
  explicit Running(std::span<const Job> jobs) : jobs_(jobs) {}
  ~Running() {  // an exception is on its way
    stop();
    wait_for_all([](const JobEnd&) {});
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  std::size_t count() const { return job_of_.size(); }
  void add(std::size_t job) { job_of_[begin(jobs_[job])] = job; }
  void stop() const {
    for (const auto& [process, job] : job_of_) ::kill(process, SIGTERM);
  }
  template <typename Ended>
  void collect(Ended&& ended) {
    for (auto at = job_of_.begin(); at != job_of_.end();) {
      int status = 0;
      const pid_t found = ::waitpid(at->first, &status, WNOHANG);
      if (found == 0 || (found < 0 && errno == EINTR)) {
        ++at;
        continue;
      }
      const std::size_t job = at->second;
      at = job_of_.erase(at);
      ended(end_of(job, jobs_[job], status));
    }
  }
  template <typename Ended>
  void wait_for_all(Ended&& ended) {
    for (; count() > 0; pause()) collect(ended);
  }
  static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }

 private:
  std::span<const Job> jobs_;
  std::map<pid_t, std::size_t> job_of_;
};

}  // namespace

void run_side_by_side(std::span<const Job> jobs, std::size_t at_a_time,
                      const std::function<void(const JobEnd&)>& ended) {
  Running running(jobs);
  bool stopped = false;
  const auto note = [&](const JobEnd& end) {
    stopped |= end.code == exit_interrupted;
    ended(end);
  };
  for (std::size_t next = 0; next < jobs.size() || running.count() > 0; Running::pause()) {
    stopped |= interrupted();
    if (stopped) break;
    while (next < jobs.size() && running.count() < at_a_time) running.add(next++);
    running.collect(note);
  }
  if (stopped) {
    running.stop();
    running.wait_for_all(note);
    throw InterruptedError("interrupted");
  }
}

}  // namespace espalier
