#include "espalier/optim/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace espalier {
namespace {

constexpr double redrawn_every_seconds = 0.1, counted_every_seconds = 1;
constexpr const char* to_an_empty_line = "\r\033[K";

// Not by fmt::print, which throws if standard error is closed: that is no reason to end a training.
void say(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string text_of_minutes(double seconds) {
  const auto all = static_cast<Index>(seconds + 0.5);
  const Index hours = all / 3600, minutes = all / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, all % 60)
                   : fmt::format("{}:{:02}", minutes, all % 60);
}

Progress::Progress(std::string label, Index total_samples, bool wanted, double every)
    : label_(std::move(label)),
      total_(total_samples),
      wanted_(wanted),
      terminal_(isatty(STDERR_FILENO) == 1),
      every_(every) {}

bool Progress::due() const {
  return wanted_ && since_said_.seconds() > (terminal_ ? redrawn_every_seconds : every_);
}

void Progress::update(Index done, const std::string& note) {
  if (!due()) return;
  since_said_ = Stopwatch();
  const double seconds = since_start_.seconds();
  const double fraction = static_cast<double>(done) / static_cast<double>(total_);
  const std::string rest =
      fmt::format("{:3.0f} %  {}  {:.0f} samples/s  {} left", 100 * fraction, note, static_cast<double>(done) / seconds,
                  text_of_minutes(seconds / fraction * (1 - fraction)));
  if (!terminal_) return say(fmt::format("  {:<7}{}\n", label_, rest));
  constexpr int width = 24;
  const int filled = static_cast<int>(fraction * width);
  say(fmt::format("{}{} [{:=<{}}{: <{}}] {}", to_an_empty_line, label_, "", filled, "", width - filled, rest));
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) say(to_an_empty_line);
  drawn_ = false;
}

Waiting::Waiting(std::string what, double every)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1), every_(every), thread_([this] { tell(); }) {}

Waiting::~Waiting() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void Waiting::tell() {
  const std::chrono::duration<double> pause(terminal_ ? counted_every_seconds : every_);
  bool drawn = false;
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, pause, [this] { return over_; })) {
    const std::string text = fmt::format("{}, {} so far", what_, text_of_minutes(since_start_.seconds()));
    say(terminal_ ? to_an_empty_line + text : "  " + text + "\n");
    drawn = terminal_;
  }
  if (drawn) say(to_an_empty_line);
}

}  // namespace espalier
