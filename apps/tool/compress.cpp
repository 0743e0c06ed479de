#include "apps/tool/compress.h"

#include <fmt/format.h>

#include "espalier/core/error.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/weight_sharing.h"

namespace espalier {
namespace {

void print_layers(const Module& model, const SavedModel& plain, const SavedModel& written) {
  fmt::print("{:<24} {:>10} {:>8} {:>7}  {:<15} {:>10} {:>10}\n", "", "weights", "kept", "values", "form", "bytes",
             "before");
  const std::vector<const Parameter*> parameters = parameters_of(model);
  for (std::size_t i = 0; i < written.layers.size(); ++i) {
    const StoredLayer& layer = written.layers[i];
    std::string positions, kept, values;
    if (i < parameters.size()) {  // state comes behind
      const Parameter& W = *parameters[i];
      positions = fmt::format("{}", W.positions());
      kept = fmt::format("{}", W.nonzeros());
      if (const auto sharing = sharing_of(W)) values = fmt::format("{}", sharing->codebook.size());
    }
    fmt::print("{:<24} {:>10} {:>8} {:>7}  {:<15} {:>10} {:>10}\n", layer.name, positions, kept, values, layer.form,
               layer.bytes, plain.layers[i].bytes);
  }
  fmt::print("{:<24} {:>10} {:>8} {:>7}  {:<15} {:>10} {:>10}\n", "file", "", "", "", "", written.file_bytes,
             plain.file_bytes);
}

}  // namespace

void add_compress_flags(CLI::App& app, CompressOptions& options) {
  app.add_option("--codebook", options.codebook,
                 "With compressed: kmeans (weights take the means of clusters) or linear (8 bits, equal steps)")
      ->check(CLI::IsMember({"kmeans", "linear"}))
      ->capture_default_str();
  app.add_option("--bits", options.bits,
                 "With kmeans: 1 to 8 for each weight; 0: 8 in convolutions and 4 elsewhere, fewer in small layers")
      ->capture_default_str();
  app.add_option("--fine-tune", options.fine_tune, "With kmeans: train the shared values for so many epochs")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "With compressed: 0: one per processor; never changes the result")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

void export_compressed(TrainedNetwork network, const ModelCard& card, const std::filesystem::path& path,
                       const CompressOptions& options, const std::filesystem::path& out) {
  const SavedModel plain = model_bytes(*network.model, card);
  const Compression result = compress(network, path, options);
  const SavedModel written = save_model(*network.model, card, out, {.layout = Layout::compressed});
  print_layers(*network.model, plain, written);
  const std::string target = network.encoder ? network.encoder->rules().target.name : "class";
  const std::string samples = network.encoder ? "rows" : "samples";
  if (result.before) {
    fmt::print("\nbefore: {}", metrics_line_of(*result.before, target, samples));
    fmt::print("after:  {}", metrics_line_of(*result.after, target, samples));
  } else {
    fmt::print("\nhow good it is was not measured, for this is no run's folder: `espalier evaluate` can\n");
  }
}

}  // namespace espalier
