#include "apps/tool/inspect_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <vector>

#include "apps/tool/terminal_plot.h"
#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/module.h"

namespace espalier {
namespace {

// How the file holds a parameter.
struct InFile {
  std::string form;
  std::uintmax_t bytes = 0;
};

InFile in_file(const SafeTensors& file, const std::string& parameter) {
  InFile found{.form = "?"};
  if (const auto form = file.metadata.find("form/" + parameter); form != file.metadata.end()) found.form = form->second;
  for (const SafeTensor& tensor : file.tensors)
    if (tensor.name == parameter || tensor.name.starts_with(parameter + ".")) found.bytes += bytes_of(tensor);
  return found;
}

std::string kept_of(double kept, double all) {
  return fmt::format("{} of {}", with_commas(kept), with_commas(all));
}

std::string parameter_table_of(const std::vector<const Parameter*>& parameters, const SafeTensors& file) {
  std::size_t widest = 16;
  for (const Parameter* W : parameters) widest = std::max(widest, W->name().size());
  std::string text = fmt::format("{:<{}}{:>14}{:>24}{:>10}  {:<8}{:<14}{:>12}\n", "parameter", widest, "shape", "kept",
                                 "density", "storage", "in file", "bytes");
  for (const Parameter* W : parameters) {
    const InFile stored = in_file(file, W->name());
    text += fmt::format("{:<{}}{:>14}{:>24}{:>10.4f}  {:<8}{:<14}{:>12}\n", W->name(), widest,
                        fmt::format("{} x {}", W->rows(), W->cols()),
                        kept_of(static_cast<double>(W->nonzeros()), static_cast<double>(W->positions())), W->density(),
                        name_of(W->storage()), stored.form, with_commas(static_cast<double>(stored.bytes)));
  }
  return text;
}

std::string histograms_of(const std::vector<const Parameter*>& parameters) {
  std::string text;
  for (const Parameter* W : parameters) {
    if (!W->prunable()) continue;
    std::vector<double> values;
    W->for_each_weight([&](Index, Index, Index at) { values.push_back(static_cast<double>(W->value()[at])); });
    text += fmt::format("\nvalues of {}, the {} weights that are kept\n", W->name(),
                        with_commas(static_cast<double>(values.size())));
    text += histogram_text(values);
  }
  return text;
}

// How many weights of each column are kept, and that of the fullest one.
struct Readers {
  std::vector<double> of_column;
  double most = 0;
  std::ptrdiff_t unread = 0;
};

Readers readers_of(const Parameter& W) {
  Readers readers{.of_column = std::vector<double>(static_cast<std::size_t>(W.cols()), 0.0)};
  W.for_each_weight([&](Index, Index column, Index) { ++readers.of_column[static_cast<std::size_t>(column)]; });
  readers.most = *std::ranges::max_element(readers.of_column);
  readers.unread = std::ranges::count(readers.of_column, 0.0);
  return readers;
}

// Which pixels the units of a linear layer read, channel by channel.
std::string picture_over_image(const Parameter& W, const Shape& image) {
  const Readers readers = readers_of(W);
  std::string text = fmt::format(
      "\n{} over the {} x {} image: how many of the {} units read a pixel, from ' ' for none to '@' for {:.0f}; {} of "
      "{} "
      "numbers are not read\n",
      W.name(), image[1], image[2], W.rows(), readers.most, readers.unread, W.cols());
  const auto pixels = static_cast<std::size_t>(image[1] * image[2]);
  for (Index channel = 0; channel < image[0]; ++channel) {
    if (image[0] > 1) text += fmt::format("channel {}\n", channel);
    const std::span<const double> of_channel =
        std::span(readers.of_column).subspan(static_cast<std::size_t>(channel) * pixels, pixels);
    text += grid_text(of_channel, static_cast<std::size_t>(image[1]), static_cast<std::size_t>(image[2]), readers.most);
  }
  return text;
}

// Which columns of a table the units read, those that are read most first.
std::string columns_read(const Parameter& W, const Preprocessing& rules) {
  const std::vector<Index> source = rules.source_columns();
  std::map<Index, double> weights;
  for (const Index column : source) weights[column] = 0;
  W.for_each_weight([&](Index, Index feature, Index) { ++weights[source[static_cast<std::size_t>(feature)]]; });
  std::vector<std::pair<Index, double>> order(weights.begin(), weights.end());
  std::ranges::stable_sort(order, std::greater{}, &std::pair<Index, double>::second);
  constexpr std::size_t most_columns = 24, longest_bar = 40;
  std::string text = fmt::format("\ncolumns that {} reads, by the weights kept\n", W.name());
  for (std::size_t i = 0; i < std::min(order.size(), most_columns); ++i) {
    const auto& [column, count] = order[i];
    const double part = order[0].second > 0 ? count / order[0].second : 0;
    text += fmt::format("{:>24} {:>8}  {:#<{}}\n", shown(rules.column_name(column)), with_commas(count), "",
                        static_cast<std::size_t>(std::ceil(part * longest_bar)));
  }
  if (order.size() > most_columns)
    text += fmt::format("{:>24}\n", fmt::format("and {} more", order.size() - most_columns));
  return text;
}

// The matrix itself, in cells if it is large: how much of each is kept.
std::string picture_of_matrix(const Parameter& W) {
  constexpr Index most_positions = Index{1} << 24;
  if (W.positions() > most_positions) return "";
  std::vector<double> live(static_cast<std::size_t>(W.positions()), 0.0);
  W.for_each_weight(
      [&](Index row, Index column, Index) { live[static_cast<std::size_t>(row * W.cols() + column)] = 1; });
  return fmt::format("\n{}: which weights are kept, a row for each output, from ' ' for none to '@' for all\n",
                     W.name()) +
         grid_text(live, static_cast<std::size_t>(W.rows()), static_cast<std::size_t>(W.cols()), 1);
}

// What the first layer that may be pruned reads.
std::string first_layer_of(const TrainedNetwork& network, const std::vector<const Parameter*>& parameters) {
  const auto first = std::ranges::find_if(parameters, [](const Parameter* W) { return W->prunable(); });
  if (first == parameters.end()) return "";
  const Parameter& W = **first;
  const Shape& input = network.card.input;
  if (network.encoder && network.encoder->features() == W.cols()) return columns_read(W, network.encoder->rules());
  if (input.rank() == 3 && input[0] * input[1] * input[2] == W.cols()) return picture_over_image(W, input);
  return picture_of_matrix(W);
}

// One number of the lines of metrics.jsonl over the epochs of each side, rounds one after the other.
std::vector<Series> series_of(const std::vector<Json>& epochs, const char* key) {
  std::vector<Series> all{{.name = "dense", .mark = 'o', .x = {}, .y = {}},
                          {.name = "sparse", .mark = '*', .x = {}, .y = {}}};
  for (Series& series : all)
    for (const Json& line : epochs)
      if (line.value("side", "") == series.name) {
        series.x.push_back(static_cast<double>(series.x.size() + 1));
        const auto number = line.find(key);
        series.y.push_back(number != line.end() && number->is_number() ? number->get<double>() : NAN);
      }
  std::erase_if(all, [](const Series& series) { return series.x.empty(); });
  return all;
}

}  // namespace

std::string curves_of_run(const std::filesystem::path& metrics) {
  constexpr std::uintmax_t limit_bytes = std::uintmax_t{1} << 28;
  std::istringstream lines(read_file(metrics, limit_bytes));
  std::vector<Json> epochs;
  Index number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || (json.contains("side") && !json["side"].is_string()))
      throw FileError(
          fmt::format("{}: line {}: expected a JSON object, found {}", metrics.string(), number, quoted(line)));
    if (json.contains("epoch")) epochs.push_back(std::move(json));
  }
  struct Curve {
    const char *key, *title;
  };
  std::string text;
  for (const auto& [key, title] : {Curve{"validation_accuracy", "accuracy on validation samples"},
                                   Curve{"validation_rmse", "RMSE on validation samples"},
                                   Curve{"train_loss", "training loss"}, Curve{"density", "density"}})
    if (const std::string curves = curves_text(title, series_of(epochs, key), "epoch"); !curves.empty())
      text += "\n" + curves;
  return text;
}

std::string inspection_of(const std::filesystem::path& path) {
  const TrainedNetwork network = open_network(path);
  const SafeTensors file = load_safetensors(network.file);
  const Module& model = *network.model;
  const std::vector<const Parameter*> parameters = parameters_of(model);
  const Census census = census_of(model);
  std::error_code none;
  std::string text = fmt::format(
      "{}: {}{}, for samples {}\n{} parameters are left, weights at density {:.4f}; {}\n\n", network.file.string(),
      network.card.model, network.card.dataset.empty() ? "" : ", trained on " + shown(network.card.dataset),
      network.card.input.text(),
      kept_of(static_cast<double>(census.nonzeros()), static_cast<double>(census.parameters())), census.density(),
      text_of_bytes(static_cast<double>(std::filesystem::file_size(network.file, none))));
  text += parameter_table_of(parameters, file) + histograms_of(parameters) + first_layer_of(network, parameters);
  const std::filesystem::path metrics = path / "metrics.jsonl";
  if (std::filesystem::is_directory(path, none) && std::filesystem::exists(metrics, none))
    text += curves_of_run(metrics);
  return text;
}

}  // namespace espalier
