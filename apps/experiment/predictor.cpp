#include "espalier/experiment/predictor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table.h"
#include "espalier/datasets/table/notes.h"

namespace espalier {
namespace {

// Some rows in memory: those that can be answered, and where among them stand others.
class Block final : public Dataset {
 public:
  Block(Index features, const TargetRule& target) : features_(features), target_(target) {}
  std::string name() const override { return "rows"; }
  Index samples() const override { return static_cast<Index>(values_.size()); }
  Shape shape() const override { return {features_}; }
  Index classes() const override { return static_cast<Index>(target_.classes.size()); }
  Index outputs() const override { return classes() > 0 ? 0 : 1; }
  TargetScale target_scale() const override { return {.mean = target_.mean, .deviation = target_.deviation}; }
  void read(Index i, std::span<Real> features) const override { std::ranges::copy(row(i), features.begin()); }
  std::int32_t label(Index i) const override { return std::max(0, static_cast<std::int32_t>(value(i))); }
  void target(Index i, std::span<Real> values) const override {
    const double as_in_a_table = static_cast<float>(value(i));  // which keeps its cells as floats
    values[0] = static_cast<Real>((as_in_a_table - target_.mean) / target_.deviation);
  }
  std::span<const Real> row(Index i) const {
    return std::span(rows_).subspan(static_cast<std::size_t>(i * features_), static_cast<std::size_t>(features_));
  }
  // The class or the number; -1 or NaN: not known.
  double value(Index i) const { return values_[static_cast<std::size_t>(i)]; }
  bool known(Index i) const { return classes() > 0 ? value(i) >= 0 : !std::isnan(value(i)); }

  // All rows in order: the number of a sample, or `unreadable`; and what is kept of each.
  static constexpr Index unreadable = -1;
  const std::vector<Index>& order() const { return order_; }
  std::span<const std::string> kept(std::size_t n, std::size_t columns) const {
    return std::span(kept_).subspan(n * columns, columns);
  }

  void clear() { rows_.clear(), values_.clear(), order_.clear(), kept_.clear(); }
  std::span<Real> add(double value) {
    order_.push_back(samples());
    values_.push_back(value);
    rows_.resize(rows_.size() + static_cast<std::size_t>(features_));
    return std::span(rows_).last(static_cast<std::size_t>(features_));
  }
  void add_unreadable(std::size_t columns) {
    order_.push_back(unreadable);
    kept_.resize(kept_.size() + columns);
  }
  void keep(std::string_view field) { kept_.emplace_back(field); }

 private:
  Index features_;
  TargetRule target_;
  std::vector<Real> rows_;
  std::vector<double> values_;
  std::vector<Index> order_;
  std::vector<std::string> kept_;  // [rows, columns]
};

double unknown_target(const Block& block) {
  return block.classes() > 0 ? -1 : std::numeric_limits<double>::quiet_NaN();
}

// Where rows come from.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual bool add_to(Block& block) = 0;  // the next row, and those before it that cannot be read; false: no more
  virtual std::vector<std::string> notes() const = 0;                   // what was replaced
  const std::vector<std::string>& columns() const { return columns_; }  // that are kept

 protected:
  std::vector<std::string> columns_;
};

class CsvRows final : public Rows {
 public:
  CsvRows(const Questions& questions, EncoderPtr encoder)
      : encoder_(encoder), reader_(questions.file, encoder, questions.csv) {
    const std::vector<std::string>& names = reader_.rows().columns();
    for (const std::string& name : questions.keep == std::vector<std::string>{"all"} ? names : questions.keep)
      if (std::ranges::count(columns_, name) == 0) columns_.push_back(name);
    for (const std::string& name : columns_) {
      const auto found = std::ranges::find(names, name);
      require(found != names.end(), "[keep] {}: expected columns of the file, {}, got {}{}", questions.file,
              shown(fmt::format("{}", fmt::join(names, ", "))), quoted(name), did_you_mean(name, names));
      kept_.push_back(static_cast<std::size_t>(found - names.begin()));
    }
  }
  bool add_to(Block& block) override {
    const bool more = reader_.next();
    for (; bad_ < reader_.rows().skipped().bad_rows; ++bad_) block.add_unreadable(kept_.size());
    if (!more) return false;
    if (reader_.repeats_header()) {
      headers_.add("", reader_.rows().line());
      block.add_unreadable(kept_.size());
      return true;
    }
    encoder_->expand(reader_.cells(), block.add(reader_.has_target() ? reader_.known_target() : unknown_target(block)));
    for (const std::size_t field : kept_) block.keep(reader_.rows().fields()[field]);
    return true;
  }
  std::vector<std::string> notes() const override {
    CsvSkipped skipped = reader_.rows().skipped();
    skipped.bad_rows = 0;  // said below: they are rows without an answer
    std::vector<std::string> notes = table::notes_of(skipped);
    if (const std::string text = reader_.replaced(); !text.empty()) notes.push_back(text);
    if (reader_.extra_columns() > 0)
      notes.push_back(fmt::format("ignored {} columns absent from the training file", reader_.extra_columns()));
    if (bad_ > 0)
      notes.push_back(
          fmt::format("{} rows have no answer, for they could not be read: another number of fields, first in "
                      "line {}",
                      bad_, reader_.rows().skipped().bad_row_line));
    if (headers_.count > 0)
      notes.push_back(fmt::format("{} rows have no answer, for they repeat the header, first in line {}",
                                  headers_.count, headers_.line));
    return notes;
  }

 private:
  EncoderPtr encoder_;
  TableReader reader_;
  std::vector<std::size_t> kept_;  // fields of the file
  StrayWords headers_;             // rows that repeat the header
  Index bad_ = 0;
};

class LibsvmRows final : public Rows {
 public:
  LibsvmRows(const Questions& questions, EncoderPtr encoder)
      : encoder_(std::move(encoder)),
        reader_(questions.file, questions.csv.skip_bad_rows),
        classes_(encoder_->rules().target.classes) {
    require(questions.keep.empty(), "[keep] {}: expected none, for sparse rows have no columns, got {}", questions.file,
            fmt::join(questions.keep, ", "));
  }
  bool add_to(Block& block) override {
    const bool more = reader_.next();
    for (; bad_ < reader_.bad_rows(); ++bad_) block.add_unreadable(0);
    if (!more) return false;
    const double target = block.classes() > 0 ? classes_.of(reader_.target()) : reader_.target();
    const std::span<Real> row = block.add(target);
    if (!block.known(block.samples() - 1) && !reader_.target_text().empty())
      strangers_.add(reader_.target_text(), reader_.line());
    for (const SparseEntry& e : reader_.entries()) {
      if (e.index < row.size())
        row[e.index] = static_cast<Real>(e.value);
      else
        ++beyond_;
    }
    return true;
  }
  std::vector<std::string> notes() const override {
    std::vector<std::string> notes;
    if (beyond_ > 0)
      notes.push_back(fmt::format("ignored {} numbers of features absent from the training file", beyond_));
    if (strangers_.count > 0)
      notes.push_back(fmt::format("{} targets are no {}, the first is {} in line {}", strangers_.count,
                                  encoder_->rules().target.classes.empty() ? "numbers" : "classes of the model",
                                  quoted(strangers_.first), strangers_.line));
    if (bad_ > 0)
      notes.push_back(
          fmt::format("{} rows have no answer, for they could not be read; {}", bad_, reader_.first_bad_row()));
    return notes;
  }

 private:
  EncoderPtr encoder_;
  LibsvmReader reader_;
  SparseClasses classes_;
  StrayWords strangers_;
  Index beyond_ = 0, bad_ = 0;
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
  void report(const TargetRule& target, Predictor::Report& to) const {
    if (outputs.empty()) return;
    if (target.classes.empty()) {
      to.known = regression_metrics(outputs, targets, 1, {.mean = target.mean, .deviation = target.deviation});
      return;
    }
    const auto classes = static_cast<Index>(target.classes.size());
    to.known = classification_metrics(outputs, labels, classes);
    to.confusion = confusion_of(outputs, labels, classes);
  }
};

// The network, if it is a table's.
TrainedNetwork& of_a_table(TrainedNetwork& network) {
  if (!network.encoder)
    throw FileError(fmt::format("{}: expected a network for the rows of a table, found one for {}",
                                network.file.string(),
                                network.samples ? "samples " + network.samples->shape.text() : "something else"));
  return network;
}

Index width_of(const TargetRule& target) {
  return target.classes.empty() ? 1 : static_cast<Index>(target.classes.size());
}

}  // namespace

Predictor::Predictor(const std::filesystem::path& path, int threads) : Predictor(open_network(path), threads) {
  know_rows_of(path);
}

Predictor::Predictor(TrainedNetwork network, int threads)
    : encoder_(of_a_table(network).encoder), model_(std::move(network.model)), inference_(*model_, threads) {}

void Predictor::know_rows_of(const std::filesystem::path& run) {
  std::error_code none;
  if (std::filesystem::is_directory(run, none)) trained_ = TrainedRows::load(run / trained_rows_file);
}

void require_finite_answer(std::span<const Real> outputs, const std::string& file, Index row) {
  if (!std::ranges::all_of(outputs, [](Real z) { return std::isfinite(z); }))
    throw FileError(fmt::format("{}: row {}: expected a finite answer, found NaN or Inf", file, row));
}

Index Predictor::width() const {
  return width_of(target());
}

namespace {

std::unique_ptr<Rows> rows_of(const Questions& questions, const EncoderPtr& encoder) {
  const bool sparse = encoder->rules().sparse_features > 0;
  require(!names_table(questions.file, questions.format) || names_libsvm(questions.file, questions.format) == sparse,
          "[predict] {}: expected a file of the training data's format, {}, got {}", questions.file,
          sparse ? "libsvm" : "csv", sparse ? "csv" : "libsvm");
  if (sparse) return std::make_unique<LibsvmRows>(questions, encoder);
  return std::make_unique<CsvRows>(questions, encoder);
}

}  // namespace

Predictor::Report Predictor::predict(const Questions& questions, const std::function<void(const Answer&)>& answer) {
  const Preprocessing& rules = encoder_->rules();
  const std::unique_ptr<Rows> rows = rows_of(questions, encoder_);
  const std::vector<std::string>& columns = rows->columns();
  const auto block = std::make_shared<Block>(rules.features(), rules.target);
  constexpr Index most_rows = 8192, most_numbers = Index{1} << 22;
  const Index block_rows = std::clamp<Index>(most_numbers / rules.features(), 64, most_rows);
  Known known;
  Report report;
  std::optional<TrainedRows> trained = trained_;
  for (bool more = true; more;) {
    block->clear();
    while (static_cast<Index>(block->order().size()) < block_rows && (more = rows->add_to(*block))) {
    }
    std::vector<Real> outputs;
    if (block->samples() > 0) outputs = inference_.outputs(Loader(block, {.batch = 1024, .shuffle = false}));
    for (std::size_t n = 0; n < block->order().size(); ++n) {
      const Index i = block->order()[n];
      Answer own{.columns = columns, .kept = block->kept(n, columns.size()), .outputs = {}};
      if (i != Block::unreadable) {
        own.outputs = std::span(outputs).subspan(i * width(), width());
        require_finite_answer(own.outputs, questions.file, report.rows + static_cast<Index>(n) + 1);
        known.add(*block, i, own.outputs);
        if (trained) trained->ask(block->row(i));
      }
      answer(own);
    }
    report.rows += static_cast<Index>(block->order().size());
  }
  if (report.rows == 0) throw FileError(fmt::format("{}: expected rows, found none", questions.file));
  report.notes = rows->notes();
  if (trained && !trained->found().empty()) report.notes.push_back(trained->found());
  known.report(rules.target, report);
  return report;
}

}  // namespace espalier
