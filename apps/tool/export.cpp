// espalier export: a trained network's weights for other programs.
#include "espalier/layers/export.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "apps/tool/compress.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/onnx.h"

namespace espalier {
namespace {

struct ExportFlags {
  std::string model, to, layer, out;
  CompressOptions compress;
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
  require(f.to == "compressed" || f.compress == CompressOptions{},
          "[to] expected compressed with --codebook, --bits, --fine-tune or --threads, got {}", f.to);
  TrainedNetwork network = open_network(f.model);
  if (f.to == "safetensors")
    save_model(*network.model, card_to_write(network), f.out);
  else if (f.to == "csr")
    save_model(*network.model, card_to_write(network), f.out, {.layout = Layout::csr});
  else if (f.to == "compressed") {
    const ModelCard card = card_to_write(network);
    return export_compressed(std::move(network), card, f.model, f.compress, f.out);
  } else if (f.to == "onnx")
    export_onnx(*network.model, card_to_write(network), f.sparse ? OnnxInitialisers::sparse : OnnxInitialisers::dense,
                f.out);
  else if (f.to == "npz")
    export_npz(parameter_named(*network.model, f.layer), f.out);
  else
    export_mtx(parameter_named(*network.model, f.layer), f.out);
  if (std::filesystem::is_regular_file(f.out, none))
    fmt::print("{}: {} bytes\n", f.out, std::filesystem::file_size(f.out, none));
}

}  // namespace

Command add_export(CLI::App& app) {
  auto flags = std::make_shared<ExportFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option("--to", flags->to,
                 "safetensors (a model's file as this version writes it), csr (the same, with .data, .indices, .indptr "
                 "and .shape of every matrix), compressed (Deep Compression: the same, weights sharing a few values), "
                 "onnx, npz (of scipy.sparse) or mtx (MatrixMarket)")
      ->check(one_of({"safetensors", "csr", "compressed", "onnx", "npz", "mtx"}))
      ->required();
  app.add_option("--layer", flags->layer, "With npz and mtx: which weights, such as fc1.weight");
  app.add_flag("--sparse", flags->sparse, "With onnx: store matrices below a density of a third as their live weights");
  app.add_option("--out", flags->out, "The file to write")->required();
  add_compress_flags(app, flags->compress);
  app.footer(
      "Examples:\n"
      "  espalier export runs/mnist --to csr --out mnist.safetensors\n"
      "  espalier export runs/mnist --to compressed --fine-tune 2 --out small.safetensors\n"
      "  espalier export runs/mnist --to onnx --out mnist.onnx\n"
      "  espalier export runs/mnist --to npz --layer fc1.weight --out fc1.npz");
  return [flags] { run_export(*flags); };
}

}  // namespace espalier
