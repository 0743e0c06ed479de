// espalier bench kernels: every rung of the ladder from naive to sparse, verified against the naive one and then timed
// on one core, beside the machine's limit and OpenBLAS.
#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/tool/bench_ladder.h"
#include "apps/tool/commands.h"
#include "apps/tool/result.h"
#include "espalier/core/error.h"
#include "espalier/core/kernels/targets.h"
#include "espalier/core/products.h"
#include "espalier/core/threads.h"

namespace espalier {
namespace {

struct KernelFlags {
  Index rows = 1024, cols = 1024, lanes = 64;
  double density = 0.1;
  std::uint64_t seed = 1;
  bool json = false;
};

// What is timed, and what it must equal.
struct Rung {
  std::string product, kernel;
  double flops;  // useful ones, of one run
  std::function<void()> run;
  std::span<const Real> result;     // what run() leaves
  std::span<const Real> reference;  // what it should be
  std::vector<double> seconds = {};
};

// Y = W X, one multiplication after the other.      W: [rows, cols]   X: [cols, lanes]
void naive_multiply(std::span<const Real> W, const Tensor& X, Tensor& Y) {
  for (Index r = 0; r < Y.features(); ++r)
    for (Index lane = 0; lane < Y.lanes(); ++lane) {
      Real sum = 0;
      for (Index k = 0; k < X.features(); ++k)
        sum += W[static_cast<std::size_t>(r * X.features() + k)] * X.row(k)[lane];
      Y.row(r)[lane] = sum;
    }
}

void run_bench_kernels(const KernelFlags& f) {
  require(f.rows >= 1 && f.cols >= 1 && f.rows <= 8192 && f.cols <= 8192,
          "[--rows, --cols] expected 1 to 8192, got {} and {}", f.rows, f.cols);
  require(f.density > 0 && f.density <= 1, "[--density] expected a fraction in (0, 1], got {}", f.density);
  require_lanes({f.lanes, f.lanes});
  flush_subnormals_to_zero();

  // The same sparse matrix three times: csr, its dense form, and a full one for the dense kernels.
  const Index live = std::max<Index>(1, std::llround(f.density * static_cast<double>(f.rows * f.cols)));
  Parameter csr("csr", Pattern::random(f.rows, f.cols, live, Random(f.seed, "pattern")));
  fill_uniform(csr.value(), Random(f.seed, "csr"));
  Parameter spread = csr;
  spread.become(csr.pattern(), Storage::masked);
  Parameter dense("dense", f.rows, f.cols);
  fill_uniform(dense.value(), Random(f.seed, "dense"));
  const Lanes lanes{f.lanes, f.lanes};
  Tensor X({f.cols}, lanes), dY({f.rows}, lanes), Y({f.rows}, lanes), dX({f.cols}, lanes);
  fill_uniform({X.data(), static_cast<std::size_t>(f.cols * f.lanes)}, Random(f.seed, "X"));
  fill_uniform({dY.data(), static_cast<std::size_t>(f.rows * f.lanes)}, Random(f.seed, "dY"));
  std::vector<Real> G_dense(static_cast<std::size_t>(f.rows * f.cols)), G_csr(static_cast<std::size_t>(live));

  // References, naive. The gradient's is naive_multiply with dY and X' in the roles of W and X.
  Tensor Y_dense({f.rows}, lanes), Y_csr({f.rows}, lanes), dX_dense({f.cols}, lanes), dX_csr({f.cols}, lanes);
  naive_multiply(dense.value(), X, Y_dense);
  naive_multiply(spread.value(), X, Y_csr);
  const auto transposed = [&](const Parameter& W) {
    std::vector<Real> t(W.value().size());
    for (Index r = 0; r < f.rows; ++r)
      for (Index c = 0; c < f.cols; ++c)
        t[static_cast<std::size_t>(c * f.rows + r)] = W.value()[static_cast<std::size_t>(r * f.cols + c)];
    return t;
  };
  naive_multiply(transposed(dense), dY, dX_dense);
  naive_multiply(transposed(spread), dY, dX_csr);
  std::vector<Real> outer_dense(G_dense.size()), outer_csr;
  for (Index r = 0; r < f.rows; ++r)
    for (Index c = 0; c < f.cols; ++c) {
      Real sum = 0;
      for (Index lane = 0; lane < f.lanes; ++lane) sum += dY.row(r)[lane] * X.row(c)[lane];
      outer_dense[static_cast<std::size_t>(r * f.cols + c)] = sum;
    }
  csr.for_each_weight(
      [&](Index r, Index c, Index) { outer_csr.push_back(outer_dense[static_cast<std::size_t>(r * f.cols + c)]); });

  const auto span_of = [](const Tensor& t) {
    return std::span<const Real>(t.data(), static_cast<std::size_t>(t.features() * t.lanes()));
  };
  const auto all_outer = [&](const Parameter& W, std::span<Real> G) {
    const OuterPair pair{&dY, &X};
    for (std::size_t b = 0; b < W.blocks().size(); ++b) {
      const RowBlock& block = W.blocks()[b];
      outer(W, b, std::span(&pair, 1),
            G.subspan(static_cast<std::size_t>(block.first), static_cast<std::size_t>(block.weights())));
    }
  };
  const int m = static_cast<int>(f.rows), k = static_cast<int>(f.cols), n = static_cast<int>(f.lanes);
  const double dense_flops = 2.0 * static_cast<double>(f.rows * f.cols * f.lanes),
               csr_flops = 2.0 * static_cast<double>(live * f.lanes);
  const float *w = dense.value().data(), *x = X.data(), *dy = dY.data();
  Tensor naive_Y({f.rows}, lanes);
  std::vector<Rung> ladder{
      {"Y = W X", "naive", dense_flops, [&] { naive_multiply(dense.value(), X, naive_Y); }, span_of(naive_Y),
       span_of(Y_dense)},
      {"Y = W X", "OpenBLAS sgemm", dense_flops,
       [&] { cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, w, k, x, n, 0, Y.data(), n); },
       span_of(Y), span_of(Y_dense)},
      {"Y = W X", kernel_name(dense, f.lanes), dense_flops, [&] { multiply(dense, X, Y); }, span_of(Y),
       span_of(Y_dense)},
      {"Y = W X", kernel_name(csr, f.lanes), csr_flops, [&] { multiply(csr, X, Y); }, span_of(Y), span_of(Y_csr)},
      {"dX = W' dY", "OpenBLAS sgemm", dense_flops,
       [&] { cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, n, m, 1, w, k, dy, n, 0, dX.data(), n); },
       span_of(dX), span_of(dX_dense)},
      {"dX = W' dY", kernel_name(dense, f.lanes), dense_flops, [&] { multiply_transposed(dense, dY, dX); }, span_of(dX),
       span_of(dX_dense)},
      {"dX = W' dY", kernel_name(csr, f.lanes), csr_flops, [&] { multiply_transposed(csr, dY, dX); }, span_of(dX),
       span_of(dX_csr)},
      {"dW = dY X'", "OpenBLAS sgemm", dense_flops,
       [&] { cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, k, n, 1, dy, n, x, n, 0, G_dense.data(), k); },
       G_dense, outer_dense},
      {"dW = dY X'", kernel_name(dense, f.lanes), dense_flops, [&] { all_outer(dense, G_dense); }, G_dense,
       outer_dense},
      {"dW = dY X'", kernel_name(csr, f.lanes), csr_flops, [&] { all_outer(csr, G_csr); }, G_csr, outer_csr}};

  // Verify, then time: all rungs in turn, so that a slow moment of the machine hits all of them.
  constexpr double tolerance = 1e-4;
  for (Rung& rung : ladder) {
    rung.run();
    const double error = largest_error(rung.result, rung.reference);
    if (!(error < tolerance))
      throw std::logic_error(fmt::format("{} by {} is wrong by {}", rung.product, rung.kernel, error));
  }
  std::vector<double> peak;
  constexpr int turns = 31, in_a_row = 5;
  for (int turn = 0; turn < turns; ++turn) {
    double burst_flops = 0;
    const double burst_seconds = seconds_of([&] { burst_flops = kernels::fma_burst(200000); });
    peak.push_back(burst_flops / burst_seconds);
    for (Rung& rung : ladder) {
      if (rung.kernel == "naive" && turn > 2) continue;
      for (int i = 0; i <= in_a_row; ++i) {
        const double seconds = seconds_of(rung.run);
        if (i > 0) rung.seconds.push_back(seconds);
      }
    }
  }
  std::ranges::sort(peak);
  const double peak_rate = peak[peak.size() / 2];
  Json result = {{"rows", f.rows},
                 {"cols", f.cols},
                 {"lanes", f.lanes},
                 {"density", f.density},
                 {"processor", processor_name()},
                 {"peak_gflops", peak_rate * 1e-9},
                 {"kernels", Json::array()}};
  double blas_rate = 0, dense_seconds = 0;
  std::string text;
  for (Rung& rung : ladder) {
    const Timing timing = timing_of(rung.seconds);
    const double rate = rung.flops / timing.median;
    if (rung.kernel == "OpenBLAS sgemm") blas_rate = rate, dense_seconds = timing.median;
    if (rung.flops == dense_flops && rung.kernel != "naive") dense_seconds = std::min(dense_seconds, timing.median);
    const bool naive = rung.kernel == "naive";
    text += fmt::format("{:<12}{:<26}{:>10.1f}{:>9.0f} %{:>16}{:>16}\n", rung.product, rung.kernel, rate * 1e-9,
                        100 * rate / peak_rate, naive ? "" : fmt::format("{:.0f} %", 100 * rate / blas_rate),
                        rung.flops == csr_flops ? fmt::format("{:.1f}x", dense_seconds / timing.median) : "");
    result["kernels"].push_back({{"product", rung.product},
                                 {"kernel", rung.kernel},
                                 {"useful_gflops", rate * 1e-9},
                                 {"of_peak", rate / peak_rate},
                                 {"of_openblas", naive ? Json() : Json(rate / blas_rate)},
                                 {"seconds", timing.median}});
  }
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{} x {}, density {:g}, {} lanes, one core of {}; FMA peak {:.0f} GFLOP/s\n\n", f.rows, f.cols, f.density,
             f.lanes, processor_name(), peak_rate * 1e-9);
  fmt::print("{:<12}{:<26}{:>10}{:>11}{:>16}{:>16}\n{}", "product", "kernel", "GFLOP/s", "of peak", "of OpenBLAS's",
             "than best dense", text);
  fmt::print(
      "\nGFLOP/s are useful ones: for csr, those of the live weights. Each kernel was verified against the naive "
      "one.\n");
}

}  // namespace

Command add_bench_kernels(CLI::App& app) {
  auto flags = std::make_shared<KernelFlags>();
  app.add_option("--rows", flags->rows, "Outputs")->capture_default_str();
  app.add_option("--cols", flags->cols, "Inputs")->capture_default_str();
  app.add_option("--lanes", flags->lanes, "Samples side by side")->capture_default_str();
  app.add_option("--density", flags->density, "Of the sparse matrix, in (0, 1]")->capture_default_str();
  app.add_option("--seed", flags->seed, "Of pattern and values")->capture_default_str();
  app.add_flag("--json", flags->json, "Print JSON");
  return [flags] { run_bench_kernels(*flags); };
}

}  // namespace espalier
