// A trained network with what it needs to answer: the model of a run on a table, and how that table's rows became
// features. Rows go in as they stand in a file, outputs come out, a block of rows at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "espalier/core/threads.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/layers/module.h"
#include "espalier/optim/inference.h"

namespace espalier {

// The model in a file, built by the name in its metadata for samples of this shape. Throws FileError.
ModulePtr open_model(const std::filesystem::path& file, const Shape& input, Index outputs);

class Predictor {
 public:
  // run: the folder of a run on a table. Throws FileError.
  explicit Predictor(const std::filesystem::path& run, int threads = default_threads());

  const TargetRule& target() const { return encoder_->rules().target; }
  Index width() const;  // outputs of a row: logits of each class, or one number on the target's standardised scale
  const Module& model() const { return *model_; }

  struct Report {
    Index rows = 0;
    std::string notes = {};             // what was replaced or ignored
    std::optional<Metrics> known = {};  // of the rows whose target is known
  };
  // Shows answer(outputs) for every row of a file of the training data's format, in order. Throws FileError naming the
  // file and the line.    outputs: [width()]
  Report predict(const std::string& file, const std::function<void(std::span<const Real> outputs)>& answer);

 private:
  std::shared_ptr<const Encoder> encoder_;
  ModulePtr model_;
  Inference inference_;
};

}  // namespace espalier
