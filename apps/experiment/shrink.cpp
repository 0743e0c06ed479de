#include "espalier/experiment/shrink.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"

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

Shrunk shrink(TrainedNetwork& network, const WidthGuards& guards) {
  const Shape input = sample_shape_of(network);
  Shrunk shrunk{.dead = {}, .before = size_of(*network.model, input, network.card), .after = {}};
  shrunk.dead = remove_dead_units(*network.model, input, guards);
  store_densely_where_full(*network.model);
  shrunk.after = size_of(*network.model, input, network.card);
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
  return text + "\n" + fates_of(shrunk.dead) +
         fmt::format("{} features of a sample are read\n", shrunk.dead.inputs.size());
}

std::string json_of(const Shrunk& shrunk, const TrainedNetwork& network) {
  const DeadUnits& dead = shrunk.dead;
  Json json = {{"before", size_json(shrunk.before)}, {"after", size_json(shrunk.after)},
               {"removed_units", dead.removed()},    {"removed_without_effect", dead.without_effect},
               {"removed_constants", dead.folded},   {"constants_that_stay", dead.constants_stay}};
  if (network.encoder)
    json["surviving_inputs"] = surviving_inputs(*network.model, network.encoder->rules());
  else
    json["surviving_inputs"] = dead.inputs;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace espalier
