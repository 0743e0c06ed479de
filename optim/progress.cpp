#include "espalier/optim/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace espalier {

Progress::Progress(std::string label, Index total_samples, bool wanted)
    : label_(std::move(label)), total_(total_samples), active_(wanted && isatty(STDERR_FILENO)) {}

bool Progress::due() const {
  return active_ && since_drawn_.seconds() > 0.1;
}

void Progress::update(Index done, const std::string& note) {
  if (!due()) return;
  since_drawn_ = Stopwatch();
  const double seconds = since_start_.seconds();
  const double fraction = static_cast<double>(done) / static_cast<double>(total_);
  const auto left = static_cast<Index>(seconds / fraction * (1 - fraction) + 0.5);
  constexpr int width = 24;
  const int filled = static_cast<int>(fraction * width);
  fmt::print(stderr, "\r\033[K{} [{:=<{}}{: <{}}] {:3.0f} %  {}  {:.0f} samples/s  {}:{:02} left", label_, "", filled,
             "", width - filled, 100 * fraction, note, static_cast<double>(done) / seconds, left / 60, left % 60);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace espalier
