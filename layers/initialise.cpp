#include "layers/initialise.h"

#include <array>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace espalier {

void initialise(Parameter& W, Initialiser initialiser, std::uint64_t seed) {
  const Random random(seed, "initialise/" + W.name());
  const double fan_in = std::max(1.0, static_cast<double>(W.nonzeros()) / static_cast<double>(W.rows()));
  const double fan_out = std::max(1.0, static_cast<double>(W.nonzeros()) / static_cast<double>(W.cols()));
  const auto draw = [&](std::uint64_t position) {
    const double symmetric = 2 * random.uniform(position) - 1;
    switch (initialiser) {
      case Initialiser::kaiming:
        return std::sqrt(2 / fan_in) * random.normal(position);
      case Initialiser::kaiming_uniform:
        return std::sqrt(6 / fan_in) * symmetric;
      case Initialiser::xavier:
        return std::sqrt(6 / (fan_in + fan_out)) * symmetric;
      case Initialiser::lecun_uniform:
        return std::sqrt(1 / fan_in) * symmetric;
      case Initialiser::signed_constant:
        return std::copysign(std::sqrt(2 / fan_in), symmetric);
    }
    return 0.0;
  };
  const auto value = W.value();
  W.for_each_weight([&](Index row, Index column, Index at) {
    value[static_cast<std::size_t>(at)] = static_cast<Real>(draw(static_cast<std::uint64_t>(row * W.cols() + column)));
  });
}

Initialiser initialiser_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Initialiser>, 5> known{
      {{"kaiming", Initialiser::kaiming},
       {"kaiming-uniform", Initialiser::kaiming_uniform},
       {"xavier", Initialiser::xavier},
       {"lecun-uniform", Initialiser::lecun_uniform},
       {"signed-constant", Initialiser::signed_constant}}};
  for (const auto& [word, initialiser] : known)
    if (word == name) return initialiser;
  throw UsageError(fmt::format(
      "[initialise] expected kaiming, kaiming-uniform, xavier, lecun-uniform or signed-constant, got \"{}\"", name));
}

}  // namespace espalier
