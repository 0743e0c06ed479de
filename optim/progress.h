// A line on a terminal that says how far long work is, how fast, and how long it will still take. Silent where stderr
// is not a terminal, so that logs stay readable.
#pragma once

#include <string>

#include "espalier/core/clock.h"
#include "espalier/core/real.h"

namespace espalier {

class Progress {
 public:
  Progress(std::string label, Index total_samples, bool wanted);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // `done` of the total; `note` is appended ("epoch 3/20  loss 0.113"). Draws at most ten times a second.
  void update(Index done, const std::string& note);
  bool due() const;  // whether update() would draw now: lets the caller format `note` only then
  void clear();

 private:
  std::string label_;
  Index total_;
  bool active_;
  Stopwatch since_start_, since_drawn_;
  bool drawn_ = false;
};

}  // namespace espalier
