// espalier bench convolution: the ladder from a naive loop to sparse sweeps on two threads, on one layer. Every rung is
// verified against the definition on its first tile, then timed while it streams over all tiles.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "apps/bench/bench.h"
#include "apps/bench/ladder.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/error.h"
#include "espalier/core/kernels/kernels.h"
#include "espalier/core/products.h"
#include "espalier/core/threads.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {
namespace {

struct ConvolutionFlags {
  Index in = 64, out = 64, extent = 32, kernel = 3, stride = 1, lanes = 16, tiles = 8;
  double density = 0.1;
  int threads = 0;
  std::uint64_t seed = 1;
  bool break_evens = false, json = false;
};

struct Rung {
  std::string product, kernel;
  const Parameter* W;
  int threads;
  std::function<void(Index tile)> run;
  std::function<std::vector<Real>()> result;  // of tile 0
  std::vector<double> seconds = {};

  bool slow() const { return kernel == "naive" || kernel == "tiled"; }
};
constexpr const char *forward = "Y = W * X", *backward = "dX = W' * dY", *gradient = "dW = dY * X'";

// body(row of Y, row of X, where W keeps the weight) for everything that a convolution multiplies.
template <typename Body>
void for_each_product(const Parameter& W, const Window& w, const Shape& x, const Shape& y, Body&& body) {
  W.for_each_weight([&](Index o, Index column, Index at) {
    const Index c = column / w.taps(), ky = column % w.taps() / w.kernel_width, kx = column % w.kernel_width;
    for (Index oy = 0; oy < y[1]; ++oy)
      for (Index ox = 0; ox < y[2]; ++ox) {
        const Index i = oy * w.stride + ky - w.padding_height, j = ox * w.stride + kx - w.padding_width;
        if (i >= 0 && i < x[1] && j >= 0 && j < x[2])
          body((o * y[1] + oy) * y[2] + ox, (c * x[1] + i) * x[2] + j, static_cast<std::size_t>(at));
      }
  });
}

// One sample after the other: the definition.
void naive(const Parameter& W, const Window& w, const Tensor& X, Tensor& Y) {
  Y.fill(0);
  for (Index lane = 0; lane < X.lanes(); ++lane)
    for_each_product(W, w, X.shape(), Y.shape(),
                     [&](Index out, Index in, std::size_t at) { Y.row(out)[lane] += W.value()[at] * X.row(in)[lane]; });
}

// All samples of a tile side by side: the same loops, but the innermost one is contiguous.
void tiled(const Parameter& W, const Window& w, const Tensor& X, Tensor& Y) {
  Y.fill(0);
  for_each_product(W, w, X.shape(), Y.shape(), [&](Index out, Index in, std::size_t at) {
    const Real weight = W.value()[at];
    const Real* x = X.row(in);
    Real* y = Y.row(out);
    for (Index lane = 0; lane < X.lanes(); ++lane) y[lane] += weight * x[lane];
  });
}

std::vector<Real> numbers_of(const Tensor& x) {
  std::vector<Real> numbers;
  for (Index i = 0; i < x.features(); ++i) numbers.insert(numbers.end(), x.row(i), x.row(i) + x.lanes());
  return numbers;
}

// One layer, with dense and with sparse weights, and all tiles' images.
struct Layer {
  explicit Layer(const ConvolutionFlags& f)
      : w{.kernel_height = f.kernel,
          .kernel_width = f.kernel,
          .stride = f.stride,
          .padding_height = f.kernel / 2,
          .padding_width = f.kernel / 2},
        x{f.in, f.extent, f.extent},
        y(output_shape(w, x, f.out, "bench", "convolution")),
        lanes{f.lanes, f.lanes},
        dense("dense", f.out, f.in * w.taps()),
        csr("csr", Pattern::random(dense.rows(), dense.cols(), live_weights(f), Random(f.seed, "pattern"))) {
    fill_uniform(dense.value(), Random(f.seed, "dense"));
    fill_uniform(csr.value(), Random(f.seed, "csr"));
    for (Index t = 0; t < f.tiles; ++t) {
      X.push_back(image(x, w.padding(), Random(f.seed, "X", 0, static_cast<std::uint64_t>(t))));
      dY.push_back(image(y, gradient_halo(w, x, y), Random(f.seed, "dY", 0, static_cast<std::uint64_t>(t))));
      Y.emplace_back(y, lanes);
      dX.emplace_back(x, lanes);
      G.emplace_back(dense.value().size());
    }
  }
  Index live_weights(const ConvolutionFlags& f) const {
    return std::max<Index>(1, std::llround(f.density * static_cast<double>(dense.positions())));
  }
  Tensor image(const Shape& shape, Halo halo, const Random& random) const {
    Tensor tensor(shape, lanes, halo);
    for (Index i = 0; i < tensor.features(); ++i)
      for (Index lane = 0; lane < lanes.count; ++lane)
        tensor.row(i)[lane] =
            static_cast<Real>(random.uniform(static_cast<std::uint64_t>(i * lanes.count + lane)) - 0.5);
    return tensor;
  }
  LayerGeometry geometry() const { return {.rows = dense.rows(), .cols = dense.cols(), .window = w, .input = x}; }

  Window w;
  Shape x, y;
  Lanes lanes;
  Parameter dense, csr;
  std::vector<Tensor> X, dY, Y, dX;
  std::vector<std::vector<Real>> G;  // of each tile; as long as the dense weights
};

// What each product must be on tile 0, by the definition.
std::vector<Real> reference(const Layer& l, const std::string& product, const Parameter& W) {
  Tensor Y(l.y, l.lanes), dX(l.x, l.lanes);
  std::vector<Real> G(W.value().size(), 0);
  if (product == forward) tiled(W, l.w, l.X[0], Y);
  for_each_product(W, l.w, l.x, l.y, [&](Index out, Index in, std::size_t at) {
    if (product == backward)
      for (Index lane = 0; lane < l.lanes.count; ++lane) dX.row(in)[lane] += W.value()[at] * l.dY[0].row(out)[lane];
    if (product == gradient)
      for (Index lane = 0; lane < l.lanes.count; ++lane) G[at] += l.dY[0].row(out)[lane] * l.X[0].row(in)[lane];
  });
  return product == forward ? numbers_of(Y) : product == backward ? numbers_of(dX) : G;
}

// One product of one tile by the kernels of the library, and what it leaves of tile 0.
std::function<void(Index)> run_of(Layer& l, const std::string& product, const Parameter& W) {
  if (product == forward) return [&](Index t) { convolve(W, l.w, l.X[t], l.Y[t], {0, l.y[1]}); };
  if (product == backward) return [&](Index t) { convolve_transposed(W, l.w, l.dY[t], l.dX[t]); };
  return [&](Index t) {
    const auto G = std::span(l.G[t]).first(W.value().size());
    std::ranges::fill(G, Real{0});
    convolve_outer(W, l.w, l.dY[t], l.X[t], {0, l.y[1]}, G);
  };
}
std::function<std::vector<Real>()> result_of(const Layer& l, const std::string& product, const Parameter& W) {
  if (product == forward) return [&] { return numbers_of(l.Y[0]); };
  if (product == backward) return [&] { return numbers_of(l.dX[0]); };
  return [&] {
    const auto G = std::span(l.G[0]).first(W.value().size());
    return std::vector<Real>(G.begin(), G.end());
  };
}

// The rungs, from below. They hold on to the layer.
std::vector<Rung> ladder_of(Layer& l, int threads) {
  std::vector<Rung> ladder{{forward, "naive", &l.dense, 1, [&](Index t) { naive(l.dense, l.w, l.X[t], l.Y[t]); },
                            result_of(l, forward, l.dense)},
                           {forward, "tiled", &l.dense, 1, [&](Index t) { tiled(l.dense, l.w, l.X[t], l.Y[t]); },
                            result_of(l, forward, l.dense)}};
  for (const char* product : {forward, backward, gradient})
    for (const Parameter* W : {&l.dense, &l.csr})
      for (int used = 1; used <= threads; used += std::max(1, threads - 1))
        ladder.push_back({product,
                          fmt::format("{}{}", W == &l.dense ? "blocked, dense" : "panels, csr",
                                      used > 1 ? fmt::format(", {} threads", threads) : ""),
                          W, used, run_of(l, product, *W), result_of(l, product, *W)});
  return ladder;
}

void verify(const Layer& l, std::vector<Rung>& ladder) {
  std::map<std::pair<std::string, const Parameter*>, std::vector<Real>> exact;
  for (Rung& rung : ladder) {
    rung.run(0);
    std::vector<Real>& right = exact[{rung.product, rung.W}];
    if (right.empty()) right = reference(l, rung.product, *rung.W);
    require_close(rung.result(), right, rung.product, rung.kernel);
  }
}

// All rungs in turn, so that a slow moment of the machine hits all of them. Returns the FMA peak of a core, in FLOP/s.
double time_in_turns(std::vector<Rung>& ladder, Index all_tiles) {
  std::vector<double> peak;
  constexpr int turns = 15;
  for (int turn = 0; turn < turns; ++turn) {
    peak.push_back(fma_rate());
    for (Rung& rung : ladder) {
      if (rung.slow() && turn > 0) continue;
      const Index tiles = rung.slow() ? 1 : all_tiles;
      const auto all = [&] { parallel_for(tiles, rung.threads, [&](Index t) { rung.run(t); }); };
      if (!rung.slow()) all();  // the others have just had the caches
      rung.seconds.push_back(seconds_of(all) / static_cast<double>(tiles));
    }
  }
  return timing_of(peak).median;
}

// A line of the table and an entry of the JSON, for each rung.
struct Report {
  std::string lines;
  Json json = Json::array();
};

Report report_of(const Layer& l, const std::vector<Rung>& ladder, double peak_rate) {
  Report report;
  double dense_rate = 0;
  for (const Rung& rung : ladder) {
    const Timing timing = timing_of(rung.seconds);
    const double rate = 2 * static_cast<double>(rung.W->nonzeros() * l.y[1] * l.y[2] * l.lanes.count) / timing.median;
    const bool csr_rung = rung.W == &l.csr;
    if (!csr_rung && rung.threads == 1) dense_rate = rate;
    report.lines += fmt::format("{:<14}{:<28}{:>9.1f}{:>9.0f} %{:>14}{:>12}\n", rung.product, rung.kernel, rate * 1e-9,
                                100 * rate / (peak_rate * rung.threads),
                                csr_rung && rung.threads == 1 ? fmt::format("{:.0f} %", 100 * rate / dense_rate) : "",
                                text_of_seconds(timing.median));
    report.json.push_back({{"product", rung.product},
                           {"kernel", rung.kernel},
                           {"threads", rung.threads},
                           {"useful_gflops", rate * 1e-9},
                           {"of_peak", rate / (peak_rate * rung.threads)},
                           {"seconds_per_tile", timing.median}});
  }
  return report;
}

void require_possible(const ConvolutionFlags& f) {
  require(
      f.in >= 1 && f.out >= 1 && f.extent >= 1 && f.kernel >= 1 && f.stride >= 1 && f.tiles >= 1 && f.in <= 2048 &&
          f.out <= 2048 && f.extent <= 512 && f.kernel <= 15 && f.stride <= 8 && f.tiles <= 64,
      "[bench convolution] expected 1 to 2048 channels, an extent up to 512, a kernel up to 15, a stride up to 8 and "
      "up to 64 tiles, got {} to {} channels, {}, {}, {} and {}",
      f.in, f.out, f.extent, f.kernel, f.stride, f.tiles);
  require(f.density > 0 && f.density <= 1, "[--density] expected a fraction in (0, 1], got {}", f.density);
  require(f.threads >= 0 && f.threads <= 1024, "[--threads] expected 0 to 1024, got {}", f.threads);
  require_lanes({f.lanes, f.lanes});
  const double numbers = static_cast<double>((f.in + f.out) * 2 * f.tiles * f.lanes) *
                         static_cast<double>((f.extent + f.kernel) * (f.extent + f.kernel));
  require(numbers < 2e9, "[bench convolution] expected images of fewer than 2e9 numbers in all, got {:.1e}", numbers);
}

Json json_of(const ConvolutionFlags& f, const Report& report, double peak_rate) {
  return {{"in", f.in},
          {"out", f.out},
          {"extent", f.extent},
          {"kernel", f.kernel},
          {"stride", f.stride},
          {"lanes", f.lanes},
          {"tiles", f.tiles},
          {"density", f.density},
          {"processor", processor_name()},
          {"peak_gflops", peak_rate * 1e-9},
          {"rungs", report.json}};
}

void print_table(const ConvolutionFlags& f, const Report& report, double peak_rate) {
  fmt::print(
      "{} to {} channels, {} x {} kernel, stride {}, {} x {} pixels, {} tiles of {} lanes, density {:g}, {}; FMA "
      "peak {:.0f} GFLOP/s a core\n\n",
      f.in, f.out, f.kernel, f.kernel, f.stride, f.extent, f.extent, f.tiles, f.lanes, f.density, processor_name(),
      peak_rate * 1e-9);
  fmt::print("{:<14}{:<28}{:>9}{:>11}{:>14}{:>12}\n{}", "product", "kernel", "GFLOP/s", "of peak", "of dense's",
             "a tile", report.lines);
  fmt::print(
      "\nGFLOP/s are useful ones: for csr, those of the live weights. Each kernel was verified against the "
      "definition.\n");
}

void run_bench_convolution(const ConvolutionFlags& f) {
  require_possible(f);
  flush_subnormals_to_zero();
  Layer layer(f);
  std::vector<Rung> ladder = ladder_of(layer, f.threads > 0 ? f.threads : default_threads());
  verify(layer, ladder);
  const double peak_rate = time_in_turns(ladder, f.tiles);
  const Report report = report_of(layer, ladder, peak_rate);
  Json result = json_of(f, report, peak_rate);
  if (f.break_evens) result["break_even_density"] = break_even(layer.geometry(), f.lanes, f.seed);
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  print_table(f, report, peak_rate);
  if (f.break_evens)
    fmt::print("break-even: csr is faster, in the three products together, from density {} down\n",
               result["break_even_density"].get<double>());
}

}  // namespace

std::function<void()> add_bench_convolution(CLI::App& bench) {
  auto flags = std::make_shared<ConvolutionFlags>();
  ConvolutionFlags& f = *flags;
  bench.add_option("--in", f.in, "Input channels")->capture_default_str();
  bench.add_option("--out", f.out, "Output channels")->capture_default_str();
  bench.add_option("--extent", f.extent, "Height and width of the input")->capture_default_str();
  bench.add_option("--kernel", f.kernel, "Height and width of the window, padded by half of it")->capture_default_str();
  bench.add_option("--stride", f.stride, "Of the window")->capture_default_str();
  bench.add_option("--lanes", f.lanes, "Samples side by side")->capture_default_str();
  bench.add_option("--tiles", f.tiles, "Tiles that a rung streams over")->capture_default_str();
  bench.add_option("--density", f.density, "Of the sparse weights, in (0, 1]")->capture_default_str();
  bench.add_option("--threads", f.threads, "Of the last rungs; 0: one per processor")->capture_default_str();
  bench.add_option("--seed", f.seed, "Of patterns and numbers")->check(counted())->capture_default_str();
  bench.add_flag("--break-even", f.break_evens, "Also find the density at which csr begins to win");
  bench.add_flag("--json", f.json, "Print JSON");
  return [flags] { run_bench_convolution(*flags); };
}

}  // namespace espalier
