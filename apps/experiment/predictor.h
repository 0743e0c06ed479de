// A trained network with what it needs to answer: the model of a run on a table, and how that table's rows became
// features. Rows go in as they stand in a file, outputs come out, a block of rows at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/threads.h"
#include "espalier/datasets/csv.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/experiment/trained_rows.h"
#include "espalier/layers/module.h"
#include "espalier/optim/confusion.h"
#include "espalier/optim/inference.h"

namespace espalier {

// The model in a file, built by the name in its metadata for samples of this shape. Throws FileError.
ModulePtr open_model(const std::filesystem::path& file, const Shape& input, Index outputs);

// What is asked.
struct Questions {
  std::string file = {};               // rows as in the training file; the target may be missing
  std::string format = "auto";         // that file's: csv or libsvm, which has to be the training file's
  std::vector<std::string> keep = {};  // columns that come back with the answers; all: every one
  CsvOptions csv = {};  // how the file is written, as far as otherwise than the training file; how many rows may be bad
};

// What is answered to one row.
struct Answer {
  std::span<const std::string> columns;  // that are kept; the same with every answer
  std::span<const std::string> kept;     // [columns] of this row, as they stand in the file
  std::span<const Real> outputs;         // [width()]; empty: the row could not be read
};

class Predictor {
 public:
  // run: the folder of a run on a table. Throws FileError.
  explicit Predictor(const std::filesystem::path& run, int threads = default_threads());

  const TargetRule& target() const { return encoder_->rules().target; }
  Index width() const;  // outputs of a row: logits of each class, or one number on the target's standardised scale
  const Module& model() const { return *model_; }

  struct Report {
    Index rows = 0;                       // asked about: as many as there were answers
    std::vector<std::string> notes = {};  // what was replaced, ignored or not known; whether rows were trained on
    std::optional<Metrics> known = {};    // of the rows whose target is known
    Confusion confusion = Confusion();    // of the same, if there are classes
  };
  // Shows answer() for every row of a file of the training data's format, in order. A target that is none, or no class,
  // is not known, and counted. Throws FileError naming the file and the line; UsageError for columns to keep that there
  // are not, and for a file of the other format.
  Report predict(const Questions& questions, const std::function<void(const Answer&)>& answer);

 private:
  std::shared_ptr<const Encoder> encoder_;
  ModulePtr model_;
  Inference inference_;
  std::optional<TrainedRows> trained_;
};

}  // namespace espalier
