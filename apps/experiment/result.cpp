#include "espalier/experiment/result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "espalier/experiment/class_table.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/text.h"
#include "espalier/optim/progress.h"

namespace espalier {
namespace {

using Value = std::optional<double>;

Value known(double number) {
  return std::isfinite(number) ? Value(number) : Value();
}

template <double Metrics::*metric>
Value of_test(const SideResult& side) {
  return side.test ? known((*side.test).*metric) : Value();
}
template <Timing SideResult::*timing>
Value median_of(const SideResult& side) {
  return (side.*timing).median > 0 ? Value((side.*timing).median) : Value();
}
template <Index SideResult::*count>
Value count_of(const SideResult& side) {
  return static_cast<double>(side.*count);
}
Value forward_flops_of(const SideResult& side) {
  return static_cast<double>(side.forward_flops.executed);
}
Value file_bytes_of(const SideResult& side) {
  return static_cast<double>(side.file_bytes);
}
Value mask_entropy_of(const SideResult& side) {
  return side.mask_entropy_bytes;
}
Value train_seconds_of(const SideResult& side) {
  return side.test && side.beside == 1 ? Value(side.train_seconds) : Value();
}
Value train_flops_of(const SideResult& side) {
  return side.test ? Value(static_cast<double>(side.train_flops.executed)) : Value();
}

std::string points_between(double dense, double sparse) {
  return fmt::format("{:+.2f} points", 100 * (sparse - dense));
}
std::string difference_between(double dense, double sparse) {
  return fmt::format("{:+.4f}", sparse - dense);
}
// Of errors.
std::string percent_between(double dense, double sparse) {
  if (!(dense > 0)) return "";
  return fmt::format("{:.1f} % {}", std::abs(100 * (sparse / dense - 1)), sparse > dense ? "higher" : "lower");
}

// How good both are, and by how much that differs.
Quantity quality(const char* title, Value (*of)(const SideResult&), std::string (*text)(double),
                 std::string (*difference)(double, double)) {
  return {title, nullptr, of, of, text, nullptr, nullptr, difference};
}

Quantity same(const char* title, const char* ratio, Value (*of)(const SideResult&), std::string (*text)(double),
              const char* better = nullptr, const char* worse = nullptr) {
  return {title, ratio, of, of, text, better, worse};
}

}  // namespace

Result result_of(const Experiment& e, const Trained* dense, const Trained& trained, const ModelCard& card,
                 Layout layout, Times times) {
  std::optional<Waiting> waiting;
  if (times == Times::measured) waiting.emplace("measuring");
  std::vector<Module*> models;
  if (dense) models.push_back(dense->model.get());
  models.push_back(trained.model.get());
  const auto measured = measure(models, e.data.train, e.loss, *e.optimizer,
                                {.batch = e.batch,
                                 .lanes = e.lanes,
                                 .threads = e.threads,
                                 .seed = e.seed,
                                 .clip_norm = e.clip_norm,
                                 .card = card,
                                 .saved = {.layout = layout, .origin = trained.origin},
                                 .timed = times == Times::measured});
  Result result{.dataset = e.data.name,
                .provenance = e.data.provenance,
                .model = trained.model->name(),
                .method = e.pruning ? e.pruning->method.name : "none",
                .schedule = e.pruning ? name_of(e.pruning->options.schedule.kind) : "none",
                .density = e.pruning ? e.pruning->options.schedule.density : 1,
                .seed = e.seed,
                .threads = e.threads,
                .lanes = e.lanes,
                .batch = e.batch,
                .epochs = e.epochs,
                .processor = processor_name(),
                .dense = {},
                .sparse = side_of(trained, measured.back()),
                .layers = layers_of(measured.back(), dense ? &measured.front() : nullptr, trained.units.has_value()),
                .sample = picture_in(*e.data.train),
                .confusion = trained.confusion,
                .notes = trained.notes};
  if (trained.confusion.classes() > 0) result.class_names = class_names_of(e.data);
  if (dense) result.dense = side_of(*dense, measured.front());
  return result;
}

SideResult side_of(const ModelMeasurement& m) {
  return {.parameters = m.census.parameters(),
          .nonzeros = m.census.nonzeros(),
          .effective_nonzeros = m.effective_nonzeros,
          .removed_units = m.removed_units,
          .density = m.census.density(),
          .forward_flops = m.forward_flops,
          .file_bytes = m.file.file_bytes,
          .train_step = m.train_step,
          .inference = m.inference,
          .latency = m.latency};
}

SideResult side_of(const Trained& trained, const ModelMeasurement& m) {
  SideResult side = side_of(m);
  side.test = trained.metrics;
  if (trained.metrics.samples == 0) {  // what is known without them
    side.test->classes = trained.test.classes;
    (trained.test.classes > 0 ? side.test->accuracy : side.test->rmse) =
        trained.test.classes > 0 ? trained.test.accuracy : trained.test.rmse;
  }
  side.test_loss = trained.test.loss;
  if (const Evaluation& v = trained.validation; v.samples > 0) side.validation = v.classes > 0 ? v.accuracy : v.rmse;
  side.best_epoch = trained.epoch;
  side.train_seconds = trained.train_seconds;
  side.checkpoint_seconds = trained.checkpoint_seconds;
  side.event_seconds = trained.event_seconds;
  side.train_flops = trained.train_flops;
  if (trained.origin) side.mask_entropy_bytes = m.mask_entropy_bytes;
  if (trained.units) {  // beside the network as it was before
    side.units = trained.units;
    side.parameters = trained.units->whole.parameters();
    side.density = static_cast<double>(m.census.live) / static_cast<double>(trained.units->whole.positions);
    side.removed_units += trained.units->removed();
  }
  return side;
}

std::vector<LayerResult> layers_of(const ModelMeasurement& m, const ModelMeasurement* dense, bool narrowed) {
  std::vector<LayerResult> layers;
  for (const LayerMeasurement& layer : m.layers) {
    LayerResult& result = layers.emplace_back(LayerResult{layer.name, layer.rows, layer.cols, layer.density,
                                                          std::string(name_of(layer.storage)), layer.kernel, "",
                                                          layer.forward_flops, layer.seconds});
    for (const StoredLayer& stored : m.file.layers)
      if (stored.name == layer.name) result.file_form = stored.form, result.file_bytes = stored.bytes;
    if (!dense) continue;
    for (const LayerMeasurement& twin : dense->layers)
      if (twin.name == layer.name && (narrowed || (twin.rows == layer.rows && twin.cols == layer.cols))) {
        result.dense_seconds = twin.seconds;
        result.dense_forward_flops = twin.forward_flops;
      }
  }
  return layers;
}

std::optional<SamplePicture> picture_in(const Dataset& data) {
  constexpr Index most_features = 3 * 64 * 64;
  const Shape shape = data.shape();
  if (data.samples() == 0 || data.tokens() > 0 || shape.rank() != 3 || (shape[0] != 1 && shape[0] != 3) ||
      shape[1] < 2 || shape[2] < 2 || shape.features() > most_features)
    return {};
  std::vector<Real> features(static_cast<std::size_t>(shape.features()));
  data.read(0, features);
  const auto [low, high] = std::ranges::minmax(features);
  SamplePicture picture{.shape = shape, .pixels = {}};
  for (const Real x : features)
    picture.pixels.push_back(high > low ? static_cast<std::uint8_t>(std::lround(255 * (x - low) / (high - low))) : 0);
  return picture;
}

std::span<const Quantity> quantities() {
  static const std::vector<Quantity> all{
      quality("test accuracy", of_test<&Metrics::accuracy>, text_of_percent, points_between),
      quality("balanced accuracy", of_test<&Metrics::balanced_accuracy>, text_of_percent, points_between),
      quality("AUC", of_test<&Metrics::auc>, text_of_fraction, difference_between),
      quality("test RMSE", of_test<&Metrics::rmse>, text_of_error, percent_between),
      quality("test MAE", of_test<&Metrics::mae>, text_of_error, percent_between),
      quality("test R2", of_test<&Metrics::r2>, text_of_fraction, difference_between),
      {"parameters", "parameters", count_of<&SideResult::parameters>, count_of<&SideResult::nonzeros>, text_of_count,
       "fewer", "more"},
      same("forward FLOPs, one sample", "forward_flops", forward_flops_of, text_of_count, "fewer", "more"),
      same("model file", "file_bytes", file_bytes_of, text_of_bytes, "smaller", "larger"),
      same("entropy of the mask", nullptr, mask_entropy_of, text_of_bytes),
      same("training step, one batch", "train_step", median_of<&SideResult::train_step>, text_of_seconds, "faster",
           "slower"),
      same("inference, one batch", "inference", median_of<&SideResult::inference>, text_of_seconds, "faster", "slower"),
      same("latency, one sample", "latency", median_of<&SideResult::latency>, text_of_seconds, "faster", "slower"),
      same("whole training", nullptr, train_seconds_of, text_of_seconds, "faster", "slower"),
      same("whole training, FLOPs", nullptr, train_flops_of, text_of_count, "fewer", "more")};
  return all;
}

std::optional<double> Quantity::ratio_of(const Result& r) const {
  if (!better || !r.dense) return {};
  const Value of_dense = dense(*r.dense), of_sparse = sparse(r.sparse);
  if (!of_dense || !of_sparse || *of_sparse == 0) return {};
  return *of_dense / *of_sparse;
}

}  // namespace espalier
