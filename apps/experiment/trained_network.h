// A trained network as its file has it: the model, and how what is asked becomes features.
//
//   model.safetensors   ──►   model   +   an encoder of a table's rows, or rules for images and signals
#pragma once

#include <filesystem>
#include <optional>

#include "espalier/datasets/parts.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/datasets/sample_rules.h"
#include "espalier/layers/model_file.h"

namespace espalier {

// What a file says of a model that was trained on these data: the model's name, if make_model knows it, the data's, and
// how samples become features, unless they are text.
ModelCard card_of(const Module& model, const DataParts& data);

// The card of a model whose preprocessing stands elsewhere, with it.
ModelCard with_encoder(ModelCard card, const Encoder& encoder);

// The file of a model that is named by the folder of its run or by itself. Throws FileError if the folder has none.
std::filesystem::path model_file_of(const std::filesystem::path& path);

struct TrainedNetwork {
  std::filesystem::path file;  // of the model
  ModulePtr model;
  ModelCard card;
  EncoderPtr encoder;                  // of a table, else null
  std::optional<SampleRules> samples;  // of images and signals
};

// path: the folder of a run, or a model's file, which may lie anywhere. A file of format espalier-1 needs the
// preprocessing.json that was left beside it. Throws FileError.
TrainedNetwork open_network(const std::filesystem::path& path);

}  // namespace espalier
