// A line on a terminal that says how far a long computation is, how fast it goes, and how long it will still take.
// Silent where stderr is not a terminal, so that logs stay readable.
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
  // done: samples, of the total; note: appended to the line ("epoch 3/20  loss 0.113"). Draws at most ten times a
  // second.
  void update(Index done, const std::string& note);
  // Whether update() would draw now, so that the caller needs to format `note` only then.
  bool due() const;
  void clear();

 private:
  std::string label_;
  Index total_;
  bool active_;
  Stopwatch since_start_, since_drawn_;
  bool drawn_ = false;
};

}  // namespace espalier
