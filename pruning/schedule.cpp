#include "espalier/pruning/schedule.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
namespace {

struct Span {
  Index first, last;  // steps
};

Span span_of(const Schedule& s, Index steps) {
  const auto at = [&](double fraction) {
    return static_cast<Index>(std::llround(fraction * static_cast<double>(steps)));
  };
  return {at(s.begin), at(s.end)};
}

// iterative: the number of rounds done after `step`; round r (1 .. rounds) happens at first + (last-first)
// (r-1)/(rounds-1).
Index rounds_done(const Schedule& s, Span span, Index step) {
  Index done = 0;
  for (Index r = 0; r < s.rounds; ++r) {
    const Index at = s.rounds == 1 ? span.first : span.first + (span.last - span.first) * r / (s.rounds - 1);
    done += step >= at;
  }
  return done;
}

}  // namespace

void Schedule::check() const {
  require(kind == "one-shot" || kind == "linear" || kind == "cubic" || kind == "iterative",
          "[schedule] expected one-shot, linear, cubic or iterative, got \"{}\"", kind);
  require(density > 0 && density <= 1, "[schedule] expected a density in (0, 1], got {}", density);
  require(begin >= 0 && begin <= 1 && end <= 1 && begin <= end,
          "[schedule] expected 0 <= begin <= end <= 1 of the training, got {} and {}", begin, end);
  require(interval >= 1, "[schedule] expected an interval of at least 1 step, got {}", interval);
  require(rounds >= 1 && rounds <= 1000, "[schedule] expected 1 to 1000 rounds, got {}", rounds);
}

void Schedule::check(Index steps) const {
  const auto [first, last] = span_of(*this, steps);
  const bool before_training = begin == 0 && end == 0;
  require(kind != "iterative" || before_training || rounds <= last - first + 1,
          "[schedule] expected at most {} iterative rounds, one after each step from {} to {}, got {}",
          last - first + 1, first, last, rounds);
}

bool Schedule::due(Index step, Index steps) const {
  check(steps);
  const Span span = span_of(*this, steps);
  if (kind == "one-shot") return step == span.first;
  if (step < span.first || step > span.last) return false;
  if (kind != "iterative") return step == span.last || (step - span.first) % interval == 0;
  return step == 0 ? rounds_done(*this, span, 0) > 0
                   : rounds_done(*this, span, step) > rounds_done(*this, span, step - 1);
}

double Schedule::density_at(Index step, Index steps) const {
  check(steps);
  const Span span = span_of(*this, steps);
  if (step < span.first) return 1;
  if (kind == "iterative")
    return std::pow(density, static_cast<double>(rounds_done(*this, span, step)) / static_cast<double>(rounds));
  if (kind == "one-shot" || step >= span.last) return density;
  const double t = static_cast<double>(step - span.first) / static_cast<double>(span.last - span.first);
  if (kind == "linear") return 1 - (1 - density) * t;
  return 1 - (1 - density) * (1 - std::pow(1 - t, 3));
}

}  // namespace espalier
