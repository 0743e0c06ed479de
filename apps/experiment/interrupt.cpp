#include "espalier/experiment/interrupt.h"

#include <csignal>
#include <ctime>

namespace espalier {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;
volatile double interrupt_seconds = 0;  // when that was set by a signal
Index questions_left = -1;

}  // namespace

bool interrupted() {
  if (questions_left > 0 && --questions_left == 0) interrupt_flag = 1;
  return interrupt_flag != 0;
}

void interrupt_after(Index steps) {
  interrupt_flag = steps == 0;
  questions_left = steps;
}

void watch_for_interrupt() {
  const auto note = [](int signal) {
    // timeout(1) and the like send a signal to a process and to its group: the same one, twice.
    constexpr double same_signal = 0.2;
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const double seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
    if (interrupt_flag != 0 && seconds - interrupt_seconds > same_signal) {
      std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
      std::raise(signal);
    }
    if (interrupt_flag == 0) interrupt_seconds = seconds;
    interrupt_flag = 1;
  };
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
  if (std::signal(SIGHUP, note) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

void stop_when_asked_by_parent() {
  std::signal(SIGTERM, [](int) { interrupt_flag = 1; });
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
}

}  // namespace espalier
