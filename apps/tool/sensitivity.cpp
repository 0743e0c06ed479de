// espalier sensitivity: what a trained network loses when one layer alone is pruned.
#include <fmt/format.h>

#include <filesystem>
#include <string_view>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/predictor.h"
#include "espalier/experiment/sensitivity_report.h"
#include "espalier/optim/progress.h"
#include "espalier/pruning/pruner.h"

namespace espalier {
namespace {

struct SensitivityFlags {
  std::string model, data, data_dir, svg, csv, json;
  Questions questions;  // of a table's file
  std::vector<double> densities{0.5, 0.2, 0.1, 0.05, 0.02};
  std::vector<std::string> protect;
  int threads = 0;
};

// A network that is looked at, and what says how good it is; both as long as this lives.
struct Examined {
  TrainedNetwork network;
  std::string data;  // for people
  Judge judge = nullptr;
};

// The samples of a run that its training held out.
DatasetPtr held_out(const SensitivityFlags& f, const ModelCard& card) {
  const std::filesystem::path file = std::filesystem::path(f.model) / "config.toml";
  std::error_code none;
  require(std::filesystem::exists(file, none),
          "[data] {}: expected the folder of a run, whose data are known, or --data, got neither", f.model);
  RunConfig config = from_toml(file);
  if (!f.data_dir.empty()) config.data_dir = f.data_dir;
  const DataParts parts = load_data(config);
  if (card.fingerprint && *card.fingerprint != fingerprint(parts))
    throw FileError(
        fmt::format("{}: expected the data of {} as when this run began, found other ones", file.string(), parts.name));
  return parts.validation;
}

// Samples of a source by its name, held out of its training part.
DatasetPtr held_out_of_source(const SensitivityFlags& f, const TrainedNetwork& network) {
  require(network.samples.has_value(), "[data] expected a file of rows, for the network is a table's, got {}", f.data);
  const DataParts parts = load(f.data, {.folder = f.data_dir, .standardise = false});
  return standardised(parts.validation, *network.samples);
}

void examine_samples(Examined& e, const DatasetPtr& data, int threads) {
  require(data->samples() > 0,
          "[data] expected validation samples, got a run with --validation 0 (--data gives others)");
  require(e.network.card.input.rank() == 0 || data->shape() == e.network.card.input,
          "[data] {}: expected samples of {}, as the model has them, got {}", data->name(), e.network.card.input.text(),
          data->shape().text());
  constexpr Index batch = 1024;
  const auto inference = std::make_shared<Inference>(*e.network.model, threads);
  const auto loader = std::make_shared<Loader>(data, LoaderOptions{.batch = batch, .shuffle = false});
  e.data = data->name();
  e.judge = [inference, loader] { return inference->evaluate(*loader, nullptr); };
}

// Rows of a file, which are read anew each time.
void examine_rows(Examined& e, const SensitivityFlags& f, int threads) {
  std::error_code none;
  if (!std::filesystem::exists(f.data, none)) throw unknown_data(f.data);
  TrainedNetwork copy{.file = e.network.file, .model = std::move(e.network.model), .encoder = e.network.encoder};
  const auto predictor = std::make_shared<Predictor>(std::move(copy), threads);
  Questions questions = f.questions;
  questions.file = f.data;
  e.data = f.data;
  e.judge = [predictor, questions] {
    const Predictor::Report report = predictor->predict(questions, [](const Answer&) {});
    if (!report.known)
      throw FileError(fmt::format("{}: expected rows whose {} is known, found none", questions.file,
                                  shown(predictor->target().name)));
    const Metrics& m = *report.known;
    return Evaluation{.accuracy = m.accuracy, .rmse = m.rmse, .samples = m.samples, .classes = m.classes};
  };
}

Sensitivity measured(std::span<Parameter* const> layers, const std::vector<double>& densities, const Judge& judge) {
  Index samples = 1;  // of an evaluation
  std::optional<Progress> line;
  const auto progress = [&](Index done, Index most, const std::string& layer) {
    if (done == 0) return fmt::print(stderr, "measuring sensitivity of {} layers ...\n", layers.size());
    if (!line) line.emplace("sensitivity", most * samples, /*wanted=*/true);
    line->update(done * samples, layer);
  };
  const auto counted = [&] {
    const Evaluation now = judge();
    samples = now.samples;
    return now;
  };
  return sensitivity_of(layers, *criterion_named("magnitude"), densities, counted, progress);
}

void write_files(const SensitivityFlags& f, const Sensitivity& sensitivity, const std::string& title) {
  const auto write = [](const std::string& file, const std::string& text) {
    if (file.empty()) return;
    write_file_atomically(file, text);
    fmt::print(stderr, "written: {}\n", file);
  };
  write(f.svg, svg_of(sensitivity, title));
  write(f.csv, csv_of(sensitivity));
  write(f.json, json_of(sensitivity, title));
}

void run_sensitivity(const SensitivityFlags& f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  require_densities(f.densities);
  const int threads = f.threads ? f.threads : default_threads();
  Examined e{.network = open_network(f.model), .data = {}};
  Module& model = *e.network.model;  // wherever it goes
  const std::string name = e.network.card.model;
  const std::vector<Parameter*> layers = pruned_layers(parameters_of(model), f.protect);
  if (f.data.empty())
    examine_samples(e, held_out(f, e.network.card), threads);
  else if (source_of(f.data))
    examine_samples(e, held_out_of_source(f, e.network), threads);
  else
    examine_rows(e, f, threads);
  const Sensitivity sensitivity = measured(layers, f.densities, e.judge);
  const std::string title = name.empty() ? e.data : fmt::format("{} on {}", name, e.data);
  fmt::print("{}", text_of(sensitivity, title));
  write_files(f, sensitivity, title);
}

}  // namespace

Command add_sensitivity(CLI::App& app) {
  auto flags = std::make_shared<SensitivityFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option(
      "--data", flags->data,
      "Instead of the samples that the run held out: of a table, a file of rows with their target; of images "
      "and signals, mnist, cifar10, idx:FOLDER or another source by its name, some of which are held out");
  app.add_option("--data-dir", flags->data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--densities", flags->densities, "Fractions of a layer's weights that are kept, in (0, 1]")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--protect", flags->protect, "Weights that are not looked at, e.g. output.weight")->delimiter(',');
  app.add_option("--format", flags->questions.format, "Of a file of any name: csv or libsvm, as the training file's")
      ->check(one_of({"auto", "csv", "libsvm"}))
      ->capture_default_str();
  add_csv_flags(app, flags->questions.csv);
  app.add_option("--threads", flags->threads, "0: one per processor; never changes the result")->capture_default_str();
  app.add_option("--svg", flags->svg, "Write a picture of the curves here")->check(a_path());
  app.add_option("--csv", flags->csv, "Write the numbers here, a line for each layer and density")->check(a_path());
  app.add_option("--json", flags->json, "Write the numbers here, as JSON")->check(a_path());
  app.footer(
      "Examples:\n"
      "  espalier sensitivity runs/mnist --svg sensitivity.svg\n"
      "  espalier sensitivity model.safetensors --data mnist --densities 0.1,0.01");
  return [flags] { run_sensitivity(*flags); };
}

}  // namespace espalier
