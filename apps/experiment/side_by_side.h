// Trainings side by side: each in a process of its own, so many at a time.
//
//   this process    fork ──► job 1   on one thread, its words in a log of its own
//                   fork ──► job 2
//                   wait, one ends, fork ──► job 3 ...
//
// A process and not a thread, for what one job does to itself (it runs out of memory, it is killed, it diverges) it
// does to itself alone. What was loaded before the fork is shared and not copied. A job must keep to one thread: the
// threads of the process that it came from do not exist in it.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace espalier {

struct Job {
  std::filesystem::path log;      // where what it prints goes
  std::function<void()> prepare;  // done here, before the job has its process; null: nothing
  std::function<void()> body;     // done there; an Error ends it with that error's exit code
};

struct JobEnd {
  std::size_t job = 0;
  int code = 0;           // exit code; 128 + the signal that ended it
  std::string said = {};  // of one that failed: the last line that it printed
};

// Runs all jobs, begun in their order, up to `at_a_time` of them at once; `ended` is called here whenever one has
// ended. When this process is asked to stop (interrupt.h) so are they; after the last has ended InterruptedError is
// thrown. If this process is killed, they are asked to stop as well.
void run_side_by_side(std::span<const Job> jobs, std::size_t at_a_time,
                      const std::function<void(const JobEnd&)>& ended);

}  // namespace espalier
