// Group lasso.
//
//   L + strength * sum over units of sqrt(n) ||w||         w: the n weights that make the unit
//
//   after each step      w <- w max(0, 1 - rate strength sqrt(n) / ||w||)
//
// L2, not squared, over a unit's weights together: its gradient has the same length wherever w is, so that a unit that
// the loss does not hold reaches exactly zero, as a whole, while one that it holds loses a little of its length. The
// penalty has no gradient at zero, and so its step is taken separately, after the optimizer's: the proximal step, which
// has a closed form. sqrt(n) makes large and small groups pay alike (Yuan & Lin 2006).
//
// A weight stands in the row of one unit and in the column of another. So that no weight pays twice, a unit's group are
// the weights that make it (in recurrent layers those of all its gates); those that read it go when it goes.
//
// When: the proximal step after every step until `end`; the schedule takes the units of smallest ||w|| / sqrt(n) out on
// the way; from `end` on what is left is trained alone.
//
// Published: AlexNet's layers 5.1 times faster on a CPU, ResNet on CIFAR-10 with 18 instead of 20 layers and 92.60
// instead of 91.25 % accuracy (Wen et al. 2016, with groups of filters, channels and layers).
//
// Exercise: with w = (3, 4) and rate strength sqrt(n) = 1, where does one step take w, and how many until it is zero?
#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/pruning/group_method.h"

namespace espalier {
namespace {

// body(group, position in W's arrays), for each weight of W in the order of its arrays.
template <typename Body>
void for_each_made(const Parameter& W, const Place& place, Body&& body) {
  const bool rows = place.of == Place::Of::rows;
  W.for_each_weight([&](Index r, Index c, Index at) { body(place.group[static_cast<std::size_t>(rows ? r : c)], at); });
}

struct MadeBy {
  std::vector<double> squares;  // of each group
  double weights = 0;           // of one group
};

MadeBy made_by(const Module& model, const Width& width) {
  MadeBy made{std::vector<double>(static_cast<std::size_t>(width.groups), 0)};
  for (const Parameter* W : parameters_of(model))
    for (const Place& place : width.places) {
      if (!place.makes || place.name != W->name()) continue;
      for_each_made(*W, place, [&](Index group, Index at) {
        made.squares[static_cast<std::size_t>(group)] += std::pow(static_cast<double>(W->value()[at]), 2);
      });
      made.weights += static_cast<double>(W->positions()) / static_cast<double>(width.groups);
    }
  return made;
}

GroupRules rules_of_lasso() {
  return {.scores = [](const GroupQuestion& asked) {
    MadeBy made = made_by(asked.model, asked.width);
    for (double& score : made.squares) score = std::sqrt(score / made.weights);
    return made.squares;
  }};
}

class GroupLasso final : public PenalisedGroups {
 public:
  explicit GroupLasso(const MethodContext& context) : PenalisedGroups(context, rules_of_lasso()) {}
  using PenalisedGroups::finish;
  // Widths have weights of their own each: their order does not matter.
  void finish(Real rate, Index step) override {
    if (!presses(step) || strength() == 0) return;
    const std::vector<const Width*> widths = active();
    parallel_for(std::ssize(widths), trainer().threads(),
                 [&](Index w) { proximal_step(*widths[static_cast<std::size_t>(w)], static_cast<double>(rate)); });
  }

 private:
  void proximal_step(const Width& width, double rate) {
    const MadeBy made = made_by(trainer().model(), width);
    const double press = rate * static_cast<double>(strength()) * std::sqrt(made.weights);
    std::vector<Real> factors;
    for (const double squares : made.squares)
      factors.push_back(static_cast<Real>(proximal_factor(std::sqrt(squares), press)));
    for (Parameter* W : trainer().parameters())
      for (const Place& place : width.places) {
        if (!place.makes || place.name != W->name()) continue;
        const std::span<Real> w = W->value();
        for_each_made(*W, place, [&](Index group, Index at) { w[at] *= factors[static_cast<std::size_t>(group)]; });
      }
  }
};

}  // namespace

namespace method_pages {
MethodInfo group_lasso() {
  return {
      .name = "group-lasso",
      .family = "whole units",
      .line = "a penalty on the length of each unit's weights; the shortest are taken out",
      .source =
          "Wen, Wu, Wang, Chen, Li, Learning structured sparsity in deep neural networks, 2016; Yuan & Lin, Model "
          "selection and estimation in regression with grouped variables, 2006",
      .formula = "w <- w max(0, 1 - rate strength sqrt(n) / ||w||);  score = ||w|| / sqrt(n)",
      .cost = "two passes over the weights of the layers that lose units, in every step until `end`",
      .caveat =
          "what stays is pulled towards zero as well, until `end`; a batch norm behind a layer undoes the pull, since "
          "it does not feel how long the weights are",
      .example = "espalier train --method group-lasso --density 0.3",
      .defaults = {.structure = {.kind = Structure::Kind::units}, .schedule = {.density = 0.3, .begin = 0.2}},
      .settings = {strength_setting(1e-4)},
      .make = [](const MethodContext& context) { return std::make_unique<GroupLasso>(context); },
      .group_criterion = "l2",
      .scores_alone = false};
}
}  // namespace method_pages
}  // namespace espalier
