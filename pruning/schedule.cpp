#include "espalier/pruning/schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {
namespace {

using Kind = Schedule::Kind;

constexpr std::pair<Kind, std::string_view> kinds[] = {
    {Kind::one_shot, "one-shot"}, {Kind::linear, "linear"}, {Kind::cubic, "cubic"}, {Kind::iterative, "iterative"}};

struct Span {
  Index first, last;  // steps
};

Span span_of(const Schedule& s, Index steps) {
  const auto at = [&](double fraction) {
    return static_cast<Index>(std::llround(fraction * static_cast<double>(steps)));
  };
  return {at(s.begin), at(s.end)};
}

// iterative: the number of rounds done after `step`.
//   round r of 1 ... rounds happens at   first + (last - first) (r - 1) / (rounds - 1)
Index rounds_done(const Schedule& s, Span span, Index step) {
  Index done = 0;
  for (Index r = 0; r < s.rounds; ++r) {
    const Index at = s.rounds == 1 ? span.first : span.first + (span.last - span.first) * r / (s.rounds - 1);
    done += step >= at;
  }
  return done;
}

void require_room(const Schedule& s, Span span) {
  const bool before_training = s.begin == 0 && s.end == 0;
  require(s.kind != Kind::iterative || before_training || s.rounds <= span.last - span.first + 1,
          "[schedule] expected at most {} iterative rounds, one after each step from {} to {}, got {}",
          span.last - span.first + 1, span.first, span.last, s.rounds);
}

}  // namespace

Schedule settled(Schedule s) {
  require(s.density > 0 && s.density <= 1, "[schedule] expected a density in (0, 1], got {}", s.density);
  require(s.begin >= 0 && s.begin <= 1 && s.end <= 1 && s.begin <= s.end,
          "[schedule] expected 0 <= begin <= end <= 1 of the training, got {} and {}", s.begin, s.end);
  require(s.interval >= 1, "[schedule] expected an interval of at least 1 step, got {}", s.interval);
  require(s.rounds >= 1 && s.rounds <= 1000, "[schedule] expected 1 to 1000 rounds, got {}", s.rounds);
  return s;
}

Schedule settled(Schedule s, Index steps) {
  require_room(settled(s), span_of(s, steps));
  return s;
}

bool Schedule::due(Index step, Index steps) const {
  const Span span = span_of(*this, steps);
  require_room(*this, span);
  if (kind == Kind::one_shot) return step == span.first;
  if (step < span.first || step > span.last) return false;
  if (kind != Kind::iterative) return step == span.last || (step - span.first) % interval == 0;
  return step == 0 ? rounds_done(*this, span, 0) > 0
                   : rounds_done(*this, span, step) > rounds_done(*this, span, step - 1);
}

double Schedule::density_at(Index step, Index steps) const {
  const Span span = span_of(*this, steps);
  require_room(*this, span);
  if (step < span.first) return 1;
  if (kind == Kind::iterative)
    return std::pow(density, static_cast<double>(rounds_done(*this, span, step)) / static_cast<double>(rounds));
  if (kind == Kind::one_shot || step >= span.last) return density;
  const double t = static_cast<double>(step - span.first) / static_cast<double>(span.last - span.first);
  if (kind == Kind::linear) return 1 - (1 - density) * t;
  return 1 - (1 - density) * (1 - std::pow(1 - t, 3));
}

Schedule::Kind schedule_named(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [kind, text] : kinds) {
    if (text == name) return kind;
    known.emplace_back(text);
  }
  throw not_among(known, "schedule", name);
}

std::string name_of(Schedule::Kind kind) {
  return std::string(std::ranges::find(kinds, kind, &std::pair<Kind, std::string_view>::first)->second);
}

}  // namespace espalier
