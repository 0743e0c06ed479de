#include "datasets/dataset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "core/error.h"
#include "core/random.h"

namespace espalier {

std::int32_t Dataset::label(Index) const {
  throw std::logic_error(fmt::format("[dataset] {} is for regression: it has targets, no labels", name()));
}

void Dataset::target(Index, std::span<Real>) const {
  throw std::logic_error(fmt::format("[dataset] {} is for classification: it has labels, no targets", name()));
}

// --- Memory ----------------------------------------------------------------------------------------------------

Memory::Memory(std::string name, Shape shape, Index classes, std::vector<std::uint8_t> bytes,
               std::vector<std::int32_t> labels)
    : name_(std::move(name)),
      shape_(shape),
      features_(shape.features()),
      classes_(classes),
      bytes_(std::move(bytes)),
      labels_(std::move(labels)) {
  require(static_cast<Index>(bytes_.size()) == samples() * features_,
          "[memory] {}: expected {} samples x {} features = {} bytes, got {}", name_, samples(), features_,
          samples() * features_, bytes_.size());
  for (Index i = 0; i < samples(); ++i)
    require(label(i) >= 0 && label(i) < classes_, "[memory] {}: label {}: expected 0 to {}, got {}", name_, i,
            classes_ - 1, label(i));
}

std::span<const std::uint8_t> Memory::bytes(Index i) const {
  return std::span(bytes_).subspan(static_cast<std::size_t>(i * features_), static_cast<std::size_t>(features_));
}

void Memory::read(Index i, std::span<Real> features) const {
  const std::uint8_t* from = bytes(i).data();
  Real* to = features.data();
  for (Index f = 0; f < features_; ++f) to[f] = static_cast<Real>(from[f]) / Real{255};
}

// --- Subset ----------------------------------------------------------------------------------------------------

Subset::Subset(DatasetPtr data, std::vector<Index> indices) : data_(std::move(data)), indices_(std::move(indices)) {
  require(data_ != nullptr, "[subset] expected a data set, got none");
  for (const Index i : indices_)
    require(i >= 0 && i < data_->samples(), "[subset] {}: expected indices from 0 to {}, got {}", data_->name(),
            data_->samples() - 1, i);
}

std::string Subset::name() const {
  return fmt::format("{} ({} of {})", data_->name(), samples(), data_->samples());
}

// --- Standardised ----------------------------------------------------------------------------------------------

Moments moments(const Dataset& data) {
  require(data.samples() > 0, "[moments] {}: expected samples, got an empty set", data.name());
  const auto features = static_cast<double>(data.shape().features());
  std::vector<Real> sample(static_cast<std::size_t>(data.shape().features()));
  double count = 0, mean = 0, squares = 0;  // squares: sum of squared distances from the mean
  for (Index i = 0; i < data.samples(); ++i) {
    data.read(i, sample);
    // Four running sums, because one would wait for the adder's latency at every number.
    std::array<double, 4> sums{}, square_sums{};
    for (std::size_t f = 0; f < sample.size(); ++f) {
      const double x = static_cast<double>(sample[f]) - mean;  // near zero: nothing cancels below
      sums[f % 4] += x;
      square_sums[f % 4] += x * x;
    }
    const double sum = sums[0] + sums[1] + sums[2] + sums[3];
    const double square_sum = square_sums[0] + square_sums[1] + square_sums[2] + square_sums[3];
    // The sums are about the old mean; move to the new one: Σ(x-m')² = Σ(x-m)² - n (m'-m)².
    count += features;
    const double step = sum / count;
    squares += square_sum - count * step * step;
    mean += step;
  }
  return {.mean = mean, .deviation = std::sqrt(std::max(squares, 0.0) / count)};
}

Standardised::Standardised(DatasetPtr data, double mean, double deviation)
    : data_(std::move(data)), mean_(static_cast<Real>(mean)), inverse_deviation_(static_cast<Real>(1 / deviation)) {
  require(data_ != nullptr, "[standardised] expected a data set, got none");
  require(std::isfinite(mean) && std::isfinite(deviation) && deviation > 0,
          "[standardised] {}: expected a finite mean and a deviation above 0, got {} and {}", data_->name(), mean,
          deviation);
}

void Standardised::read(Index i, std::span<Real> features) const {
  data_->read(i, features);
  for (Real& x : features) x = (x - mean_) * inverse_deviation_;
}

// --- split -----------------------------------------------------------------------------------------------------

Split split(DatasetPtr data, Index validation_samples, std::uint64_t seed) {
  require(data != nullptr, "[split] expected a data set, got none");
  require(validation_samples >= 0 && validation_samples < data->samples(),
          "[split] {}: expected 0 to {} validation samples, got {}", data->name(), data->samples() - 1,
          validation_samples);
  std::vector<Index> order(static_cast<std::size_t>(data->samples()));
  std::iota(order.begin(), order.end(), Index{0});
  Random(seed, "split").shuffle(std::span(order));
  const auto cut = order.begin() + validation_samples;
  std::sort(order.begin(), cut);
  std::sort(cut, order.end());
  return {.train = std::make_shared<Subset>(data, std::vector(cut, order.end())),
          .validation = std::make_shared<Subset>(data, std::vector(order.begin(), cut))};
}

}  // namespace espalier
