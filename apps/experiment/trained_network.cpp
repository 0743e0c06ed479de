#include "espalier/experiment/trained_network.h"

#include <nlohmann/json.hpp>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

bool is_known(const std::string& model) {
  try {
    model_profile(model);
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

EncoderPtr encoder_in(const std::string& text, const std::string& file) {
  return std::make_shared<const Encoder>(preprocessing_from_json(text, file));
}

// What a run of an older version left beside the model.
EncoderPtr encoder_beside(const std::filesystem::path& model) {
  const std::filesystem::path file = model.parent_path() / preprocessing_file;
  std::error_code none;
  if (!std::filesystem::exists(file, none)) return nullptr;
  constexpr std::uintmax_t limit_bytes = std::uintmax_t{1} << 30;
  return encoder_in(read_file(file, limit_bytes), file.string());
}

Index outputs_of(const TargetRule& target) {
  return target.classes.empty() ? 1 : static_cast<Index>(target.classes.size());
}

std::string in_one_line(const Preprocessing& preprocessing) {
  return nlohmann::ordered_json::parse(to_json(preprocessing)).dump();
}

// That the model is one for what the file says of its samples.
void require_fitting(const TrainedNetwork& network) {
  const auto expect = [&](const Shape& input, Index outputs) {
    if (network.card.input == input && network.card.outputs == outputs) return;
    throw FileError(
        fmt::format("{}: expected a model for samples {} with {} outputs, as its preprocessing has it, "
                    "found one for {} with {}",
                    network.file.string(), input.text(), outputs, network.card.input.text(), network.card.outputs));
  };
  if (network.encoder)
    expect({network.encoder->features()}, outputs_of(network.encoder->rules().target));
  else if (network.samples)
    expect(network.samples->shape, network.samples->class_names.empty()
                                       ? network.card.outputs
                                       : static_cast<Index>(network.samples->class_names.size()));
}

}  // namespace

ModelCard card_of(const Module& model, const DataParts& data) {
  ModelCard card{.dataset = data.name};
  if (is_known(model.name())) {
    card.model = model.name();
    card.input = data.train->shape();
    card.outputs = outputs_for(*data.train);
  }
  if (data.preprocessing)
    card.preprocessing = in_one_line(*data.preprocessing);
  else if (data.train->tokens() == 0)
    card.preprocessing = to_json(sample_rules_of(data));
  return card;
}

ModelCard with_encoder(ModelCard card, const Encoder& encoder) {
  card.input = Shape{encoder.features()};
  card.outputs = outputs_of(encoder.rules().target);
  card.preprocessing = in_one_line(encoder.rules());
  return card;
}

std::filesystem::path model_file_of(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::is_directory(path, none)) return path;
  if (std::filesystem::exists(path / model_file_name, none)) return path / model_file_name;
  throw FileError(fmt::format("{}: expected the folder of one run, or a model's file, found no {} in it", path.string(),
                              model_file_name));
}

TrainedNetwork open_network(const std::filesystem::path& path) {
  TrainedNetwork network{.file = model_file_of(path)};
  const std::string file = network.file.string();
  const ModelCard card = read_card(network.file);
  if (card.version.empty())
    network.encoder = encoder_beside(network.file);
  else if (!card.preprocessing.empty() && kind_of_preprocessing(card.preprocessing, file) == "table")
    network.encoder = encoder_in(card.preprocessing, file);
  else if (!card.preprocessing.empty())
    network.samples = sample_rules_from_json(card.preprocessing, file);
  OpenedModel opened = network.encoder ? open_model(network.file, {network.encoder->features()},
                                                    outputs_of(network.encoder->rules().target))
                                       : open_model(network.file);
  network.model = std::move(opened.model);
  network.card = std::move(opened.card);
  if (!card.version.empty()) require_fitting(network);
  return network;
}

}  // namespace espalier
