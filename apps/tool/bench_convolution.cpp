// espalier bench convolution: the ladder from a naive loop to sparse sweeps on two threads, on one layer. Every rung is
// verified against the definition on its first tile, then timed while it streams over all tiles.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "apps/tool/bench_ladder.h"
#include "apps/tool/commands.h"
#include "apps/tool/result.h"
#include "espalier/core/error.h"
#include "espalier/core/kernels/targets.h"
#include "espalier/core/products.h"
#include "espalier/core/threads.h"
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

// All tiles' images, and what a rung leaves of the first one.
struct Images {
  std::vector<Tensor> X, dY, Y, dX;
  std::vector<std::vector<Real>> G;  // of each tile
};

struct Rung {
  std::string product, kernel;
  const Parameter* W;
  int threads;
  std::function<void(Index tile)> run;
  std::function<std::vector<Real>()> result;  // of tile 0
  std::vector<double> seconds = {};
};

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

Images images_of(const ConvolutionFlags& f, const Window& w, const Shape& x, const Shape& y) {
  Images images;
  const Lanes lanes{f.lanes, f.lanes};
  const auto image = [&](const Shape& shape, Halo halo, const char* purpose, Index t) {
    Tensor tensor(shape, lanes, halo);
    const Random random(f.seed, purpose, 0, static_cast<std::uint64_t>(t));
    for (Index i = 0; i < tensor.features(); ++i)
      for (Index lane = 0; lane < f.lanes; ++lane)
        tensor.row(i)[lane] = static_cast<Real>(random.uniform(static_cast<std::uint64_t>(i * f.lanes + lane)) - 0.5);
    return tensor;
  };
  for (Index t = 0; t < f.tiles; ++t) {
    images.X.push_back(image(x, w.padding(), "X", t));
    images.dY.push_back(image(y, gradient_halo(w, x, y), "dY", t));
    images.Y.emplace_back(y, lanes);
    images.dX.emplace_back(x, lanes);
    images.G.emplace_back(static_cast<std::size_t>(f.out * f.in * w.taps()));
  }
  return images;
}

void run_bench_convolution(const ConvolutionFlags& f) {
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
  flush_subnormals_to_zero();
  const int threads = f.threads > 0 ? f.threads : default_threads();

  const Window w{.kernel_height = f.kernel,
                 .kernel_width = f.kernel,
                 .stride = f.stride,
                 .padding_height = f.kernel / 2,
                 .padding_width = f.kernel / 2};
  const Shape x{f.in, f.extent, f.extent}, y = output_shape(w, x, f.out, "bench", "convolution");
  Parameter dense("dense", f.out, f.in * w.taps());
  fill_uniform(dense.value(), Random(f.seed, "dense"));
  const Index live = std::max<Index>(1, std::llround(f.density * static_cast<double>(dense.positions())));
  Parameter csr("csr", Pattern::random(dense.rows(), dense.cols(), live, Random(f.seed, "pattern")));
  fill_uniform(csr.value(), Random(f.seed, "csr"));
  Images images = images_of(f, w, x, y);

  // What each product must be on tile 0, by the definition.
  const auto reference = [&](const std::string& product, const Parameter& W) {
    Tensor Y(y, {f.lanes, f.lanes}), dX(x, {f.lanes, f.lanes});
    std::vector<Real> G(W.value().size(), 0);
    if (product == "Y = W * X") tiled(W, w, images.X[0], Y);
    for_each_product(W, w, x, y, [&](Index out, Index in, std::size_t at) {
      if (product == "dX = W' * dY")
        for (Index lane = 0; lane < f.lanes; ++lane) dX.row(in)[lane] += W.value()[at] * images.dY[0].row(out)[lane];
      if (product == "dW = dY * X'")
        for (Index lane = 0; lane < f.lanes; ++lane) G[at] += images.dY[0].row(out)[lane] * images.X[0].row(in)[lane];
    });
    return product == "Y = W * X" ? numbers_of(Y) : product == "dX = W' * dY" ? numbers_of(dX) : G;
  };
  const auto at = [](Index t) { return static_cast<std::size_t>(t); };
  const auto forward = [&](const Parameter& W) {
    return [&](Index t) { convolve(W, w, images.X[at(t)], images.Y[at(t)], {0, y[1]}); };
  };
  const auto transposed = [&](const Parameter& W) {
    return [&](Index t) { convolve_transposed(W, w, images.dY[at(t)], images.dX[at(t)]); };
  };
  const auto outer_of = [&](const Parameter& W) {
    return [&](Index t) {
      const auto G = std::span(images.G[at(t)]).first(W.value().size());
      std::ranges::fill(G, Real{0});
      convolve_outer(W, w, images.dY[at(t)], images.X[at(t)], {0, y[1]}, G);
    };
  };
  const auto of_Y = [&] { return numbers_of(images.Y[0]); };
  const auto of_dX = [&] { return numbers_of(images.dX[0]); };
  const auto of_G = [&](const Parameter& W) {
    return [&] {
      return std::vector<Real>(images.G[0].begin(),
                               images.G[0].begin() + static_cast<std::ptrdiff_t>(W.value().size()));
    };
  };
  const std::string many = fmt::format("{} threads", threads);
  std::vector<Rung> ladder{
      {"Y = W * X", "naive", &dense, 1, [&](Index t) { naive(dense, w, images.X[at(t)], images.Y[at(t)]); }, of_Y},
      {"Y = W * X", "tiled", &dense, 1, [&](Index t) { tiled(dense, w, images.X[at(t)], images.Y[at(t)]); }, of_Y}};
  const auto add = [&](const char* product, const auto& run_of, const auto& result_of) {
    for (const Parameter* W : {&dense, &csr})
      for (int used = 1; used <= threads; used += std::max(1, threads - 1))
        ladder.push_back(
            {product, fmt::format("{}{}", W == &dense ? "blocked, dense" : "panels, csr", used > 1 ? ", " + many : ""),
             W, used, run_of(*W), result_of(*W)});
  };
  add("Y = W * X", forward, [&](const Parameter&) { return of_Y; });
  add("dX = W' * dY", transposed, [&](const Parameter&) { return of_dX; });
  add("dW = dY * X'", outer_of, of_G);

  // Verify, then time: all rungs in turn, so that a slow moment of the machine hits all of them.
  constexpr double tolerance = 1e-4;
  std::map<std::pair<std::string, const Parameter*>, std::vector<Real>> exact;
  for (Rung& rung : ladder) {
    rung.run(0);
    std::vector<Real>& expected = exact[{rung.product, rung.W}];
    if (expected.empty()) expected = reference(rung.product, *rung.W);
    const double error = largest_error(rung.result(), expected);
    if (!(error < tolerance))
      throw std::logic_error(fmt::format("{} by {} is wrong by {}", rung.product, rung.kernel, error));
  }
  std::vector<double> peak;
  constexpr int turns = 15;
  for (int turn = 0; turn < turns; ++turn) {
    double burst_flops = 0;
    const double burst_seconds = seconds_of([&] { burst_flops = kernels::fma_burst(200000); });
    peak.push_back(burst_flops / burst_seconds);
    for (Rung& rung : ladder) {
      const bool slow = rung.kernel == "naive" || rung.kernel == "tiled";
      if (slow && turn > 0) continue;
      const Index tiles = slow ? 1 : f.tiles;
      const auto all = [&] { parallel_for(tiles, rung.threads, [&](Index t) { rung.run(t); }); };
      if (!slow) all();  // the others have just had the caches
      rung.seconds.push_back(seconds_of(all) / static_cast<double>(tiles));
    }
  }
  std::ranges::sort(peak);
  const double peak_rate = peak[peak.size() / 2];
  Json result = {{"in", f.in},
                 {"out", f.out},
                 {"extent", f.extent},
                 {"kernel", f.kernel},
                 {"stride", f.stride},
                 {"lanes", f.lanes},
                 {"tiles", f.tiles},
                 {"density", f.density},
                 {"processor", processor_name()},
                 {"peak_gflops", peak_rate * 1e-9},
                 {"rungs", Json::array()}};
  std::string text;
  double dense_rate = 0;
  for (Rung& rung : ladder) {
    const Timing timing = timing_of(rung.seconds);
    const double rate = 2 * static_cast<double>(rung.W->nonzeros() * y[1] * y[2] * f.lanes) / timing.median;
    const bool csr_rung = rung.W == &csr;
    if (!csr_rung && rung.threads == 1) dense_rate = rate;
    text += fmt::format("{:<14}{:<28}{:>9.1f}{:>9.0f} %{:>14}{:>12}\n", rung.product, rung.kernel, rate * 1e-9,
                        100 * rate / (peak_rate * rung.threads),
                        csr_rung && rung.threads == 1 ? fmt::format("{:.0f} %", 100 * rate / dense_rate) : "",
                        text_of_seconds(timing.median));
    result["rungs"].push_back({{"product", rung.product},
                               {"kernel", rung.kernel},
                               {"threads", rung.threads},
                               {"useful_gflops", rate * 1e-9},
                               {"of_peak", rate / (peak_rate * rung.threads)},
                               {"seconds_per_tile", timing.median}});
  }
  const LayerGeometry layer{.rows = dense.rows(), .cols = dense.cols(), .window = w, .input = x};
  if (f.break_evens) result["break_even_density"] = break_even(layer, f.lanes, f.seed);
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print(
      "{} to {} channels, {} x {} kernel, stride {}, {} x {} pixels, {} tiles of {} lanes, density {:g}, {}; FMA "
      "peak {:.0f} GFLOP/s a core\n\n",
      f.in, f.out, f.kernel, f.kernel, f.stride, f.extent, f.extent, f.tiles, f.lanes, f.density, processor_name(),
      peak_rate * 1e-9);
  fmt::print("{:<14}{:<28}{:>9}{:>11}{:>14}{:>12}\n{}", "product", "kernel", "GFLOP/s", "of peak", "of dense's",
             "a tile", text);
  fmt::print(
      "\nGFLOP/s are useful ones: for csr, those of the live weights. Each kernel was verified against the "
      "definition.\n");
  if (f.break_evens)
    fmt::print("break-even: csr is faster, in the three products together, from density {} down\n",
               result["break_even_density"].get<double>());
}

}  // namespace

Command add_bench_convolution(CLI::App& bench) {
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
  bench.add_option("--seed", f.seed, "Of patterns and numbers")->capture_default_str();
  bench.add_flag("--break-even", f.break_evens, "Also find the density at which csr begins to win");
  bench.add_flag("--json", f.json, "Print JSON");
  return [flags] { run_bench_convolution(*flags); };
}

}  // namespace espalier
