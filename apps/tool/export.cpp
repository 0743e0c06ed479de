// espalier export: a trained network's weights for other programs.
#include "espalier/layers/export.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/onnx.h"

namespace espalier {
namespace {

struct ExportFlags {
  std::string model, to, layer, out;
  bool sparse = false;
};

// What is written into a file of this library; an older one may have had its preprocessing beside it.
ModelCard card_to_write(const TrainedNetwork& network) {
  ModelCard card = network.card;
  if (!network.encoder || !card.preprocessing.empty()) return card;
  return with_encoder(std::move(card), *network.encoder);
}

void run_export(const ExportFlags& f) {
  const bool one_layer = f.to == "npz" || f.to == "mtx";
  require(one_layer != f.layer.empty(), "[layer] expected {} with --to {}, got {}",
          one_layer ? "the name of a layer's weights such as fc1.weight" : "none", f.to,
          f.layer.empty() ? "none" : f.layer);
  require(!f.sparse || f.to == "onnx", "[sparse] expected to be given with --to onnx only, got --to {}", f.to);
  std::error_code none;
  require(!is_file_of_run(f.out, f.model) && !std::filesystem::equivalent(f.out, f.model, none),
          "[out] expected a file that is none of the run's own, got {}", f.out);
  const TrainedNetwork network = open_network(f.model);
  if (f.to == "safetensors")
    save_model(*network.model, card_to_write(network), f.out);
  else if (f.to == "csr")
    export_csr(*network.model, f.out);
  else if (f.to == "onnx")
    export_onnx(*network.model, card_to_write(network), f.sparse ? OnnxInitialisers::sparse : OnnxInitialisers::dense,
                f.out);
  else if (f.to == "npz")
    export_npz(parameter_named(*network.model, f.layer), f.out);
  else
    export_mtx(parameter_named(*network.model, f.layer), f.out);
  fmt::print("{}: {} bytes\n", f.out, std::filesystem::file_size(f.out, none));
}

}  // namespace

Command add_export(CLI::App& app) {
  auto flags = std::make_shared<ExportFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option("--to", flags->to,
                 "safetensors (a model's file as this version writes it), csr (safetensors with .data, .indices, "
                 ".indptr and .shape of every matrix), onnx, npz (of scipy.sparse) or mtx (MatrixMarket)")
      ->check(CLI::IsMember({"safetensors", "csr", "onnx", "npz", "mtx"}))
      ->required();
  app.add_option("--layer", flags->layer, "With npz and mtx: which weights, such as fc1.weight");
  app.add_flag("--sparse", flags->sparse, "With onnx: store matrices below a density of a third as their live weights");
  app.add_option("--out", flags->out, "The file to write")->required();
  return [flags] { run_export(*flags); };
}

}  // namespace espalier
