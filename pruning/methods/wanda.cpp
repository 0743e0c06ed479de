// Wanda: pruning by weights and activations.
//
// A weight matters as much as what it adds to its unit's sum, and that is compared among the inputs of one unit only:
// each unit keeps its best ones. ||x_j|| = sqrt(mean over samples of x_j^2); a convolution's x_j are the j-th pixels of
// its patches. A unit is a row of W, or, where W is used transposed, the channel that its columns lead to. The rank, 0
// for the best, says so to every allocation: `global` gives each unit of the network equally many inputs, `uniform`
// each layer the same density.
//
// When: once, late in training; the rest is fine-tuning.
//
// Exercise: with --density 0.5, how much accuracy is lost at the moment of pruning, and how much does magnitude lose?
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class Wanda final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    Evidence& evidence = context.require_evidence("wanda");
    const auto squares = evidence.input_squares(W);  // [groups, cols]
    const auto led_to = evidence.led_to(W);
    const Index groups = std::ssize(squares) / W.cols();
    std::map<Index, std::vector<std::size_t>> of_unit;  // its live weights, in row-major order
    std::vector<double> size;
    W.for_each_weight([&](Index row, Index column, Index at) {
      const Index group = row * groups / W.rows();
      of_unit[led_to[size.size()]].push_back(size.size());
      size.push_back(std::abs(static_cast<double>(W.value()[at])) * std::sqrt(squares[group * W.cols() + column]));
    });
    for (auto& [unit, order] : of_unit) {
      std::ranges::stable_sort(order, std::greater{}, [&](std::size_t n) { return size[n]; });
      for (std::size_t rank = 0; rank < order.size(); ++rank) scores[order[rank]] = -static_cast<Real>(rank);
    }
  }
  std::string name() const override { return "wanda"; }
};

}  // namespace

namespace method_pages {
MethodInfo wanda() {
  return {.name = "wanda",
          .family = "after training",
          .line = "keep the best inputs of every unit by |w| times the size of the input",
          .source = "Sun, Liu, Bair, Kolter, A simple and effective pruning approach for large language models, 2023",
          .formula = "score = - rank within the unit of |w_ij| ||x_j||",
          .cost = "10 batches forward and a sort of every row, once",
          .caveat = "no gradient: every unit keeps equally many inputs, whether it matters or not",
          .example = "espalier train --method wanda --density 0.05",
          .defaults = {.schedule = {.kind = Schedule::Kind::one_shot, .begin = 0.6}},
          .settings = {batches_setting()},
          .criterion = [](const auto&) { return std::make_unique<Wanda>(); }};
}
}  // namespace method_pages

}  // namespace espalier
