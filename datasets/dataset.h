// Where samples come from. A Dataset is read-only and knows nothing of batches, tiles or threads; the loader does.
//
// Data sets wrap data sets: Standardised(Subset(mnist)) is a Dataset again, so a transform is written once and
// works on every source.
//
// Invariants (tests/datasets/dataset_test.cpp names them by number):
//   1. read, label and target are pure functions of the sample's number: same bits on every call, from any thread.
//   2. Features are row-major within a sample: [C, H, W] means that W runs fastest.
//   3. A classification set has classes() > 0, labels in [0, classes()) and outputs() == 0; a regression set has
//      classes() == 0 and outputs() > 0.
//   4. If tokens() > 0, every feature is a whole number in [0, tokens()).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/tensor.h"

namespace espalier {

// How targets relate to what was measured: original = mean + deviation * target, the same for all outputs.
struct TargetScale {
  double mean = 0, deviation = 1;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::string name() const = 0;
  virtual Index samples() const = 0;
  virtual Shape shape() const = 0;             // of one sample
  virtual Index classes() const = 0;           // 0: regression
  virtual Index outputs() const { return 0; }  // width of a regression target; 0: classification

  // Writes sample i, 0 <= i < samples(), to features[shape().features()]. Re-entrant.
  virtual void read(Index i, std::span<Real> features) const = 0;
  // The class of sample i. The default is for regression sets: it throws std::logic_error.
  virtual std::int32_t label(Index i) const;
  // Writes what sample i should be mapped to, to values[outputs()]. The default, for classification sets, throws
  // std::logic_error.
  virtual void target(Index i, std::span<Real> values) const;
  // Of a regression set that gives standardised targets; people are told of errors in original units.
  virtual TargetScale target_scale() const { return {}; }
  // Above 0: features are tokens, whole numbers in [0, tokens()) that mean nothing as quantities. They are never
  // standardised. 0: features are quantities.
  virtual Index tokens() const { return 0; }
};

// What a model for this data has to put out: numbers per sample, a logit for each class or each regression output.
inline Index outputs_for(const Dataset& data) {
  return data.classes() > 0 ? data.classes() : data.outputs();
}

using DatasetPtr = std::shared_ptr<const Dataset>;

// Samples and labels in memory, a byte per feature (a pixel, mostly): 60,000 MNIST images are 47 MB, as floats they
// would be 188 MB. read() gives byte / 255, in [0, 1].
class ByteSamples final : public Dataset {
 public:
  // bytes: [samples, features], row-major; labels: [samples], each in [0, classes). Throws UsageError.
  ByteSamples(std::string name, Shape shape, Index classes, std::vector<std::uint8_t> bytes,
              std::vector<std::int32_t> labels);

  std::string name() const override { return name_; }
  Index samples() const override { return static_cast<Index>(labels_.size()); }
  Shape shape() const override { return shape_; }
  Index classes() const override { return classes_; }
  void read(Index i, std::span<Real> features) const override;
  std::int32_t label(Index i) const override { return labels_[i]; }

  // The bytes of sample i, as they were given.
  std::span<const std::uint8_t> bytes(Index i) const;

 private:
  std::string name_;
  Shape shape_;
  Index features_, classes_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::int32_t> labels_;
};

// Some samples of another set, in the order given; a sample may occur twice.
class Subset final : public Dataset {
 public:
  // Throws UsageError unless every index is in [0, data->samples()).
  Subset(DatasetPtr data, std::vector<Index> indices);

  std::string name() const override;
  Index samples() const override { return static_cast<Index>(indices_.size()); }
  Shape shape() const override { return data_->shape(); }
  Index classes() const override { return data_->classes(); }
  Index outputs() const override { return data_->outputs(); }
  void read(Index i, std::span<Real> features) const override { data_->read(base(i), features); }
  std::int32_t label(Index i) const override { return data_->label(base(i)); }
  void target(Index i, std::span<Real> values) const override { data_->target(base(i), values); }
  TargetScale target_scale() const override { return data_->target_scale(); }
  Index tokens() const override { return data_->tokens(); }

  const std::vector<Index>& indices() const { return indices_; }

 private:
  Index base(Index i) const { return indices_[i]; }
  DatasetPtr data_;
  std::vector<Index> indices_;
};

// Mean and (population) standard deviation over all samples: one of each per channel of images [C, H, W], one for all
// features of any other shape.
struct ChannelMoments {
  std::vector<double> mean, deviation;  // [channels]
};

// One pass over the data, in double, in sample order. Throws UsageError for an empty set. Standardise the test set
// with the moments of the *training* set: its own are not known before its answers are asked for.
ChannelMoments moments(const Dataset& data);

// (x - mean) / deviation, with one mean and one deviation per channel, not per feature, so that a pixel which never
// changes stays harmless. Labels and targets pass through.
class Standardised final : public Dataset {
 public:
  // mean, deviation: one number each for all features, or [C] of images [C, H, W]. Throws UsageError for other counts,
  // unless all are finite and the deviations above 0, and for tokens.
  Standardised(DatasetPtr data, std::vector<double> mean, std::vector<double> deviation);

  std::string name() const override { return data_->name(); }
  Index samples() const override { return data_->samples(); }
  Shape shape() const override { return data_->shape(); }
  Index classes() const override { return data_->classes(); }
  Index outputs() const override { return data_->outputs(); }
  void read(Index i, std::span<Real> features) const override;
  std::int32_t label(Index i) const override { return data_->label(i); }
  void target(Index i, std::span<Real> values) const override { data_->target(i, values); }
  TargetScale target_scale() const override { return data_->target_scale(); }

 private:
  struct Channel {
    Real mean, inverse_deviation;
  };
  DatasetPtr data_;
  std::vector<Channel> channels_;
  std::size_t plane_;  // features of one channel
};

}  // namespace espalier
