#include "espalier/layers/initialise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "espalier/core/nearest.h"

namespace espalier {
namespace {

constexpr std::array<std::pair<std::string_view, Initialiser>, 6> known{
    {{"kaiming", Initialiser::kaiming},
     {"kaiming-uniform", Initialiser::kaiming_uniform},
     {"xavier", Initialiser::xavier},
     {"lecun-uniform", Initialiser::lecun_uniform},
     {"signed-constant", Initialiser::signed_constant},
     {"unit-normal", Initialiser::unit_normal}}};

double scale_of(Initialiser initialiser, double fan_in, double fan_out) {
  switch (initialiser) {
    case Initialiser::kaiming:
    case Initialiser::signed_constant:
      return std::sqrt(2 / fan_in);
    case Initialiser::kaiming_uniform:
      return std::sqrt(6 / fan_in);
    case Initialiser::xavier:
      return std::sqrt(6 / (fan_in + fan_out));
    case Initialiser::lecun_uniform:
      return std::sqrt(1 / fan_in);
    case Initialiser::unit_normal:
      return 1;
  }
  return 0;
}

}  // namespace

InitialValues::InitialValues(const Parameter& W, Index live, const Origin& origin)
    : random_(origin.seed, "initialise/" + W.name()),
      initialiser_(origin.initialiser),
      scale_(scale_of(origin.initialiser, std::max(1.0, static_cast<double>(live) / static_cast<double>(W.rows())),
                      std::max(1.0, static_cast<double>(live) / static_cast<double>(W.cols())))) {}

Real InitialValues::at(Index position) const {
  const auto n = static_cast<std::uint64_t>(position);
  if (initialiser_ == Initialiser::kaiming || initialiser_ == Initialiser::unit_normal)
    return static_cast<Real>(scale_ * random_.normal(n));
  const double symmetric = 2 * random_.uniform(n) - 1;
  if (initialiser_ == Initialiser::signed_constant) return static_cast<Real>(std::copysign(scale_, symmetric));
  return static_cast<Real>(scale_ * symmetric);
}

void initialise(Parameter& W, Initialiser initialiser, std::uint64_t seed) {
  const InitialValues initial(W, W.nonzeros(), {initialiser, seed});
  const auto value = W.value();
  W.for_each_weight([&](Index row, Index column, Index at) { value[at] = initial.at(row * W.cols() + column); });
}

Initialiser initialiser_named(std::string_view name) {
  for (const auto& [word, initialiser] : known)
    if (word == name) return initialiser;
  std::vector<std::string> names;
  for (const auto& [word, initialiser] : known) names.emplace_back(word);
  throw not_among(names, "initialise", name);
}

std::string_view name_of(Initialiser initialiser) {
  return std::ranges::find(known, initialiser, &std::pair<std::string_view, Initialiser>::second)->first;
}

}  // namespace espalier
