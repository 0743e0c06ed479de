// espalier predict: a trained network's answers for the rows of a file, as CSV.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/experiment/predictor.h"

namespace espalier {
namespace {

struct PredictFlags {
  std::string run, file, out;
  int threads = 0;
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
  const Index answer = arg_max(outputs);
  double sum = 0;
  for (const Real z : outputs) sum += std::exp(static_cast<double>(z - outputs[answer]));
  std::string text = csv_field(target.classes[answer]);
  for (const Real z : outputs) text += fmt::format(",{:.6f}", std::exp(static_cast<double>(z - outputs[answer])) / sum);
  return text + "\n";
}

std::string text_of(const Metrics& m, const std::string& target) {
  if (m.classes > 0)
    return fmt::format(
        "of {} rows whose {} is known: accuracy {:.2f} %, balanced {:.2f} %, AUC {:.4f}, log-loss {:.4f}\n", m.samples,
        target, 100 * m.accuracy, 100 * m.balanced_accuracy, m.auc, m.log_loss);
  return fmt::format("of {} rows whose {} is known: RMSE {:.5g}, MAE {:.5g}, R2 {:.4f}\n", m.samples, target, m.rmse,
                     m.mae, m.r2);
}

void run_predict(const PredictFlags& f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  Predictor predictor(f.run, f.threads ? f.threads : default_threads());
  Output out(f.out);
  std::string text = header_of(predictor.target());
  const Predictor::Report report = predictor.predict(f.file, [&](std::span<const Real> outputs) {
    constexpr std::size_t enough = 1 << 16;
    text += line_of(predictor.target(), outputs);
    if (text.size() < enough) return;
    out.write(text);
    text.clear();
  });
  out.write(text);
  out.finish();

  std::FILE* const to = f.out.empty() ? stderr : stdout;
  fmt::print(to, "{} rows{}\n", report.rows, f.out.empty() ? "" : ", written to " + f.out);
  if (!report.notes.empty()) fmt::print(to, "{}\n", report.notes);
  if (report.known) fmt::print(to, "{}", text_of(*report.known, predictor.target().name));
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
