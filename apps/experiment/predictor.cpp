#include "espalier/experiment/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/table.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

// Some rows in memory, and what is known of their targets.
class Block final : public Dataset {
 public:
  Block(Index features, const TargetRule& target) : features_(features), target_(target) {}
  std::string name() const override { return "rows"; }
  Index samples() const override { return static_cast<Index>(values_.size()); }
  Shape shape() const override { return {features_}; }
  Index classes() const override { return static_cast<Index>(target_.classes.size()); }
  Index outputs() const override { return classes() > 0 ? 0 : 1; }
  TargetScale target_scale() const override { return {.mean = target_.mean, .deviation = target_.deviation}; }
  void read(Index i, std::span<Real> features) const override {
    std::copy_n(rows_.begin() + i * features_, features_, features.begin());
  }
  std::int32_t label(Index i) const override { return std::max(0, static_cast<std::int32_t>(value(i))); }
  void target(Index i, std::span<Real> values) const override {
    const double as_in_a_table = static_cast<float>(value(i));  // which keeps its cells as floats
    values[0] = static_cast<Real>((as_in_a_table - target_.mean) / target_.deviation);
  }
  // The class or the number; -1 or NaN: not known.
  double value(Index i) const { return values_[static_cast<std::size_t>(i)]; }
  bool known(Index i) const { return classes() > 0 ? value(i) >= 0 : !std::isnan(value(i)); }

  void clear() { rows_.clear(), values_.clear(); }
  std::span<Real> add(double value) {
    values_.push_back(value);
    rows_.resize(rows_.size() + static_cast<std::size_t>(features_));
    return std::span(rows_).last(static_cast<std::size_t>(features_));
  }

 private:
  Index features_;
  TargetRule target_;
  std::vector<Real> rows_;
  std::vector<double> values_;
};

// Where rows come from.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual bool add_to(Block& block) = 0;  // the next row; false: no more
  virtual std::string notes() const = 0;  // what was replaced
};

class CsvRows final : public Rows {
 public:
  CsvRows(const std::filesystem::path& file, EncoderPtr encoder) : encoder_(encoder), reader_(file, encoder) {}
  bool add_to(Block& block) override {
    if (!reader_.next()) return false;
    const bool classes = block.classes() > 0;
    const double unknown = classes ? -1 : std::numeric_limits<double>::quiet_NaN();
    encoder_->expand(reader_.cells(), block.add(!reader_.has_target() ? unknown
                                                : classes             ? reader_.label()
                                                                      : reader_.value()));
    return true;
  }
  std::string notes() const override {
    const std::string text = reader_.replaced();
    if (reader_.extra_columns() == 0) return text;
    return fmt::format("{}{}ignored {} columns absent from the training file", text, text.empty() ? "" : "; ",
                       reader_.extra_columns());
  }

 private:
  EncoderPtr encoder_;
  TableReader reader_;
};

class LibsvmRows final : public Rows {
 public:
  LibsvmRows(const std::filesystem::path& file, EncoderPtr encoder) : encoder_(std::move(encoder)), reader_(file) {}
  bool add_to(Block& block) override {
    if (!reader_.next()) return false;
    const std::span<Real> row =
        block.add(block.classes() > 0 ? class_of(encoder_->rules().target, reader_.target()) : reader_.target());
    for (const SparseEntry& e : reader_.entries()) {
      if (e.index < row.size())
        row[e.index] = static_cast<Real>(e.value);
      else
        ++beyond_;
    }
    return true;
  }
  std::string notes() const override {
    return beyond_ == 0 ? "" : fmt::format("ignored {} numbers of features absent from the training file", beyond_);
  }

 private:
  EncoderPtr encoder_;
  LibsvmReader reader_;
  Index beyond_ = 0;
};

// The rows whose target is known, for the metrics, which need all of them at once.
struct Known {
  std::vector<Real> outputs, targets;
  std::vector<std::int32_t> labels;

  void add(const Block& block, Index i, std::span<const Real> own) {
    if (!block.known(i)) return;
    outputs.insert(outputs.end(), own.begin(), own.end());
    if (block.classes() > 0)
      labels.push_back(block.label(i));
    else
      block.target(i, {&targets.emplace_back(), 1});
  }
  std::optional<Metrics> metrics(const TargetRule& target, Index width) const {
    if (outputs.empty()) return {};
    if (!target.classes.empty()) return classification_metrics(outputs, labels, width);
    return regression_metrics(outputs, targets, 1, {.mean = target.mean, .deviation = target.deviation});
  }
};

std::shared_ptr<const Encoder> encoder_of(const std::filesystem::path& run) {
  const std::filesystem::path file = run / preprocessing_file;
  if (!std::filesystem::exists(file))
    throw FileError(fmt::format("{}: expected the folder of one run on a table, found no {} in it", run.string(),
                                preprocessing_file));
  constexpr std::uintmax_t limit_bytes = std::uintmax_t{1} << 30;
  return std::make_shared<const Encoder>(preprocessing_from_json(read_file(file, limit_bytes), file.string()));
}

Index width_of(const TargetRule& target) {
  return target.classes.empty() ? 1 : static_cast<Index>(target.classes.size());
}

}  // namespace

ModulePtr open_model(const std::filesystem::path& file, const Shape& input, Index outputs) {
  const auto metadata = load_safetensors(file).metadata;
  if (!metadata.contains("model"))
    throw FileError(fmt::format("{}: expected the model's name in the metadata, found none", file.string()));
  ModulePtr model = make_model(metadata.at("model"), {.input = input, .outputs = outputs});
  load_model(*model, file);
  return model;
}

Predictor::Predictor(const std::filesystem::path& run, int threads)
    : encoder_(encoder_of(run)),
      model_(open_model(run / model_file_name, {encoder_->rules().features()}, width_of(encoder_->rules().target))),
      inference_(*model_, threads) {}

Index Predictor::width() const {
  return width_of(target());
}

Predictor::Report Predictor::predict(const std::string& file,
                                     const std::function<void(std::span<const Real> outputs)>& answer) {
  const Preprocessing& rules = encoder_->rules();
  const bool sparse = rules.sparse_features > 0;
  require(names_libsvm(file) == sparse, "[predict] {}: expected a file of the training data's format, {}, got {}", file,
          sparse ? ".svm" : "CSV", sparse ? "CSV" : ".svm");
  std::unique_ptr<Rows> rows;
  if (sparse)
    rows = std::make_unique<LibsvmRows>(file, encoder_);
  else
    rows = std::make_unique<CsvRows>(file, encoder_);
  const auto block = std::make_shared<Block>(rules.features(), rules.target);
  constexpr Index most_rows = 8192, most_numbers = Index{1} << 22;
  const Index block_rows = std::clamp<Index>(most_numbers / rules.features(), 64, most_rows);
  Known known;
  Report report;
  for (bool more = true; more;) {
    block->clear();
    while (block->samples() < block_rows && (more = rows->add_to(*block))) {
    }
    if (block->samples() == 0) break;
    const std::vector<Real> outputs = inference_.outputs(Loader(block, {.batch = 1024, .shuffle = false}));
    for (Index i = 0; i < block->samples(); ++i) {
      const auto own = std::span(outputs).subspan(i * width(), width());
      answer(own);
      known.add(*block, i, own);
    }
    report.rows += block->samples();
  }
  if (report.rows == 0) throw FileError(fmt::format("{}: expected rows, found none", file));
  report.notes = rows->notes();
  report.known = known.metrics(rules.target, width());
  return report;
}

}  // namespace espalier
