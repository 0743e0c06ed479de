#include "espalier/experiment/interrupt.h"

#include <csignal>

namespace espalier {
namespace {

volatile std::sig_atomic_t interrupt_flag = 0;
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
    interrupt_flag = 1;
    std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
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
