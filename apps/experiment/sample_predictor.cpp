#include "espalier/experiment/sample_predictor.h"

#include "espalier/core/error.h"
#include "espalier/experiment/predictor.h"

namespace espalier {
namespace {

TrainedNetwork of_samples(TrainedNetwork network) {
  if (!network.samples)
    throw FileError(fmt::format("{}: expected a network for images or signals, found one for {}", network.file.string(),
                                network.encoder ? "the rows of a table" : "something else"));
  return network;
}

}  // namespace

SamplePredictor::SamplePredictor(TrainedNetwork network, int threads)
    : network_(of_samples(std::move(network))), inference_(*network_.model, threads) {}

std::vector<std::string> SamplePredictor::class_names() const {
  std::vector<std::string> names = rules().class_names;
  for (Index k = std::ssize(names); k < width(); ++k) names.push_back(fmt::format("{}", k));
  return names;
}

std::vector<Real> SamplePredictor::outputs(const DatasetPtr& data) {
  constexpr Index batch = 1024;
  const Loader loader(standardised(data, rules()), {.batch = batch, .shuffle = false});
  std::vector<Real> outputs = inference_.outputs(loader);
  for (Index i = 0; i < data->samples(); ++i)
    require_finite_answer(std::span(outputs).subspan(i * width(), width()), data->name(), i + 1);
  return outputs;
}

Quality quality_of(SamplePredictor& predictor, const DatasetPtr& data) {
  require(data->classes() == predictor.width(), "[data] {}: expected the {} classes of the model, got {}", data->name(),
          predictor.width(), data->classes());
  const std::vector<Real> outputs = predictor.outputs(data);
  return {.data = data->name(),
          .metrics = metrics_of(outputs, *data),
          .confusion = confusion_of(outputs, *data),
          .class_names = predictor.class_names()};
}

}  // namespace espalier
