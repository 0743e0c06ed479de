// espalier predict: a trained network's answers for the rows of a file, a block of rows at a time.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/table.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/result.h"
#include "espalier/experiment/tables.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/optim/metrics.h"

namespace espalier {
namespace {

struct PredictFlags {
  std::string run, file, out;
  int threads = 0;
};

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
    values[0] = static_cast<Real>((value(i) - target_.mean) / target_.deviation);
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
    return fmt::format("{}{}{} columns that the training file has not were ignored", text, text.empty() ? "" : "; ",
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
    return beyond_ == 0 ? ""
                        : fmt::format("{} numbers of features that the training file has not were ignored", beyond_);
  }

 private:
  EncoderPtr encoder_;
  LibsvmReader reader_;
  Index beyond_ = 0;
};

// A file that appears under its name when it is complete, and not at all otherwise; or standard output.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path), temporary_(fmt::format("{}.{}.tmp", path, ::getpid())) {
    file_ = path.empty() ? stdout : std::fopen(temporary_.c_str(), "wb");
    if (!file_) fail();
  }
  ~Output() {
    if (path_.empty() || !file_) return;
    std::fclose(file_);
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) fail();
  }
  void finish() {
    if (std::fflush(file_) != 0 || (!path_.empty() && ::fsync(::fileno(file_)) != 0)) fail();
    if (path_.empty()) return;
    std::fclose(std::exchange(file_, nullptr));
    std::error_code error;
    std::filesystem::rename(temporary_, path_, error);
    if (error) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw FileError(fmt::format("{}: cannot be written", path_.empty() ? "standard output" : path_));
  }
  std::string path_, temporary_;
  std::FILE* file_ = nullptr;
};

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",;\t|\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string header_of(const TargetRule& target) {
  std::string text = csv_field(target.name);
  for (const std::string& name : target.classes) text += "," + csv_field("p(" + name + ")");
  return text + "\n";
}

// outputs: logits of each class, or the standardised value.
std::string line_of(const TargetRule& target, std::span<const Real> outputs) {
  if (target.classes.empty())
    return fmt::format("{:.7g}\n", target.mean + target.deviation * static_cast<double>(outputs[0]));
  const auto largest = std::ranges::max_element(outputs);
  double sum = 0;
  for (const Real z : outputs) sum += std::exp(static_cast<double>(z - *largest));
  std::string text = csv_field(target.classes[static_cast<std::size_t>(largest - outputs.begin())]);
  for (const Real z : outputs) text += fmt::format(",{:.6f}", std::exp(static_cast<double>(z - *largest)) / sum);
  return text + "\n";
}

void run_predict(const PredictFlags& f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  const std::filesystem::path run = f.run, model_file = run / "model.safetensors";
  if (!std::filesystem::exists(run / preprocessing_file))
    throw FileError(
        fmt::format("{}: expected the folder of one run on a table, found no {} in it", f.run, preprocessing_file));
  constexpr std::uintmax_t limit_bytes = std::uintmax_t{1} << 30;
  const auto encoder = std::make_shared<const Encoder>(
      preprocessing_from_json(read_file(run / preprocessing_file, limit_bytes), (run / preprocessing_file).string()));
  const Preprocessing& rules = encoder->rules();
  const TargetRule& target = rules.target;
  const bool classes = !target.classes.empty(), sparse = rules.sparse_features > 0;
  require(names_libsvm(f.file) == sparse, "[predict] {}: expected a file of the training data's format, {}, got {}",
          f.file, sparse ? ".svm" : "CSV", sparse ? "CSV" : ".svm");
  const auto metadata = load_safetensors(model_file).metadata;
  if (!metadata.contains("model"))
    throw FileError(fmt::format("{}: expected the model's name in the metadata, found none", model_file.string()));
  const auto width = static_cast<Index>(classes ? target.classes.size() : 1);
  const ModulePtr model = make_model(metadata.at("model"), {.input = {rules.features()}, .outputs = width});
  load_model(*model, model_file);

  std::unique_ptr<Rows> rows;
  if (sparse)
    rows = std::make_unique<LibsvmRows>(f.file, encoder);
  else
    rows = std::make_unique<CsvRows>(f.file, encoder);
  Output out(f.out);
  const auto optimizer = make_optimizer({.momentum = 0});
  Trainer trainer(*model, softmax_cross_entropy, *optimizer, {.threads = f.threads ? f.threads : default_threads()});
  const auto block = std::make_shared<Block>(rules.features(), target);
  constexpr Index most_rows = 8192, most_numbers = Index{1} << 22;
  const Index block_rows = std::clamp<Index>(most_numbers / rules.features(), 64, most_rows);
  // Of the rows whose target is known: for the metrics, which need all of them at once.
  std::vector<Real> known_outputs, known_targets;
  std::vector<std::int32_t> known_labels;
  Index answered = 0;
  std::string text = header_of(target);
  for (bool more = true; more;) {
    block->clear();
    while (block->samples() < block_rows && (more = rows->add_to(*block))) {
    }
    if (block->samples() == 0) break;
    const Loader loader(block, {.batch = 1024, .shuffle = false});
    const std::vector<Real> outputs = trainer.predict(loader);
    for (Index i = 0; i < block->samples(); ++i) {
      const auto own = std::span(outputs).subspan(static_cast<std::size_t>(i * width), static_cast<std::size_t>(width));
      text += line_of(target, own);
      if (!block->known(i)) continue;
      known_outputs.insert(known_outputs.end(), own.begin(), own.end());
      if (classes)
        known_labels.push_back(block->label(i));
      else
        block->target(i, {&known_targets.emplace_back(), 1});
    }
    answered += block->samples();
    out.write(text);
    text.clear();
  }
  if (answered == 0) throw FileError(fmt::format("{}: expected rows, found none", f.file));
  out.finish();

  std::FILE* const report = f.out.empty() ? stderr : stdout;
  fmt::print(report, "{} rows{}\n", answered, f.out.empty() ? "" : ", written to " + f.out);
  if (const std::string notes = rows->notes(); !notes.empty()) fmt::print(report, "{}\n", notes);
  if (known_outputs.empty()) return;
  if (classes) {
    const Metrics m = classification_metrics(known_outputs, known_labels, width);
    fmt::print(report,
               "of {} rows whose {} is known: accuracy {:.2f} %, balanced {:.2f} %, AUC {:.4f}, log-loss {:.4f}\n",
               m.samples, target.name, 100 * m.accuracy, 100 * m.balanced_accuracy, m.auc, m.log_loss);
  } else {
    const Metrics m =
        regression_metrics(known_outputs, known_targets, 1, {.mean = target.mean, .deviation = target.deviation});
    fmt::print(report, "of {} rows whose {} is known: RMSE {:.5g}, MAE {:.5g}, R2 {:.4f}\n", m.samples, target.name,
               m.rmse, m.mae, m.r2);
  }
}

}  // namespace

Command add_predict(CLI::App& app) {
  auto flags = std::make_shared<PredictFlags>();
  app.add_option("run", flags->run, "The folder of a run on a table")->required();
  app.add_option("file", flags->file, "Raw rows, as in the training file; the target may be missing")->required();
  app.add_option("--out", flags->out, "Where to write the predictions, as CSV (default: standard output)");
  app.add_option("--threads", flags->threads, "0: one per processor; never changes the result")->capture_default_str();
  return [flags] { run_predict(*flags); };
}

}  // namespace espalier
