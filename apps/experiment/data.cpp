#include "espalier/experiment/data.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/layers/models.h"
#include "espalier/optim/progress.h"

namespace espalier {
namespace {

// What a model is trained on if the user leaves it open.
std::string suits(const std::string& model) {
  const ModelProfile profile = model_profile(model);
  if (profile.sequences) return "synthetic-signals";
  return profile.images && profile.input[0] == 3 ? "cifar10" : "mnist";
}

// What suits a model, or what is generated in its place where its files are not found.
std::string chosen_for(const RunConfig& config) {
  const DataSource& source = data_sources().named(suits(config.model));
  if (!source.from_files() || !folder_of(source, config.data_dir).empty()) return source.name;
  const DataSource& substitute = data_sources().named(source.substitute);
  fmt::print(stderr, "no {} files in $ESPALIER_DATA or ./data: using {} instead\n", source.title, substitute.title);
  return substitute.name;
}

}  // namespace

DataParts load_data(RunConfig& config) {
  const std::string name = config.data == "auto" ? chosen_for(config) : config.data;
  const Waiting waiting(fmt::format("reading {}", shown(name)));
  DataParts parts = load(name, {.folder = config.data_dir,
                                .validation = config.validation,
                                .seed = config.seed,
                                .table = config.table,
                                .test_file = config.test_data,
                                .format = config.format});
  config.data = name;
  return parts;
}

std::string encoding_of(const TableOptions& table) {
  return fmt::format("{} {} {}", table.scaling, table.encoding, table.impute);
}

void require_known_data(const std::string& name, const std::string& format) {
  if (name != "auto" && !knows_data(name, format)) throw unknown_data(name, "auto, ");
  require(name != "auto" || format == "auto", "[format] expected auto unless data are a file, got {}", format);
}

Augmentation augmentation_named(const std::string& name) {
  constexpr Index pad = 4;  // as all the literature on CIFAR has it
  if (name == "none") return {};
  if (name == "flip") return {.flip = true};
  if (name == "crop-flip") return {.pad = pad, .flip = true};
  throw not_among({"none", "flip", "crop-flip"}, "augment", name);
}

}  // namespace espalier
