#include "espalier/layers/loss.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "espalier/core/error.h"

namespace espalier {
namespace {

void require_weights(const std::vector<double>& weights) {
  double sum = 0;
  for (const double weight : weights) {
    require(weight >= 0 && std::isfinite(weight), "[loss] class_weights: expected finite numbers of at least 0, got {}",
            weight);
    sum += weight;
  }
  require(sum > 0, "[loss] class_weights: expected at least one above 0, got none");
}
void require_delta(double delta) {
  require(delta > 0 && std::isfinite(delta), "[loss] huber_delta: expected a number above 0, got {}", delta);
}
void require_fraction(double tau) {
  require(tau > 0 && tau < 1, "[loss] quantile: expected a fraction in (0, 1), got {}", tau);
}

// -w[label] log softmax(z)[label]      w: [classes], or null: all 1
Var cross_entropy(const Var& logits, const Tile& tile, const char* operation,
                  const std::shared_ptr<const std::vector<Real>>& w) {
  Tape& tape = logits.tape();
  const Tensor& z = logits.value();
  const Index classes = z.features(), valid = z.valid();
  require(static_cast<Index>(tile.label.size()) >= valid, "[{}] expected {} labels, got {}", operation, valid,
          tile.label.size());
  require(!w || static_cast<Index>(w->size()) == classes, "[{}] expected a weight for each of {} classes, got {}",
          operation, classes, w ? w->size() : 0);
  Tensor p = tape.make(z.shape()), loss = tape.make({1});
  for (Index lane = 0; lane < valid; ++lane) {
    const Index label = tile.label[static_cast<std::size_t>(lane)];
    require(label >= 0 && label < classes, "[{}] expected labels below {}, got {}", operation, classes, label);
    Real highest = z.row(0)[lane], sum = 0;  // subtracted, so that exp cannot overflow
    for (Index c = 1; c < classes; ++c) highest = std::max(highest, z.row(c)[lane]);
    for (Index c = 0; c < classes; ++c) sum += p.row(c)[lane] = std::exp(z.row(c)[lane] - highest);
    for (Index c = 0; c < classes; ++c) p.row(c)[lane] /= sum;
    loss.row(0)[lane] = std::log(sum) + highest - z.row(label)[lane];
    if (w) loss.row(0)[lane] *= (*w)[static_cast<std::size_t>(label)];
  }
  std::fill(loss.row(0) + valid, loss.row(0) + z.lanes(), Real{0});
  return tape.record({.operation = operation, .inputs = {logits}}, loss,
                     [logits, p, &tile, classes, valid, w](Tape& t, Tensor& dL) {
                       // dz = w[label] (p - onehot) dL
                       const auto dz = t.gradient_of(logits);
                       if (!dz) return;
                       for (Index lane = 0; w && lane < valid; ++lane)
                         dL.row(0)[lane] *= (*w)[static_cast<std::size_t>(tile.label[static_cast<std::size_t>(lane)])];
                       for (Index c = 0; c < classes; ++c) {
                         Real* row = dz->tensor->row(c);
                         for (Index lane = 0; lane < p.lanes(); ++lane) {
                           const bool is_label = lane < valid && tile.label[static_cast<std::size_t>(lane)] == c;
                           const Real g = lane < valid ? (p.row(c)[lane] - (is_label ? 1 : 0)) * dL.row(0)[lane] : 0;
                           row[lane] = dz->write == Write::add ? row[lane] + g : g;
                         }
                       }
                     });
}

// mean over outputs of value(e), e = y - target;  slope = value'
template <typename Value, typename Slope>
Var mean_over_outputs(const Var& y, const Tile& tile, const char* operation, Value value, Slope slope) {
  Tape& tape = y.tape();
  const Index outputs = y.value().features(), valid = y.value().valid();
  require(tile.target && tile.target.features() == outputs, "[{}] expected {} targets per sample, got {}", operation,
          outputs, tile.target ? tile.target.features() : 0);
  require(tile.target.lanes() >= valid, "[{}] expected targets for {} samples, got {} lanes", operation, valid,
          tile.target.lanes());
  Tensor loss = tape.make({1});
  loss.fill(0);
  for (Index o = 0; o < outputs; ++o)
    for (Index lane = 0; lane < valid; ++lane)
      loss.row(0)[lane] += value(y.value().row(o)[lane] - tile.target.row(o)[lane]) / static_cast<Real>(outputs);
  return tape.record({.operation = operation, .inputs = {y}}, loss,
                     [y, &tile, outputs, valid, slope](Tape& t, Tensor& dL) {
                       // dy = slope(y - target) / outputs dL
                       const auto dy = t.gradient_of(y);
                       if (!dy) return;
                       for (Index o = 0; o < outputs; ++o) {
                         Real* row = dy->tensor->row(o);
                         for (Index lane = 0; lane < y.value().lanes(); ++lane) {
                           const Real g = lane < valid ? slope(y.value().row(o)[lane] - tile.target.row(o)[lane]) /
                                                             static_cast<Real>(outputs) * dL.row(0)[lane]
                                                       : 0;
                           row[lane] = dy->write == Write::add ? row[lane] + g : g;
                         }
                       }
                     });
}

}  // namespace

Var softmax_cross_entropy(const Var& logits, const Tile& tile) {
  return cross_entropy(logits, tile, "softmax_cross_entropy", nullptr);
}

Loss class_weighted_cross_entropy(std::vector<double> weights) {
  require_weights(weights);
  const auto w = std::make_shared<const std::vector<Real>>(weights.begin(), weights.end());
  return [w](const Var& logits, const Tile& tile) {
    return cross_entropy(logits, tile, "class_weighted_cross_entropy", w);
  };
}

std::vector<double> balanced_weights(std::span<const Index> samples_of_class) {
  double samples = 0, classes = 0;
  for (const Index n : samples_of_class) {
    samples += static_cast<double>(n);
    classes += n > 0;
  }
  require(samples > 0, "[loss] class_weights: expected samples to balance, got none");
  std::vector<double> weights;
  for (const Index n : samples_of_class) weights.push_back(n > 0 ? samples / (classes * static_cast<double>(n)) : 1);
  return weights;
}

Var mean_squared_error(const Var& y, const Tile& tile) {
  return mean_over_outputs(
      y, tile, "mean_squared_error", [](Real e) { return e * e; }, [](Real e) { return 2 * e; });
}

// The comparisons let a NaN stay a NaN, so that a training that has diverged is noticed.
Loss huber(double delta) {
  require_delta(delta);
  const auto d = static_cast<Real>(delta);
  return [d](const Var& y, const Tile& tile) {
    return mean_over_outputs(
        y, tile, "huber", [d](Real e) { return std::abs(e) <= d ? e * e / 2 : d * (std::abs(e) - d / 2); },
        [d](Real e) { return std::abs(e) <= d ? e : std::copysign(d, e); });
  };
}

Loss quantile(double tau) {
  require_fraction(tau);
  const auto q = static_cast<Real>(tau);
  return [q](const Var& y, const Tile& tile) {
    // at e = 0 any slope from -q to 1 - q would do
    return mean_over_outputs(
        y, tile, "quantile", [q](Real e) { return e > 0 ? (1 - q) * e : -q * e; },
        [q](Real e) { return e > 0   ? 1 - q
                             : e < 0 ? -q
                                     : 0; });
  };
}

Catalogue<LossEntry>& losses() {
  static Catalogue<LossEntry> all(
      "loss",
      {{.name = "cross-entropy",
        .line = "-log p[label] of softmax outputs, each class with its weight if it has one",
        .classification = true,
        .make = [](const LossOptions& o) -> Loss {
          return o.class_weights.empty() ? softmax_cross_entropy : class_weighted_cross_entropy(o.class_weights);
        }},
       {.name = "mse",
        .line = "the squared error; its minimum is the mean",
        .make = [](const LossOptions&) -> Loss { return mean_squared_error; }},
       {.name = "huber",
        .line = "squared near zero, linear above huber_delta: outliers pull no harder",
        .make = [](const LossOptions& o) { return huber(o.huber_delta); }},
       {.name = "quantile", .line = "its minimum is a quantile; the median for 0.5", .make = [](const LossOptions& o) {
          return quantile(o.quantile);
        }}});
  return all;
}

LossOptions settled(LossOptions o) {
  require_delta(o.huber_delta);
  require_fraction(o.quantile);
  if (!o.class_weights.empty()) require_weights(o.class_weights);
  return o;
}

}  // namespace espalier
