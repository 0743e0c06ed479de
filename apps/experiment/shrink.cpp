#include "espalier/experiment/shrink.h"

#include <algorithm>
#include <map>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/models.h"
#include "espalier/layers/narrow_inputs.h"

namespace espalier {
namespace {

// fc1 of fc1.weight and fc1.bias.
std::string layer_name_of(const std::string& parameter) {
  return parameter.substr(0, parameter.rfind('.'));
}

Shape sample_shape_of(const TrainedNetwork& network) {
  if (network.card.input.rank() > 0) return network.card.input;
  require(network.encoder != nullptr, "[shrink] {}: expected a file that says the shape of a sample",
          network.file.string());
  return {network.encoder->features()};
}

// A matrix of which every weight lives needs no pattern.
void store_densely_where_full(Module& model) {
  for (Parameter* W : parameters_of(model))
    if (W->pattern() && W->nonzeros() == W->positions()) W->become(nullptr, Storage::dense);
}

std::string size_pair(const std::string& before, const std::string& after) {
  return before == after ? before : before + " -> " + after;
}

Json size_json(const ModelSize& size) {
  Json layers = Json::array();
  for (const LayerSize& layer : size.layers)
    layers.push_back({{"name", layer.name},
                      {"units", layer.units},
                      {"parameters", layer.parameters},
                      {"forward_flops", layer.flops},
                      {"bytes", layer.bytes}});
  return {{"layers", std::move(layers)},
          {"parameters", size.parameters},
          {"forward_flops", size.flops},
          {"file_bytes", size.file_bytes}};
}

// Of each column of a table whether anything reads a feature of it.
std::vector<bool> columns_read(const Preprocessing& rules, const std::vector<Index>& features_read) {
  std::vector<bool> read(rules.columns.size(), false);
  const std::vector<Index> sources = rules.source_columns();
  for (const Index feature : features_read) read[static_cast<std::size_t>(sources[feature])] = true;
  return read;
}

// Whether the model's name makes a network for so many features.
bool takes_features(const ModelCard& card, Index features) {
  constexpr double hardly_any = 1e-12;
  try {
    make_model(card.model, {.input = {features}, .outputs = card.outputs, .density = hardly_any});
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

// Leaves out what nothing reads, where the file can say so: of a table, columns as a whole.
void drop_inputs(TrainedNetwork& network, Shrunk& shrunk) {
  if (!network.encoder || network.encoder->rules().columns.empty()) return;
  Preprocessing rules = network.encoder->rules();
  const std::vector<bool> read = columns_read(rules, shrunk.dead.inputs);
  const std::vector<Index> sources = rules.source_columns();
  std::vector<Index> kept;
  for (Index f = 0; f < std::ssize(sources); ++f)
    if (read[static_cast<std::size_t>(sources[f])]) kept.push_back(f);
  std::vector<std::string> unread;
  for (std::size_t c = 0; c < read.size(); ++c) {
    ColumnRule& column = rules.columns[c];
    if (read[c] || column.features() == 0) continue;
    unread.push_back(column.name);
    column = {.name = column.name, .kind = ColumnKind::ignored, .why = "nothing reads it"};
  }
  if (unread.empty()) return;
  if (kept.empty())
    shrunk.why_they_stay = "a model has at least one input";
  else if (!takes_features(network.card, std::ssize(kept)))
    shrunk.why_they_stay = fmt::format("{} says how many inputs there are", network.card.model);
  else if (!narrow_inputs(*network.model, std::ssize(sources), kept))
    shrunk.why_they_stay = "not only matrices read the inputs";
  if (!shrunk.why_they_stay.empty()) {
    shrunk.columns_stay = std::move(unread);
    return;
  }
  shrunk.columns_gone = std::move(unread);
  network.encoder = std::make_shared<const Encoder>(std::move(rules));
  network.card = with_encoder(network.card, *network.encoder);
}

std::string norms_in_words(const FoldedNorms& norms) {
  std::string text = fmt::format("{} batch norms folded into the layers before them", norms.folded.size());
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const FoldedNorms::Stays& norm : norms.stay) by_reason[norm.why].push_back(norm.name);
  for (const auto& [why, names] : by_reason) text += fmt::format("; {} stay, for {}", fmt::join(names, ", "), why);
  return text + "\n";
}

std::string columns_in_words(const Shrunk& shrunk) {
  std::string text;
  if (!shrunk.columns_gone.empty())
    text += fmt::format("{} columns that nothing reads are no inputs any more: {} (--keep-inputs keeps them)\n",
                        shrunk.columns_gone.size(), shown(fmt::format("{}", fmt::join(shrunk.columns_gone, ", "))));
  if (!shrunk.columns_stay.empty())
    text +=
        fmt::format("{} columns that nothing reads stay, for {}\n", shrunk.columns_stay.size(), shrunk.why_they_stay);
  return text;
}

// What became of the dead, in words.
std::string fates_of(const DeadUnits& dead) {
  std::string text = fmt::format("{} units taken out", dead.removed());
  if (dead.removed() > 0)
    text += fmt::format(": {} that nothing reads, {} constants that are in the next biases now", dead.without_effect,
                        dead.folded);
  if (dead.constants_stay > 0)
    text += fmt::format("; {} constants stay, because what reads them pads, or has no bias, or remembers",
                        dead.constants_stay);
  return text + "\n";
}

}  // namespace

ModelSize size_of(const Module& model, const Shape& input, const ModelCard& card) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  ModelSize size;
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    const Parameter& W = *reads.W;
    LayerSize layer{.name = W.name(), .units = reads.transposed ? W.cols() : W.rows()};
    if (const auto* patches = std::get_if<Patches>(&reads.kind); patches && reads.transposed)
      layer.units = W.cols() / patches->window.taps() * patches->window.groups;
    if (!std::holds_alternative<Tokens>(reads.kind))
      layer.flops = static_cast<std::uint64_t>(2 * operands_of(tape, node, reads) * W.nonzeros());
    size.flops += layer.flops;
    size.layers.push_back(std::move(layer));
  });
  const SavedModel file = model_bytes(model, card);
  size.file_bytes = file.file_bytes;
  size.parameters = census_of(model).nonzeros();
  // Biases and what is learnt besides go with the weights of the same layer, or with those before them.
  std::size_t at = 0;
  const auto layer_of = [&](const std::string& name) -> LayerSize& {
    for (std::size_t i = 0; i < size.layers.size(); ++i)
      if (layer_name_of(size.layers[i].name) == layer_name_of(name)) at = i;
    return size.layers[at];
  };
  if (size.layers.empty()) return size;
  model.visit_parameters([&](const Parameter& W) {
    LayerSize& layer = layer_of(W.name());
    layer.parameters += W.nonzeros();
    for (const StoredLayer& stored : file.layers)
      if (stored.name == W.name()) layer.bytes += stored.bytes;
  });
  return size;
}

Shrunk shrink(TrainedNetwork& network, const ShrinkOptions& options) {
  const Shape input = sample_shape_of(network);
  Shrunk shrunk{.dead = {}, .before = size_of(*network.model, input, network.card), .after = {}};
  shrunk.dead = remove_dead_units(*network.model, input, options.guards);
  if (options.fold_norm) shrunk.norms = fold_norms(*network.model, input);
  if (!options.keep_inputs) drop_inputs(network, shrunk);
  store_densely_where_full(*network.model);
  shrunk.after = size_of(*network.model, sample_shape_of(network), network.card);
  return shrunk;
}

std::string text_of(const Shrunk& shrunk) {
  std::string text =
      fmt::format("{:28} {:>14} {:>22} {:>22} {:>22}\n", "layer", "units", "parameters", "FLOPs of a sample", "bytes");
  const auto line = [&](const std::string& name, const std::string& units, const LayerSize& b, const LayerSize& a) {
    const auto count = [](auto n) { return text_of_count(static_cast<double>(n)); };
    const auto bytes = [](auto n) { return text_of_bytes(static_cast<double>(n)); };
    text += fmt::format("{:28} {:>14} {:>22} {:>22} {:>22}\n", name, units,
                        size_pair(count(b.parameters), count(a.parameters)), size_pair(count(b.flops), count(a.flops)),
                        size_pair(bytes(b.bytes), bytes(a.bytes)));
  };
  const ModelSize &before = shrunk.before, &after = shrunk.after;
  for (std::size_t i = 0; i < before.layers.size(); ++i) {
    const LayerSize &b = before.layers[i], &a = after.layers[i];
    line(b.name, size_pair(fmt::format("{}", b.units), fmt::format("{}", a.units)), b, a);
  }
  line("the whole file", "", {.parameters = before.parameters, .flops = before.flops, .bytes = before.file_bytes},
       {.parameters = after.parameters, .flops = after.flops, .bytes = after.file_bytes});
  return text + "\n" + fates_of(shrunk.dead) + (shrunk.norms ? norms_in_words(*shrunk.norms) : "") +
         fmt::format("{} features of a sample are read\n", shrunk.dead.inputs.size()) + columns_in_words(shrunk);
}

std::string json_of(const Shrunk& shrunk, const TrainedNetwork& network) {
  const DeadUnits& dead = shrunk.dead;
  Json json = {{"before", size_json(shrunk.before)}, {"after", size_json(shrunk.after)},
               {"removed_units", dead.removed()},    {"removed_without_effect", dead.without_effect},
               {"removed_constants", dead.folded},   {"constants_that_stay", dead.constants_stay}};
  json["dropped_columns"] = shrunk.columns_gone;
  if (shrunk.norms) {
    json["folded_norms"] = shrunk.norms->folded;
    json["norms_that_stay"] = Json::array();
    for (const FoldedNorms::Stays& norm : shrunk.norms->stay)
      json["norms_that_stay"].push_back({{"name", norm.name}, {"why", norm.why}});
  }
  if (network.encoder)
    json["surviving_inputs"] = surviving_inputs(*network.model, network.encoder->rules());
  else
    json["surviving_inputs"] = dead.inputs;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace espalier
