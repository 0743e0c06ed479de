// espalier evaluate: how good a trained network is on other data.
#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/sample_files.h"
#include "espalier/experiment/class_table.h"
#include "espalier/experiment/predictor.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/sample_predictor.h"
#include "espalier/experiment/text.h"

namespace espalier {
namespace {

struct EvaluateFlags {
  std::string model, data, data_dir, part = "test";
  Questions questions;  // of a table
  int threads = 0;
  bool json = false;
};

Quality of_rows(TrainedNetwork network, const EvaluateFlags& f, int threads) {
  require(!source_of(f.data), "[data] expected a file of rows, for the network is a table's, got {}", f.data);
  Predictor predictor(std::move(network), threads);
  predictor.know_rows_of(f.model);
  Questions questions = f.questions;
  questions.file = f.data;
  const Predictor::Report report = predictor.predict(questions, [](const Answer&) {});
  if (!report.known)
    throw FileError(
        fmt::format("{}: expected rows whose {} is known, found none", f.data, shown(predictor.target().name)));
  return {.data = f.data,
          .metrics = *report.known,
          .confusion = report.confusion,
          .class_names = predictor.target().classes,
          .notes = report.notes};
}

// A part of data that are known by name, as they were read.
DatasetPtr part_of(const EvaluateFlags& f, const SampleRules& rules) {
  const DataParts parts = load(f.data, {.folder = f.data_dir, .validation = 0, .standardise = false});
  require(parts.class_names.empty() || rules.class_names.empty() || parts.class_names == rules.class_names,
          "[data] {}: expected the classes {}, as the model has them, got {}", f.data,
          fmt::join(rules.class_names, ", "), fmt::join(parts.class_names, ", "));
  return f.part == "test" ? parts.test : parts.train;
}

Quality of_samples(TrainedNetwork network, const EvaluateFlags& f, int threads) {
  SamplePredictor predictor(std::move(network), threads);
  if (source_of(f.data)) return quality_of(predictor, part_of(f, predictor.rules()));
  std::error_code none;
  if (!std::filesystem::exists(f.data, none)) throw unknown_data(f.data);
  const SampleFile file = read_samples(f.data, predictor.rules(), predictor.width());
  if (!file.labelled)
    throw FileError(
        fmt::format("{}: expected samples with labels, such as CIFAR's records, found none with them; "
                    "idx:FOLDER reads images with their labels",
                    f.data));
  return quality_of(predictor, file.data);
}

void run_evaluate(const EvaluateFlags& f) {
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  const int threads = f.threads ? f.threads : default_threads();
  TrainedNetwork network = open_network(f.model);
  const bool samples = network.samples.has_value();
  const std::string target = network.encoder ? shown(network.encoder->rules().target.name) : "class";
  const Quality quality =
      samples ? of_samples(std::move(network), f, threads) : of_rows(std::move(network), f, threads);
  for (const std::string& note : quality.notes) fmt::print(stderr, "{}\n", note);
  if (f.json) {
    Json json = {{"data", quality.data}, {"samples", quality.metrics.samples}};
    json.update(to_json(quality.metrics));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  fmt::print("{}", metrics_line_of(quality.metrics, target, samples ? "samples" : "rows"));
  if (const std::string table = class_table_of(quality.confusion, quality.class_names); !table.empty())
    fmt::print("\n{}", table);
}

}  // namespace

Command add_evaluate(CLI::App& app) {
  auto flags = std::make_shared<EvaluateFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option("--data", flags->data,
                 "Of a table: a file of rows with their target. Of images and signals: mnist, cifar10, idx:FOLDER or "
                 "another source by its name, or a file of CIFAR's records")
      ->required();
  app.add_option("--data-dir", flags->data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--part", flags->part, "Of a source by its name: test or train")
      ->check(one_of({"test", "train"}))
      ->capture_default_str();
  app.add_option("--format", flags->questions.format, "Of a file of any name: csv or libsvm, as the training file's")
      ->check(one_of({"auto", "csv", "libsvm"}))
      ->capture_default_str();
  add_csv_flags(app, flags->questions.csv);
  app.add_option("--threads", flags->threads, "0: one per processor; never changes the result")->capture_default_str();
  app.add_flag("--json", flags->json, "Print the metrics as JSON, with the keys of result.json");
  app.footer(
      "Examples:\n"
      "  espalier evaluate runs/mnist --data mnist\n"
      "  espalier evaluate runs/income --data more_people.csv");
  return [flags] { run_evaluate(*flags); };
}

}  // namespace espalier
