// espalier predict: a trained network's answers for the rows of a file, as CSV.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "apps/tool/commands.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"
#include "espalier/experiment/class_table.h"
#include "espalier/experiment/predictor.h"
#include "espalier/experiment/run_folder.h"

namespace espalier {
namespace {

struct PredictFlags {
  std::string run, out;
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
  if (plain && !text.starts_with('#')) return text;
  std::string in_quotes = "\"";
  for (const char c : text) in_quotes += c == '"' ? std::string("\"\"") : std::string(1, c);
  return in_quotes + "\"";
}

std::string csv_line(const std::vector<std::string>& fields) {
  if (fields.size() == 1 && fields[0].empty()) return "\"\"\n";  // an empty line would be none
  std::string line;
  for (const std::string& field : fields) line += (&field == fields.data() ? "" : ",") + csv_field(field);
  return line + "\n";
}

// The columns that are kept, the answer, and the probability of each class.
std::string header_of(const TargetRule& target, std::span<const std::string> kept) {
  std::vector<std::string> names(kept.begin(), kept.end());
  const auto add = [&](std::string name) {
    while (std::ranges::count(names, name) > 0) name = "predicted " + name;
    names.push_back(std::move(name));
  };
  add(target.name);
  for (const std::string& name : target.classes) add("p(" + name + ")");
  return csv_line(names);
}

std::string line_of(const TargetRule& target, const Answer& answer) {
  std::vector<std::string> fields(answer.kept.begin(), answer.kept.end());
  const std::span<const Real> outputs = answer.outputs;  // logits of each class, or the standardised value
  if (outputs.empty()) {
    fields.resize(fields.size() + 1 + target.classes.size());
  } else if (target.classes.empty()) {
    fields.push_back(target.text_of(static_cast<double>(outputs[0])));
  } else {
    const Index best = arg_max(outputs);
    double sum = 0;
    for (const Real z : outputs) sum += std::exp(static_cast<double>(z - outputs[best]));
    fields.push_back(target.classes[best]);
    for (const Real z : outputs)
      fields.push_back(fmt::format("{:.6f}", std::exp(static_cast<double>(z - outputs[best])) / sum));
  }
  return csv_line(fields);
}

// --- what is said about them -----------------------------------------------------------------------------------------

std::string text_of(const Metrics& m, const std::string& target) {
  if (m.classes > 0)
    return fmt::format(
        "of {} rows whose {} is known: accuracy {:.2f} %, balanced {:.2f} %, AUC {:.4f}, log-loss {:.4f}\n", m.samples,
        target, 100 * m.accuracy, 100 * m.balanced_accuracy, m.auc, m.log_loss);
  return fmt::format("of {} rows whose {} is known: RMSE {:.5g}, MAE {:.5g}, R2 {:.4f}\n", m.samples, target, m.rmse,
                     m.mae, m.r2);
}

// Neither what is read may be written over, nor what will be read the next time.
void require_free(const PredictFlags& f) {
  std::error_code none;
  require(!std::filesystem::equivalent(f.out, f.questions.file, none),
          "[out] expected another file than the one that is read, got {}", f.out);
  require(!is_file_of_run(f.out, f.run), "[out] expected a file that is none of the run's own, got {}", f.out);
}

void run_predict(PredictFlags f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  if (f.out == "-" || f.out == "/dev/stdout") f.out.clear();
  require_free(f);
  Predictor predictor(f.run, f.threads ? f.threads : default_threads());
  const TargetRule& target = predictor.target();
  Output out(f.out);
  std::string text;
  bool first = true;
  const Predictor::Report report = predictor.predict(f.questions, [&](const Answer& answer) {
    constexpr std::size_t enough = 1 << 16;
    if (std::exchange(first, false)) text = header_of(target, answer.columns);
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
  if (report.known) fmt::print(to, "{}", text_of(*report.known, shown(target.name)));
  if (const std::string table = class_table_of(report.confusion, target.classes); !table.empty())
    fmt::print(to, "\n{}", table);
}

}  // namespace

Command add_predict(CLI::App& app) {
  auto flags = std::make_shared<PredictFlags>();
  Questions& questions = flags->questions;
  app.add_option("run", flags->run, "The folder of a run on a table")->required();
  app.add_option("file", questions.file, "Raw rows, as in the training file; the target may be missing")->required();
  app.add_option("--out", flags->out, "Where to write the predictions, as CSV (default: standard output)");
  app.add_option_function<std::vector<std::string>>(
      "--keep", [&questions](const std::vector<std::string>& texts) { questions.keep = names_in(texts); },
      "Columns of the file that come first in the predictions, such as id,name; all: every one");
  app.add_option("--format", questions.format, "Of a file of any name: csv or libsvm, as the training file's")
      ->check(CLI::IsMember({"auto", "csv", "libsvm"}))
      ->capture_default_str();
  add_csv_flags(app, questions.csv);
  app.add_option("--threads", flags->threads, "0: one per processor; never changes the result")->capture_default_str();
  return [flags] { run_predict(*flags); };
}

}  // namespace espalier
