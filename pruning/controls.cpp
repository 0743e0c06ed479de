#include "espalier/pruning/controls.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

constexpr std::array<std::pair<std::string_view, Control>, 5> controls{{{"none", Control::none},
                                                                        {"reinit", Control::reinit},
                                                                        {"random-pattern", Control::random_pattern},
                                                                        {"shuffled-mask", Control::shuffled_mask},
                                                                        {"small-dense", Control::small_dense}}};

// 0 ... count - 1, shuffled.
std::vector<Index> permutation(Index count, const Random& random) {
  std::vector<Index> order(count);
  std::iota(order.begin(), order.end(), Index{0});
  random.shuffle(std::span(order));
  return order;
}

// The parameters of linear layers of these extents, inputs first. beside: how many numbers a hidden unit has besides
// its weights; an output has one, its bias.
Index parameters_of_chain(const std::vector<Index>& extents, Index beside) {
  Index all = extents.back();
  for (std::size_t i = 1; i < extents.size(); ++i) all += extents[i] * extents[i - 1];
  for (std::size_t i = 1; i + 1 < extents.size(); ++i) all += extents[i] * beside;
  return all;
}

}  // namespace

Control control_named(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [text, control] : controls) {
    if (text == name) return control;
    known.emplace_back(text);
  }
  throw not_among(known, "control", name);
}

PatternPtr shuffled_mask(const Pattern& found, const Random& random) {
  // Two streams of one key would be one and the same permutation where rows = cols.
  const std::uint64_t seed = random.bits(0);
  const std::vector<Index> to_row = permutation(found.rows(), Random(seed, "rows"));
  const std::vector<Index> to_column = permutation(found.cols(), Random(seed, "columns"));
  std::vector<Index> positions;
  positions.reserve(found.nonzeros());
  for (Index r = 0; r < found.rows(); ++r)
    for (const std::uint32_t c : found.row(r)) positions.push_back(to_row[r] * found.cols() + to_column[c]);
  std::ranges::sort(positions);
  return Pattern::from_positions(found.rows(), found.cols(), positions);
}

std::uint64_t initial_seed(Control control, std::uint64_t seed) {
  return control == Control::reinit ? Random(seed, "control/reinit").bits(0) : seed;
}

void apply_pattern(Control control, std::span<Parameter* const> found, std::span<Parameter* const> fresh,
                   std::uint64_t seed) {
  require(control == Control::reinit || control == Control::random_pattern || control == Control::shuffled_mask,
          "[control] expected one with a pattern: reinit, random-pattern or shuffled-mask");
  require(found.size() == fresh.size(), "[control] expected {} parameters, got {}", found.size(), fresh.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Parameter& theirs = *found[i];
    Parameter& W = *fresh[i];
    require(theirs.name() == W.name() && theirs.rows() == W.rows() && theirs.cols() == W.cols(),
            "[control] expected parameter {} ({} x {}), got {} ({} x {})", theirs.name(), theirs.rows(), theirs.cols(),
            W.name(), W.rows(), W.cols());
    PatternPtr pattern = theirs.pattern();
    if (pattern && control == Control::random_pattern)
      pattern = Pattern::random(W.rows(), W.cols(), pattern->nonzeros(), Random(seed, "control/random/" + W.name()));
    if (pattern && control == Control::shuffled_mask)
      pattern = shuffled_mask(*pattern, Random(seed, "control/shuffle/" + W.name()));
    W.become(pattern, theirs.storage());
  }
}

std::string small_dense(const std::string& name, const Module& model, Index parameters) {
  require(model_profile(name).chain,
          "[small-dense] expected a model of linear layers one after the other (lenet-300-100, mlp:... or "
          "tabular:...), whose hidden layers can be made narrower, got {}",
          name);
  std::vector<Index> extents;  // inputs, hidden ..., outputs
  for (const Parameter* W : parameters_of(model)) {
    if (!W->prunable()) continue;
    if (extents.empty()) extents.push_back(W->cols());
    extents.push_back(W->rows());
  }
  require(extents.size() > 2, "[small-dense] expected a model with hidden layers, got {}", name);
  // Besides its weights a hidden unit has a bias, or the two numbers of its normalisation.
  const Index hidden_units = std::accumulate(extents.begin() + 1, extents.end() - 1, Index{0});
  const Index beside = (census_of(model).unprunable - extents.back()) / hidden_units;
  const auto narrowed = [&](double factor) {
    std::vector<Index> scaled = extents;
    for (std::size_t i = 1; i + 1 < scaled.size(); ++i)
      scaled[i] = std::max<Index>(1, std::llround(factor * static_cast<double>(extents[i])));
    return scaled;
  };
  const auto parameters_at = [&](double factor) { return parameters_of_chain(narrowed(factor), beside); };
  require(parameters_at(0) <= parameters,
          "[small-dense] expected at least {} parameters, one unit in each hidden layer, got {}", parameters_at(0),
          parameters);
  double low = 0, high = 1;  // not too many parameters; too many, or the whole
  constexpr int halvings = 50;
  for (int i = 0; i < halvings; ++i) {
    const double middle = (low + high) / 2;
    (parameters_at(middle) <= parameters ? low : high) = middle;
  }
  const Index below = parameters - parameters_at(low), above = std::abs(parameters_at(high) - parameters);
  return with_extents(name, narrowed(below <= above ? low : high));
}

}  // namespace espalier
