#include "pruning/criterion.h"

#include <cmath>

#include "core/error.h"

namespace espalier {

void Magnitude::score(const Parameter& W, const CriterionContext&, std::span<Real> scores) const {
  const auto w = W.value();
  std::size_t n = 0;
  W.for_each_weight([&](Index, Index, Index at) { scores[n++] = std::abs(w[static_cast<std::size_t>(at)]); });
}

void RandomScore::score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const {
  const Random random(context.seed, "random-score/" + W.name());
  std::size_t n = 0;
  W.for_each_weight([&](Index row, Index column, Index) {
    scores[n++] = static_cast<Real>(random.uniform(static_cast<std::uint64_t>(row * W.cols() + column)));
  });
}

std::unique_ptr<Criterion> criterion_named(const std::string& name) {
  if (name == "magnitude") return std::make_unique<Magnitude>();
  if (name == "random") return std::make_unique<RandomScore>();
  throw UsageError(fmt::format("[method] expected magnitude or random, got \"{}\"", name));
}

}  // namespace espalier
