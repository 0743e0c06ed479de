// espalier shrink: the same network with less in it.
#include "espalier/experiment/shrink.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/experiment/run_folder.h"

namespace espalier {
namespace {

struct ShrinkFlags {
  std::string model, out;
  ShrinkOptions options;
  bool json = false;
};

void run_shrink(const ShrinkFlags& f) {
  std::error_code none;
  require(!is_file_of_run(f.out, f.model) && !std::filesystem::equivalent(f.out, f.model, none),
          "[out] expected a file that is none of the run's own, got {}", f.out);
  TrainedNetwork network = open_network(f.model);
  const Shrunk shrunk = shrink(network, f.options);
  const ModelCard card = network.encoder && network.card.preprocessing.empty()
                             ? with_encoder(network.card, *network.encoder)
                             : network.card;
  save_model(*network.model, card, f.out);
  fmt::print("{}", f.json ? json_of(shrunk, network) : text_of(shrunk));
}

}  // namespace

Command add_shrink(CLI::App& app) {
  auto flags = std::make_shared<ShrinkFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_option("--out", flags->out, "The file to write")->required();
  app.add_option("--protect", flags->options.guards.protect,
                 "Layers of which nothing goes: fc1,conv2 (inspect --groups lists them)")
      ->delimiter(',');
  app.add_option("--minimum", flags->options.guards.minimum, "So many units of each layer stay, if it has so many")
      ->capture_default_str();
  app.add_flag("--fold-norm", flags->options.fold_norm,
               "Make batch norms part of the layers before them, where that is possible: the answers stay the same");
  app.add_flag("--keep-inputs", flags->options.keep_inputs,
               "Columns of a table that nothing reads stay in the model and in its preprocessing");
  app.add_flag("--json", flags->json, "Print the sizes as JSON, and which inputs are still read");
  return [flags] { run_shrink(*flags); };
}

}  // namespace espalier
