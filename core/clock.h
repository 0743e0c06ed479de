// The one clock: seconds that have passed. For reports and progress lines; a training decides nothing by it, so that a
// run can be replayed to the bit.
#pragma once

#include <chrono>
#include <utility>

namespace espalier {

// Runs from the moment it is made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// How long work() takes.
template <typename Work>
double seconds_of(Work&& work) {
  const Stopwatch watch;
  std::forward<Work>(work)();
  return watch.seconds();
}

}  // namespace espalier
