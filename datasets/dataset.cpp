#include "espalier/datasets/dataset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "espalier/core/error.h"

namespace espalier {

std::int32_t Dataset::label(Index) const {
  throw std::logic_error(fmt::format("[dataset] {} is for regression: it has targets, no labels", name()));
}

void Dataset::target(Index, std::span<Real>) const {
  throw std::logic_error(fmt::format("[dataset] {} is for classification: it has labels, no targets", name()));
}

// --- ByteSamples ----------------------------------------------------------------------------------------------------

ByteSamples::ByteSamples(std::string name, Shape shape, Index classes, std::vector<std::uint8_t> bytes,
                         std::vector<std::int32_t> labels)
    : name_(std::move(name)),
      shape_(shape),
      features_(shape.features()),
      classes_(classes),
      bytes_(std::move(bytes)),
      labels_(std::move(labels)) {
  require(static_cast<Index>(bytes_.size()) == samples() * features_,
          "[bytes] {}: expected {} samples x {} features = {} bytes, got {}", name_, samples(), features_,
          samples() * features_, bytes_.size());
  for (Index i = 0; i < samples(); ++i)
    require(label(i) >= 0 && label(i) < classes_, "[bytes] {}: label {}: expected 0 to {}, got {}", name_, i,
            classes_ - 1, label(i));
}

std::span<const std::uint8_t> ByteSamples::bytes(Index i) const {
  return std::span(bytes_).subspan(i * features_, features_);
}

void ByteSamples::read(Index i, std::span<Real> features) const {
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

namespace {

// How many groups of features have a mean of their own.
Index channels_of(const Shape& shape) {
  return shape.rank() == 3 ? shape[0] : 1;
}

// The moments of the numbers so far.
struct Running {
  double count = 0, mean = 0, squares = 0;  // squares: sum of squared distances from the mean

  void add(std::span<const Real> numbers) {
    // Four running sums, because one would wait for the adder's latency at every number.
    std::array<double, 4> sums{}, square_sums{};
    for (std::size_t f = 0; f < numbers.size(); ++f) {
      const double x = static_cast<double>(numbers[f]) - mean;  // near zero: nothing cancels below
      sums[f % 4] += x;
      square_sums[f % 4] += x * x;
    }
    const double sum = sums[0] + sums[1] + sums[2] + sums[3];
    const double square_sum = square_sums[0] + square_sums[1] + square_sums[2] + square_sums[3];
    // The sums are about the old mean; move to the new one: Σ(x-m')² = Σ(x-m)² - n (m'-m)².
    count += static_cast<double>(numbers.size());
    const double step = sum / count;
    squares += square_sum - count * step * step;
    mean += step;
  }
};

}  // namespace

ChannelMoments moments(const Dataset& data) {
  require(data.samples() > 0, "[moments] {}: expected samples, got an empty set", data.name());
  const Shape shape = data.shape();
  std::vector<Running> channels(channels_of(shape));
  std::vector<Real> sample(shape.features());
  const std::size_t plane = sample.size() / channels.size();
  for (Index i = 0; i < data.samples(); ++i) {
    data.read(i, sample);
    for (std::size_t c = 0; c < channels.size(); ++c) channels[c].add(std::span(sample).subspan(c * plane, plane));
  }
  ChannelMoments result;
  for (const Running& channel : channels) {
    result.mean.push_back(channel.mean);
    result.deviation.push_back(std::sqrt(std::max(channel.squares, 0.0) / channel.count));
  }
  return result;
}

Standardised::Standardised(DatasetPtr data, std::vector<double> mean, std::vector<double> deviation)
    : data_(std::move(data)) {
  require(data_ != nullptr, "[standardised] expected a data set, got none");
  require(data_->tokens() == 0, "[standardised] {}: expected quantities, got tokens", data_->name());
  const auto channels = static_cast<std::size_t>(channels_of(data_->shape()));
  require(mean.size() == deviation.size() && (mean.size() == 1 || mean.size() == channels),
          "[standardised] {}: expected one mean and deviation, or as many as channels, {}, got {} and {}",
          data_->name(), channels, mean.size(), deviation.size());
  for (std::size_t c = 0; c < mean.size(); ++c) {
    require(std::isfinite(mean[c]) && std::isfinite(deviation[c]) && deviation[c] > 0,
            "[standardised] {}: channel {}: expected a finite mean and a deviation above 0, got {} and {}",
            data_->name(), c, mean[c], deviation[c]);
    channels_.push_back({.mean = static_cast<Real>(mean[c]), .inverse_deviation = static_cast<Real>(1 / deviation[c])});
  }
  plane_ = static_cast<std::size_t>(data_->shape().features()) / channels_.size();
}

void Standardised::read(Index i, std::span<Real> features) const {
  data_->read(i, features);
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    const Channel channel = channels_[c];
    for (Real& x : features.subspan(c * plane_, plane_)) x = (x - channel.mean) * channel.inverse_deviation;
  }
}

}  // namespace espalier
