#include "espalier/experiment/compress.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/datasets/fingerprint.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/from_config.h"
#include "espalier/layers/weight_sharing.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {
namespace {

struct SharedLayer {
  Parameter* W;
  Sharing sharing;
};

// A method that prunes nothing: after each step, weights that share a value have it again.
class TrainedSharing final : public Method {
 public:
  explicit TrainedSharing(std::vector<SharedLayer>& layers) : layers_(layers) {}
  std::vector<PruneEvent> after_step(Index, Index) override {
    for (SharedLayer& layer : layers_) average_shared(layer.sharing, *layer.W);
    return {};
  }
  void require_possible(double) const override {}
  double density() const override {
    Index live = 0, positions = 0;
    for (const SharedLayer& layer : layers_) live += layer.W->nonzeros(), positions += layer.W->positions();
    return positions > 0 ? static_cast<double>(live) / static_cast<double>(positions) : 1;
  }

 private:
  std::vector<SharedLayer>& layers_;
};

// What the network was trained on, and how.
struct RunOfNetwork {
  RunConfig config;
  DataParts data;
};

std::optional<RunOfNetwork> run_of(const TrainedNetwork& network, const std::filesystem::path& path, int threads) {
  std::error_code none;
  const std::filesystem::path file = path / "config.toml";
  if (!std::filesystem::exists(file, none)) return {};
  RunOfNetwork run{.config = from_toml(file), .data = {}};
  run.config.threads = threads;
  run.config.init.clear();  // the network has its weights
  run.config.init_names.clear();
  run.data = load_data(run.config);
  if (network.card.fingerprint && *network.card.fingerprint != fingerprint(run.data))
    throw FileError(fmt::format("{}: expected the data of {} that the network was trained on, found other ones",
                                file.string(), run.data.name));
  return run;
}

Metrics score_of(const Module& model, const RunOfNetwork& run) {
  constexpr Index batch = 1024;
  Inference inference(model, threads_of(run.config));
  const Loader test(run.data.test, {.batch = batch, .lanes = run.config.lanes, .shuffle = false});
  return inference.score(test, loss_of(run.config, run.data)).metrics;
}

// The bits of a layer for which none were asked, but no more than leave four weights for each value, for the values are
// in the file, too. The paper has 5 where there are no convolutions; the fifth gains nothing in LeNet-300-100.
int bits_for(const Parameter& W, bool convolution) {
  constexpr int of_convolutions = 8, of_others = 4, least = 2;
  constexpr Index weights_per_value = 4;
  int bits = convolution ? of_convolutions : of_others;
  while (bits > least && (weights_per_value << bits) > W.nonzeros()) --bits;
  return bits;
}

std::vector<SharedLayer> shared_layers(const TrainedNetwork& network, const Shape& input, const CompressOptions& o) {
  std::map<std::string, LayerGeometry> geometry;
  if (input.rank() > 0) geometry = geometries_of(*network.model, input);
  std::vector<SharedLayer> layers;
  for (Parameter* W : parameters_of(*network.model)) {
    if (!W->prunable() || W->nonzeros() == 0) continue;
    const auto found = geometry.find(W->name());
    const bool convolution = found != geometry.end() && found->second.window.has_value();
    layers.push_back({W, o.codebook == "linear" ? equal_steps_sharing(*W)
                                                : kmeans_sharing(*W, o.bits ? o.bits : bits_for(*W, convolution))});
  }
  return layers;
}

void fine_tune(TrainedNetwork& network, const RunOfNetwork& run, std::vector<SharedLayer>& layers, Index epochs) {
  constexpr double of_the_runs_rate = 0.1;
  Experiment e = experiment_of(run.config, run.data, Side::dense);
  e.model = std::shared_ptr<Module>(std::shared_ptr<void>(), network.model.get());  // the network keeps it
  for (const SharedLayer& layer : layers)
    if (layer.W->pattern()) run.config.storage.apply(*layer.W, layer.W->pattern(), /*step=*/0);
  e.epochs = epochs;
  e.patience = 0;
  e.rate = {.schedule = RateSchedule::cosine, .rate = of_the_runs_rate * run.config.rate.rate};
  e.label = "fine-tuning";
  e.pruning =
      Pruning{.method = {.name = "sharing",
                         .make = [&](const MethodContext&) { return std::make_unique<TrainedSharing>(layers); }},
              .options = {}};
  train(e);
}

}  // namespace

Compression compress(TrainedNetwork& network, const std::filesystem::path& path, const CompressOptions& o) {
  require(o.codebook == "kmeans" || o.codebook == "linear", "[codebook] expected kmeans or linear, got \"{}\"",
          o.codebook);
  require(o.bits >= 0 && o.bits <= 8, "[bits] expected 1 to 8, or 0 for what suits each layer, got {}", o.bits);
  require(o.codebook == "kmeans" || (o.bits == 0 && o.fine_tune == 0),
          "[codebook] expected kmeans with bits or epochs of fine-tuning, got {}", o.codebook);
  require(o.fine_tune >= 0 && o.fine_tune <= 1000000, "[fine-tune] expected 0 to 1000000 epochs, got {}", o.fine_tune);
  const std::optional<RunOfNetwork> run = run_of(network, path, o.threads);
  require(run || o.fine_tune == 0, "[fine-tune] expected the folder of a run, which says what to train on, got {}",
          path.string());
  Compression result;
  if (run) result.before = score_of(*network.model, *run);
  std::vector<SharedLayer> layers = shared_layers(network, run ? run->data.train->shape() : network.card.input, o);
  for (const SharedLayer& layer : layers) apply(layer.sharing, *layer.W);
  if (o.fine_tune > 0) fine_tune(network, *run, layers, o.fine_tune);
  if (run) result.after = score_of(*network.model, *run);
  return result;
}

}  // namespace espalier
