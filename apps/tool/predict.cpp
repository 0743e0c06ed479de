// espalier predict: a trained network's answers for the rows or samples of a file, as CSV.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/sample_files.h"
#include "espalier/datasets/utf8.h"
#include "espalier/experiment/class_table.h"
#include "espalier/experiment/predictor.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/sample_predictor.h"
#include "espalier/experiment/text.h"

namespace espalier {
namespace {

struct PredictFlags {
  std::string model, out;
  std::vector<std::string> files;
  Questions questions;
  int threads = 0;
};

// A file, or standard output.
class Output {
 public:
  explicit Output(const std::string& path) {
    if (!path.empty()) file_.emplace(path);
  }
  void write(const std::string& text) {
    if (file_)
      file_->write(text);
    else if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
      throw FileError("standard output: cannot be written (disk full?)");
  }
  void finish() {
    if (file_) file_->finish();
  }

 private:
  std::optional<OutputFile> file_;
};

// --- answers as CSV --------------------------------------------------------------------------------------------------

// In quotes where it would be read as something else without.
std::string csv_field(const std::string& text) {
  const bool plain = text.find_first_of(",;\t|\"\r\n") == std::string::npos && trimmed(text) == text;
  return plain && !text.starts_with('#') ? text : in_csv_quotes(text);
}

std::string csv_line(const std::vector<std::string>& fields) {
  if (fields.size() == 1 && fields[0].empty()) return "\"\"\n";  // an empty line would be none
  std::string line;
  for (const std::string& field : fields) line += (&field == fields.data() ? "" : ",") + csv_field(field);
  return line + "\n";
}

// The columns that are kept, the answer, and the probability of each class.
std::string header_of(const std::string& target, const std::vector<std::string>& classes,
                      std::span<const std::string> kept = {}) {
  std::vector<std::string> names(kept.begin(), kept.end());
  const auto add = [&](std::string name) {
    while (std::ranges::count(names, name) > 0) name = "predicted " + name;
    names.push_back(std::move(name));
  };
  add(target);
  for (const std::string& name : classes) add("p(" + name + ")");
  return csv_line(names);
}

// The class of the largest of these logits, and the probability of each.
void add_classes(std::vector<std::string>& fields, const std::vector<std::string>& classes,
                 std::span<const Real> logits) {
  const Index best = arg_max(logits);
  const auto power = [&](Real z) { return std::exp(static_cast<double>(z) - static_cast<double>(logits[best])); };
  double sum = 0;
  for (const Real z : logits) sum += power(z);
  fields.push_back(classes[best]);
  for (const Real z : logits) fields.push_back(fmt::format("{:.9g}", power(z) / sum));
}

std::string line_of(const TargetRule& target, const Answer& answer) {
  std::vector<std::string> fields(answer.kept.begin(), answer.kept.end());
  const std::span<const Real> outputs = answer.outputs;  // logits of each class, or the standardised value
  if (outputs.empty())
    fields.resize(fields.size() + 1 + target.classes.size());
  else if (target.classes.empty())
    fields.push_back(target.text_of(static_cast<double>(outputs[0])));
  else
    add_classes(fields, target.classes, outputs);
  return csv_line(fields);
}

// --- what is said about them -----------------------------------------------------------------------------------------

// Neither what is read may be written over, nor what will be read the next time.
void require_free(const PredictFlags& f) {
  std::error_code none;
  for (const std::string& file : f.files)
    require(!std::filesystem::equivalent(f.out, file, none),
            "[out] expected another file than the one that is read, got {}", f.out);
  require(!std::filesystem::equivalent(f.out, f.model, none) && !is_file_of_run(f.out, f.model),
          "[out] expected a file that is none of the run's own, got {}", f.out);
}

void predict_rows(TrainedNetwork network, PredictFlags& f) {
  require(f.files.size() == 1, "[predict] expected one file of rows, got {}", f.files.size());
  f.questions.file = f.files[0];
  Predictor predictor(std::move(network), f.threads ? f.threads : default_threads());
  predictor.know_rows_of(f.model);
  const TargetRule& target = predictor.target();
  Output out(f.out);
  std::string text;
  bool first = true;
  const Predictor::Report report = predictor.predict(f.questions, [&](const Answer& answer) {
    constexpr std::size_t enough = 1 << 16;
    if (std::exchange(first, false)) text = header_of(target.name, target.classes, answer.columns);
    text += line_of(target, answer);
    if (text.size() < enough) return;
    out.write(text);
    text.clear();
  });
  out.write(text);
  out.finish();

  std::FILE* const to = f.out.empty() ? stderr : stdout;
  fmt::print(to, "{} rows{}\n", report.rows, f.out.empty() ? "" : ", written to " + f.out);
  for (const std::string& note : report.notes) fmt::print(to, "{}\n", note);
  if (report.known) fmt::print(to, "{}", metrics_line_of(*report.known, shown(target.name)));
  if (const std::string table = class_table_of(report.confusion, target.classes); !table.empty())
    fmt::print(to, "\n{}", table);
}

void predict_samples(TrainedNetwork network, const PredictFlags& f) {
  require(f.questions.keep.empty(), "[keep] expected none, for images and signals have no columns, got {}",
          fmt::join(f.questions.keep, ", "));
  SamplePredictor predictor(std::move(network), f.threads ? f.threads : default_threads());
  const std::vector<std::string> classes = predictor.class_names();
  Output out(f.out);
  std::string text = header_of("class", classes);
  Index samples = 0;
  for (const std::string& file : f.files) {
    const DatasetPtr data = read_samples(file, predictor.rules(), predictor.width()).data;
    const std::vector<Real> outputs = predictor.outputs(data);
    samples += data->samples();
    for (Index i = 0; i < data->samples(); ++i) {
      std::vector<std::string> fields;
      add_classes(fields, classes, std::span(outputs).subspan(i * predictor.width(), predictor.width()));
      text += csv_line(fields);
    }
    out.write(text);
    text.clear();
  }
  out.finish();
  fmt::print(f.out.empty() ? stderr : stdout, "{} samples{}\n", samples, f.out.empty() ? "" : ", written to " + f.out);
}

void run_predict(PredictFlags f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  if (f.out == "-" || f.out == "/dev/stdout") f.out.clear();
  require_free(f);
  TrainedNetwork network = open_network(f.model);
  if (network.samples)
    predict_samples(std::move(network), f);
  else
    predict_rows(std::move(network), f);
}

}  // namespace

Command add_predict(CLI::App& app) {
  auto flags = std::make_shared<PredictFlags>();
  Questions& questions = flags->questions;
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option("file", flags->files,
                 "Raw rows, as in the training file, the target may be missing; or images or signals: IDX, CIFAR's "
                 "binary, .npy, or pictures: PNG, PGM, PPM")
      ->required();
  app.add_option("--out", flags->out, "Where to write the predictions, as CSV (default: standard output)")
      ->check(a_path());
  app.add_option_function<std::vector<std::string>>(
      "--keep", [&questions](const std::vector<std::string>& texts) { questions.keep = names_in(texts); },
      "Columns of the file that come first in the predictions, such as id,name; all: every one");
  app.add_option("--format", questions.format, "Of a file of any name: csv or libsvm, as the training file's")
      ->check(one_of({"auto", "csv", "libsvm"}))
      ->capture_default_str();
  add_csv_flags(app, questions.csv);
  app.add_option("--threads", flags->threads, "0: one per processor; never changes the result")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  espalier predict runs/income more_people.csv --out answers.csv --keep id\n"
      "  espalier predict runs/mnist seven.png eight.pgm");
  return [flags] { run_predict(*flags); };
}

}  // namespace espalier
