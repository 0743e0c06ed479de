// A layer, a criterion, a method, an optimizer and a data set of a project outside, none of which Espalier knows, and
// an experiment made of them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "espalier/espalier.h"

namespace outside {

using namespace espalier;

// y = |x|, which no layer of ours is.
class Absolute final : public Module {
 public:
  Var forward(const Var& x) const override {
    Tensor y = x.tape().make(x.shape());
    for (Index i = 0; i < y.features(); ++i)
      for (Index lane = 0; lane < y.lanes(); ++lane) y.row(i)[lane] = std::abs(x.value().row(i)[lane]);
    return x.tape().record({.operation = "absolute", .inputs = {x}}, y, [x](Tape& t, Tensor& dY) {
      // dX = dY sign(x)
      const auto dX = t.gradient_of(x);
      if (!dX) return;
      for (Index i = 0; i < dY.features(); ++i)
        for (Index lane = 0; lane < dY.lanes(); ++lane)
          if (x.value().row(i)[lane] < 0) dY.row(i)[lane] = -dY.row(i)[lane];
      put(dY, *dX->tensor, dX->write);
    });
  }
  Shape output_shape(const Shape& input) const override { return input; }
  std::string name() const override { return "absolute"; }
};

// How large a weight is beside the largest of its row.
class BesideTheRow final : public Criterion {
 public:
  void score(const Parameter& W, const CriterionContext&, std::span<Real> scores) const override {
    std::vector<Real> largest(W.rows(), Real{1e-30f});
    W.for_each_weight(
        [&](Index row, Index, Index at) { largest[row] = std::max(largest[row], std::abs(W.value()[at])); });
    std::size_t n = 0;
    W.for_each_weight([&](Index row, Index, Index at) { scores[n++] = std::abs(W.value()[at]) / largest[row]; });
  }
  std::string name() const override { return "beside-the-row"; }
};

// w -= rate sign(g), and a slot that counts steps, so that there is something to lose in a checkpoint.
class SignDescent final : public Optimizer {
 public:
  void prepare(Parameter& W) const override { W.add_slot("steps"); }
  void update(Parameter& W, const RowBlock& block, std::span<const Real> G, Real rate, Index) const override {
    const auto w = of_block(W.value(), block), steps = of_block(W.slot("steps"), block);
    for (std::size_t n = 0; n < G.size(); ++n) {
      if (G[n] == 0) continue;
      steps[n] += 1;
      w[n] -= rate / std::sqrt(steps[n]) * (G[n] > 0 ? Real{1} : Real{-1});
    }
  }
  std::string name() const override { return "sign-descent"; }
};

// Two classes: whether the first two features are of one sign.
class Quadrants final : public Dataset {
 public:
  explicit Quadrants(Index samples, std::uint64_t seed) : samples_(samples), random_(seed, "quadrants") {}
  std::string name() const override { return "quadrants"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {8}; }
  Index classes() const override { return 2; }
  void read(Index i, std::span<Real> features) const override {
    for (std::size_t f = 0; f < features.size(); ++f)
      features[f] = static_cast<Real>(2 * random_.uniform(static_cast<std::uint64_t>(i) * 8 + f) - 1);
  }
  std::int32_t label(Index i) const override {
    std::array<Real, 8> x{};
    read(i, x);
    return x[0] * x[1] > 0;
  }

 private:
  Index samples_;
  Random random_;
};

// Prunes by a criterion in three strokes of its own.
class ThreeStrokes final : public Method {
 public:
  explicit ThreeStrokes(const MethodContext& context)
      : pruner_(context.trainer.parameters(), std::make_shared<BesideTheRow>(), context.options) {}
  std::vector<PruneEvent> after_step(Index step, Index steps) override {
    for (const double stroke : {1.0, 2.0, 3.0})
      if (step == std::llround(stroke / 4 * static_cast<double>(steps)))
        return pruner_.prune_to(std::pow(pruner_.options().schedule.density, stroke / 3), step);
    return {};
  }
  void require_possible(double density) const override { pruner_.require_possible(density); }
  double density() const override { return density_of(pruner_.layers()); }

 private:
  Pruner pruner_;
};

inline MethodInfo by_criterion() {
  return {.name = "beside-the-row", .criterion = [](const Settings&) { return std::make_unique<BesideTheRow>(); }};
}
inline MethodInfo by_hook() {
  return {.name = "three-strokes",
          .make = [](const MethodContext& context) { return std::make_unique<ThreeStrokes>(context); }};
}

inline Experiment experiment_outside(std::optional<MethodInfo> method) {
  auto net = std::make_shared<Sequential>("outside");
  net->add(std::make_unique<Linear>(LinearOptions{.name = "fc", .in = 8, .out = 24}, 1));
  net->add(std::make_unique<Absolute>());
  net->add(std::make_unique<Linear>(LinearOptions{.name = "output", .in = 24, .out = 2}, 1));
  Experiment e{.model = net,
               .data = {.name = "quadrants",
                        .train = std::make_shared<Quadrants>(2000, 1),
                        .validation = std::make_shared<Quadrants>(100, 2),
                        .test = std::make_shared<Quadrants>(300, 3),
                        .provenance = "drawn"},
               .loss = softmax_cross_entropy,
               .optimizer = std::make_shared<SignDescent>(),
               .rate = {.rate = 0.05},
               .epochs = 12,
               .batch = 40,
               .lanes = 16,
               .threads = 2};
  if (method) e.pruning = Pruning{.method = *method, .options = {.schedule = {.density = 0.3, .interval = 10}}};
  return e;
}

// All stored weights, in the order of the model's parameters.
inline std::vector<Real> weights_of(const Module& model) {
  std::vector<Real> all;
  for (const Parameter* W : parameters_of(model)) all.insert(all.end(), W->value().begin(), W->value().end());
  return all;
}

}  // namespace outside
