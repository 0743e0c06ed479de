#include "espalier/pruning/storage_rules.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "espalier/core/error.h"
#include "espalier/core/products.h"
#include "espalier/core/threads.h"

namespace espalier {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// All products once, as a training step would run them on one tile.
struct ThreeProducts {
  Parameter& W;
  const LayerGeometry& layer;
  Tensor X, Y, dX;
  AlignedVector<Real> G;
  std::vector<std::uint32_t> tokens;  // of a table: a column for each lane

  ThreeProducts(Parameter& parameter, const LayerGeometry& geometry, Index lanes) : W(parameter), layer(geometry) {
    if (const auto& w = layer.window) {
      const Shape out = output_shape(*w, layer.input, W.rows(), "tune", W.name());
      X = Tensor(layer.input, {lanes, lanes}, w->padding());
      Y = Tensor(out, {lanes, lanes}, gradient_halo(*w, layer.input, out));
      G.resize(W.value().size());
    } else {
      X = Tensor({W.cols()}, {lanes, lanes});
      Y = Tensor({W.rows()}, {lanes, lanes});
    }
    dX = Tensor(X.shape(), {lanes, lanes});
    X.fill(Real{0.5});
    if (!layer.table) return;
    const Random random(1, "tune-tokens");
    for (Index lane = 0; lane < lanes; ++lane)
      tokens.push_back(static_cast<std::uint32_t>(random.below(static_cast<std::uint64_t>(lane), W.cols())));
    G.resize(W.value().size());
  }
  double run() {
    const double start = seconds_now();
    if (const auto& w = layer.window) {
      convolve(W, *w, X, Y, {0, Y.shape()[1]});
      convolve_transposed(W, *w, Y, dX);
      convolve_outer(W, *w, Y, X, {0, Y.shape()[1]}, G);
      return seconds_now() - start;
    }
    if (layer.table) {
      look_up(W, tokens, Y);
      look_up_outer(W, tokens, Y, G);
      return seconds_now() - start;
    }
    multiply(W, X, Y);
    multiply_transposed(W, Y, dX);
    const OuterPair pair{&Y, &X};
    for (std::size_t b = 0; b < W.blocks().size(); ++b) {
      G.resize(std::max(G.size(), static_cast<std::size_t>(W.blocks()[b].weights())));
      outer(W, b, std::span(&pair, 1), std::span(G).first(W.blocks()[b].weights()));
    }
    return seconds_now() - start;
  }
};

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// Repetitions until about this long has been spent on one comparison, but at least a few.
constexpr double seconds_per_density = 0.1;

}  // namespace

Storage StorageRules::storage_for(const Parameter& W, double density) const {
  if (density >= 1) return Storage::dense;
  const auto found = csr_below_of.find(W.name());
  return density <= (found != csr_below_of.end() ? found->second : csr_below) ? Storage::csr : Storage::masked;
}

PruneEvent StorageRules::apply(Parameter& W, PatternPtr pattern, Index step) const {
  const Storage storage = storage_for(W, pattern ? pattern->density() : 1);
  PruneEvent event{.step = step, .layer = W.name(), .storage = storage, .rows = W.rows(), .cols = W.cols()};
  event.before = W.pattern();
  if (histograms) event.histogram.emplace(W);
  W.become(storage == Storage::dense ? nullptr : std::move(pattern), storage);
  if (histograms) event.histogram->add_after(W);
  event.kept = W.nonzeros();
  event.density = W.density();
  event.after = W.pattern();
  return event;
}

double break_even(const LayerGeometry& layer, Index lanes, std::uint64_t seed) {
  constexpr std::array densities{0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05};
  Parameter dense("dense", layer.rows, layer.cols);
  std::ranges::fill(dense.value(), Real{0.01});
  ThreeProducts dense_products(dense, layer, lanes);
  for (const double density : densities) {
    const auto live = std::max<Index>(1, static_cast<Index>(density * static_cast<double>(layer.rows * layer.cols)));
    Parameter sparse("csr", Pattern::random(layer.rows, layer.cols, live, Random(seed, "tune")));
    std::ranges::fill(sparse.value(), Real{0.01});
    ThreeProducts sparse_products(sparse, layer, lanes);
    const double once = dense_products.run() + sparse_products.run();
    const int repetitions = std::clamp(static_cast<int>(seconds_per_density / once), 5, 21);
    std::vector<double> ratio;
    for (int repetition = 0; repetition < repetitions; ++repetition) {
      const double d = dense_products.run();
      ratio.push_back(d / sparse_products.run());
    }
    if (median(ratio) > 1) return density;
  }
  return 0;
}

std::map<std::string, LayerGeometry> geometries_of(const Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;  // a recorded tape knows what every layer reads
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  std::map<std::string, LayerGeometry> layers;
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    LayerGeometry& layer = layers[reads.W->name()];
    layer = {.rows = reads.W->rows(),
             .cols = reads.W->cols(),
             .table = std::holds_alternative<Tokens>(reads.kind) && !reads.transposed};
    if (const auto* patches = std::get_if<Patches>(&reads.kind)) {
      layer.window = patches->window;
      layer.input = sliding_of(tape, node, reads).image;
    }
  });
  return layers;
}

StorageRules tune(const Module& model, const Shape& input, Index lanes, std::uint64_t seed) {
  const SubnormalsFlushed as_workers_do;
  StorageRules rules;
  std::map<std::string, double> measured;  // layers of one geometry are measured once
  for (const auto& [name, layer] : geometries_of(model, input)) {
    const auto [at, fresh] = measured.try_emplace(layer.text(), 0);
    if (fresh) at->second = break_even(layer, lanes, seed);
    rules.csr_below_of[name] = at->second;
  }
  return rules;
}

std::string LayerGeometry::text() const {
  if (!window) return fmt::format("{} {} x {}", table ? "table" : "linear", rows, cols);
  return fmt::format("{} x {} of {}, {} x {}, stride {}, padding {} x {}, groups {}", rows, cols, input.text(),
                     window->kernel_height, window->kernel_width, window->stride, window->padding_height,
                     window->padding_width, window->groups);
}

}  // namespace espalier
