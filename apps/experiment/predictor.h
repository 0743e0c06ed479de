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
#include "espalier/experiment/trained_network.h"
#include "espalier/experiment/trained_rows.h"
#include "espalier/layers/module.h"
#include "espalier/optim/confusion.h"
#include "espalier/optim/inference.h"

namespace espalier {

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

// Throws FileError, naming file and row, for outputs that are NaN or infinite.
void require_finite_answer(std::span<const Real> outputs, const std::string& file, Index row);

class Predictor {
 public:
  // path: the folder of a run on a table, or a model's file. Throws FileError.
  explicit Predictor(const std::filesystem::path& path, int threads = default_threads());
  explicit Predictor(TrainedNetwork network, int threads = default_threads());
  // Rows that are asked about are compared with those that the run in this folder was trained on. Nothing happens where
  // these are not known, or the path is that of a file.
  void know_rows_of(const std::filesystem::path& run);

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
  // are not, and for a file of the other format. An answer that is NaN or infinite is a FileError, too.
  Report predict(const Questions& questions, const std::function<void(const Answer&)>& answer);

 private:
  EncoderPtr encoder_;
  ModulePtr model_;
  Inference inference_;
  std::optional<TrainedRows> trained_;
};

}  // namespace espalier
