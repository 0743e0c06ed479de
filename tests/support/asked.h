// A model of a few written samples, and what evidence says of it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "espalier/pruning/evidence.h"

namespace espalier::testing {

// Samples that are written down; the targets are zeros.
class WrittenSamples final : public Dataset {
 public:
  WrittenSamples(Shape shape, Index outputs, std::vector<std::vector<Real>> x)
      : shape_(shape), outputs_(outputs), x_(std::move(x)) {}
  std::string name() const override { return "written"; }
  Index samples() const override { return std::ssize(x_); }
  Shape shape() const override { return shape_; }
  Index classes() const override { return 0; }
  Index outputs() const override { return outputs_; }
  void read(Index i, std::span<Real> features) const override { std::ranges::copy(x_[i], features.begin()); }
  void target(Index, std::span<Real> values) const override { std::ranges::fill(values, Real{0}); }

 private:
  Shape shape_;
  Index outputs_;
  std::vector<std::vector<Real>> x_;
};

inline Parameter& parameter_of(Module& model, const std::string& name) {
  const std::vector<Parameter*> all = parameters_of(model);
  return **std::ranges::find_if(all, [&](const Parameter* p) { return p->name() == name; });
}

inline void set_values(Module& model, const std::string& name, const std::vector<Real>& values) {
  std::ranges::copy(values, parameter_of(model, name).value().begin());
}

// Looks at all samples at once, among padding lanes of NaN; the loss is the mean square of the outputs.
struct Asked {
  using Numbers = std::vector<double>;
  Module& model;
  DatasetPtr data;
  std::unique_ptr<Optimizer> optimizer = make_optimizer({});
  Trainer trainer;
  Loader loader;
  Evidence evidence;

  Asked(Module& m, const Shape& shape, const std::vector<std::vector<Real>>& x)
      : model(m),
        data(std::make_shared<WrittenSamples>(shape, m.output_shape(shape).features(), x)),
        trainer(m, mean_squared_error, *optimizer, {}),
        loader(data, {.batch = std::ssize(x), .lanes = 16, .shuffle = false, .poison_padding = true}),
        evidence(trainer, loader) {}
  template <typename Span>
  static Numbers numbers(const Span& span) {
    return {span.begin(), span.end()};
  }
  Numbers squares(const std::string& name) { return numbers(evidence.input_squares(parameter_of(model, name))); }
  Numbers products(const std::string& name) { return numbers(evidence.input_products(parameter_of(model, name))); }
  Numbers gradient(const std::string& name) { return numbers(evidence.gradient(parameter_of(model, name))); }
  // Flow has a factor that all weights share.
  Numbers flow(const std::string& name) { return numbers(evidence.flow(parameter_of(model, name))); }
};

inline double sum_of(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double v : numbers) sum += v;
  return sum;
}

// As parts of their sum.
inline std::vector<double> parts_of(std::vector<double> numbers) {
  const double sum = sum_of(numbers);
  for (double& v : numbers) v /= sum;
  return numbers;
}

}  // namespace espalier::testing
