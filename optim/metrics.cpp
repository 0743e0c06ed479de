#include "espalier/optim/metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"

namespace espalier {
namespace {

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return Metrics::unknown;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// P(score of a positive > score of a negative) + P(equal) / 2, from ranks: with tied scores sharing their mean rank,
// (sum of the positives' ranks - n+ (n+ + 1) / 2) / (n+ n-). O(n log n).
double area_under_curve(const std::vector<double>& score, std::span<const std::int32_t> labels, std::int32_t positive) {
  if (!std::ranges::all_of(score, [](double s) { return std::isfinite(s); })) return Metrics::unknown;
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return score[i]; });
  double positives = 0, ranks = 0;
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    double tied = 0;
    while (end < order.size() && score[order[end]] == score[order[begin]]) tied += labels[order[end++]] == positive;
    positives += tied;
    ranks += tied * static_cast<double>(begin + 1 + end) / 2;  // of ranks begin + 1 ... end
  }
  const double negatives = static_cast<double>(score.size()) - positives;
  if (positives == 0 || negatives == 0) return Metrics::unknown;
  return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
}

}  // namespace

Metrics classification_metrics(std::span<const Real> outputs, std::span<const std::int32_t> labels, Index classes) {
  const std::size_t samples = labels.size(), width = static_cast<std::size_t>(classes);
  require(classes >= 1 && outputs.size() == samples * width,
          "[metrics] expected {} samples x {} classes, at least 1, got {} outputs", samples, classes, outputs.size());
  for (const std::int32_t label : labels)
    require(label >= 0 && label < classes, "[metrics] expected labels below {}, got {}", classes, label);
  Metrics m{.samples = static_cast<Index>(samples), .classes = classes};
  if (samples == 0) return m;

  std::vector<double> log_sum(samples);  // log of the sum of exp z
  std::vector<double> found(width), there(width);
  double correct = 0, loss = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    const std::span<const Real> z = outputs.subspan(i * width, width);
    const Index label = labels[i], best = arg_max(z);
    const auto highest = static_cast<double>(z[best]);
    double sum = 0;
    for (const Real logit : z) sum += std::exp(static_cast<double>(logit) - highest);
    log_sum[i] = highest + std::log(sum);
    loss += log_sum[i] - static_cast<double>(z[label]);
    correct += best == label;
    found[label] += best == label;
    ++there[label];
  }
  m.accuracy = correct / static_cast<double>(samples);
  m.log_loss = loss / static_cast<double>(samples);
  m.standard_error = std::sqrt(m.accuracy * (1 - m.accuracy) / static_cast<double>(samples));

  std::vector<double> recalls, areas, score(samples);
  for (std::size_t c = 0; c < width; ++c) {
    if (there[c] == 0) continue;
    recalls.push_back(found[c] / there[c]);
    if (classes == 2 && c == 0) continue;  // the same area as class 1's
    for (std::size_t i = 0; i < samples; ++i) {
      const auto z = static_cast<double>(outputs[i * width + c]);
      score[i] = z - (classes == 2 ? static_cast<double>(outputs[i * width]) : log_sum[i]);
    }
    areas.push_back(area_under_curve(score, labels, static_cast<std::int32_t>(c)));
  }
  m.balanced_accuracy = mean_of(recalls);
  m.auc = mean_of(areas);
  return m;
}

Metrics regression_metrics(std::span<const Real> outputs, std::span<const Real> targets, Index width,
                           TargetScale scale) {
  const auto columns = static_cast<std::size_t>(width);
  require(width >= 1 && outputs.size() == targets.size() && targets.size() % columns == 0,
          "[metrics] expected as many outputs as targets, {} for each sample, got {} and {}", width, outputs.size(),
          targets.size());
  const std::size_t samples = targets.size() / columns;
  Metrics m{.samples = static_cast<Index>(samples)};
  if (samples == 0) return m;
  std::vector<double> mean(columns);
  for (std::size_t n = 0; n < targets.size(); ++n)
    mean[n % columns] += static_cast<double>(targets[n]) / static_cast<double>(samples);
  double squares = 0, fourth_powers = 0, absolute = 0, variation = 0;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const auto target = static_cast<double>(targets[n]);
    const double e = static_cast<double>(outputs[n]) - target, away = target - mean[n % columns];
    squares += e * e;
    fourth_powers += e * e * e * e;
    absolute += std::abs(e);
    variation += away * away;
  }
  const auto count = static_cast<double>(targets.size());
  m.rmse = scale.deviation * std::sqrt(squares / count);
  m.mae = scale.deviation * absolute / count;
  if (const double mean_square = squares / count; mean_square > 0)
    m.standard_error = scale.deviation * std::sqrt(std::max(0.0, fourth_powers / count - mean_square * mean_square)) /
                       (2 * std::sqrt(mean_square * static_cast<double>(samples)));
  if (variation > 0) m.r2 = 1 - squares / variation;
  return m;
}

Metrics metrics_of(std::span<const Real> outputs, const Dataset& data) {
  const Index samples = data.samples(), width = outputs_for(data);
  require(static_cast<Index>(outputs.size()) == samples * width, "[metrics] {}: expected {} x {} outputs, got {}",
          data.name(), samples, width, outputs.size());
  if (data.classes() > 0) {
    std::vector<std::int32_t> labels;
    for (Index i = 0; i < samples; ++i) labels.push_back(data.label(i));
    return classification_metrics(outputs, labels, width);
  }
  std::vector<Real> targets(outputs.size());
  for (Index i = 0; i < samples; ++i) data.target(i, std::span(targets).subspan(i * width, width));
  return regression_metrics(outputs, targets, width, data.target_scale());
}

std::vector<Index> samples_of_class(const Dataset& data) {
  std::vector<Index> counts(data.classes());
  for (Index i = 0; i < data.samples(); ++i) ++counts[data.label(i)];
  return counts;
}

Metrics baseline_metrics(const Dataset& train, const Dataset& test) {
  const auto width = static_cast<std::size_t>(outputs_for(train));
  require(train.samples() > 0 && outputs_for(test) == outputs_for(train),
          "[metrics] expected training samples, and {} outputs of both parts, got {} samples and {} outputs", width,
          train.samples(), outputs_for(test));
  std::vector<Real> constant(width);
  const auto samples = static_cast<double>(train.samples());
  if (train.classes() > 0) {
    // Logits whose softmax is the frequency. Of a class that was never there, as if one sample in twice as many had
    // been.
    const std::vector<Index> counts = samples_of_class(train);
    for (std::size_t c = 0; c < width; ++c)
      constant[c] = static_cast<Real>(std::log(std::max(static_cast<double>(counts[c]), 0.5) / samples));
  } else {
    std::vector<double> mean(width);
    std::vector<Real> target(width);
    for (Index i = 0; i < train.samples(); ++i) {
      train.target(i, target);
      for (std::size_t o = 0; o < width; ++o) mean[o] += static_cast<double>(target[o]) / samples;
    }
    std::ranges::transform(mean, constant.begin(), [](double m) { return static_cast<Real>(m); });
  }
  std::vector<Real> outputs;
  for (Index i = 0; i < test.samples(); ++i) outputs.insert(outputs.end(), constant.begin(), constant.end());
  return metrics_of(outputs, test);
}

}  // namespace espalier
