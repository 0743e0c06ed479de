// A trained network's answers for images and signals, and how good they are.
#pragma once

#include <string>
#include <vector>

#include "espalier/core/threads.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/optim/confusion.h"
#include "espalier/optim/inference.h"

namespace espalier {

class SamplePredictor {
 public:
  // Throws FileError for a network that is for something else.
  explicit SamplePredictor(TrainedNetwork network, int threads = default_threads());

  const SampleRules& rules() const { return *network_.samples; }
  Index width() const { return network_.card.outputs; }
  std::vector<std::string> class_names() const;  // [width()]: as in the training data, or the classes' numbers

  // data: as they are read, not standardised. [samples, width()]; throws FileError for an answer that is NaN or
  // infinite, UsageError for samples of another shape.
  std::vector<Real> outputs(const DatasetPtr& data);

 private:
  TrainedNetwork network_;
  Inference inference_;
};

// How good a network is on data.
struct Quality {
  std::string data;
  Metrics metrics;
  Confusion confusion = Confusion();
  std::vector<std::string> class_names = {}, notes = {};
};

// Of data with the model's classes. Throws UsageError for others.
Quality quality_of(SamplePredictor& predictor, const DatasetPtr& data);

}  // namespace espalier
