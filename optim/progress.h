// A line that says how far a long computation is, how fast it goes, and how long it will still take: on a terminal one
// that is drawn anew ten times a second, elsewhere one more every ten seconds, so that logs stay readable.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "espalier/core/clock.h"
#include "espalier/core/real.h"

namespace espalier {

// Seconds between two lines where standard error is not a terminal.
inline constexpr double log_line_seconds = 10;

class Progress {
 public:
  // every: seconds between two lines of a log.
  Progress(std::string label, Index total_samples, bool wanted, double every = log_line_seconds);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // done: samples, of the total; note: a part of the line ("epoch 3/20  loss 0.113"). Does nothing unless it is due.
  void update(Index done, const std::string& note);
  // Whether update() would say something now, so that the caller needs to format `note` only then.
  bool due() const;
  void clear();

 private:
  std::string label_;
  Index total_;
  bool wanted_, terminal_;
  double every_;
  Stopwatch since_start_, since_said_;
  bool drawn_ = false;
};

// The same for what does not tell how far it is, such as reading a file: says, from a thread of its own and for as long
// as it lives, what is waited for and for how long already.
class Waiting {
 public:
  explicit Waiting(std::string what, double every = log_line_seconds);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  void tell();
  std::string what_;
  bool terminal_;
  double every_;
  Stopwatch since_start_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

// "1:05", or "2:00:10": minutes and seconds, or with hours.
std::string text_of_minutes(double seconds);

}  // namespace espalier
