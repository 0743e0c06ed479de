// espalier bench kernels: every rung of the ladder from naive to sparse, verified against the naive one and then timed
// on one core, beside the machine's limit and OpenBLAS.
#include "espalier/core/kernels/kernels.h"

#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/bench/bench.h"
#include "apps/bench/ladder.h"
#include "apps/bench/ruler.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/error.h"
#include "espalier/core/kernels/sparse_stream.h"
#include "espalier/core/products.h"
#include "espalier/core/reading_pass.h"
#include "espalier/core/threads.h"
#include "espalier/experiment/machine.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/text.h"

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
  Storage storage;
  double flops;  // useful ones, of one run
  std::function<void()> run;
  std::span<const Real> result;     // what run() leaves
  std::span<const Real> reference;  // what it should be
  std::vector<double> seconds = {};

  bool naive() const { return kernel == "naive"; }
};
constexpr const char* blas_kernel = "OpenBLAS sgemm";

// Y = W X, one multiplication after the other.      W: [rows, cols]   X: [cols, lanes]
void naive_multiply(std::span<const Real> W, const Tensor& X, Tensor& Y) {
  for (Index r = 0; r < Y.features(); ++r)
    for (Index lane = 0; lane < Y.lanes(); ++lane) {
      Real sum = 0;
      for (Index k = 0; k < X.features(); ++k) sum += W[r * X.features() + k] * X.row(k)[lane];
      Y.row(r)[lane] = sum;
    }
}

std::span<Real> numbers_of(Tensor& t) {
  return {t.data(), static_cast<std::size_t>(t.features() * t.lanes())};
}

Index live_weights(const KernelFlags& f) {
  return std::max<Index>(1, std::llround(f.density * static_cast<double>(f.rows * f.cols)));
}

// What every rung reads and writes: a full matrix for the dense kernels and a sparse one.
struct Operands {
  explicit Operands(const KernelFlags& f)
      : dense("dense", f.rows, f.cols),
        csr("csr", Pattern::random(f.rows, f.cols, live_weights(f), Random(f.seed, "pattern"))),
        X({f.cols}, {f.lanes, f.lanes}),
        dY({f.rows}, {f.lanes, f.lanes}),
        X2({f.cols}, {f.lanes, f.lanes}),
        dY2({f.rows}, {f.lanes, f.lanes}),
        Y({f.rows}, {f.lanes, f.lanes}),
        naive_Y({f.rows}, {f.lanes, f.lanes}),
        dX({f.cols}, {f.lanes, f.lanes}),
        G_dense(dense.value().size()),
        G_csr(csr.value().size()) {
    fill_uniform(csr.value(), Random(f.seed, "csr"));
    fill_uniform(dense.value(), Random(f.seed, "dense"));
    fill_uniform(numbers_of(X), Random(f.seed, "X"));
    fill_uniform(numbers_of(dY), Random(f.seed, "dY"));
    fill_uniform(numbers_of(X2), Random(f.seed, "X2"));
    fill_uniform(numbers_of(dY2), Random(f.seed, "dY2"));
  }
  Parameter dense, csr;
  Tensor X, dY, X2, dY2;  // given: two tiles of a batch for the gradient, the first of them for the other products
  Tensor Y, naive_Y, dX;  // results
  std::vector<Real> G_dense, G_csr;
};

// W' of a matrix that stores every position.
std::vector<Real> transposed(const Parameter& W) {
  std::vector<Real> t(W.value().size());
  for (Index r = 0; r < W.rows(); ++r)
    for (Index c = 0; c < W.cols(); ++c) t[c * W.rows() + r] = W.value()[r * W.cols() + c];
  return t;
}

// What the products must be, by the definition: the sparse ones with the pruned weights as zeros.
struct References {
  explicit References(const Operands& o)
      : Y_dense(o.Y.shape(), o.Y.lane_counts()),
        Y_csr(o.Y.shape(), o.Y.lane_counts()),
        dX_dense(o.dX.shape(), o.dX.lane_counts()),
        dX_csr(o.dX.shape(), o.dX.lane_counts()) {
    Parameter spread = o.csr;
    spread.become(o.csr.pattern(), Storage::masked);
    naive_multiply(o.dense.value(), o.X, Y_dense);
    naive_multiply(spread.value(), o.X, Y_csr);
    naive_multiply(transposed(o.dense), o.dY, dX_dense);
    naive_multiply(transposed(spread), o.dY, dX_csr);
    for (Index r = 0; r < o.dense.rows(); ++r)
      for (Index c = 0; c < o.dense.cols(); ++c) {
        Real sum = 0;
        for (Index lane = 0; lane < o.X.lanes(); ++lane)
          sum += o.dY.row(r)[lane] * o.X.row(c)[lane] + o.dY2.row(r)[lane] * o.X2.row(c)[lane];
        G_dense.push_back(sum);
      }
    o.csr.for_each_weight([&](Index r, Index c, Index) { G_csr.push_back(G_dense[r * o.csr.cols() + c]); });
  }
  Tensor Y_dense, Y_csr, dX_dense, dX_csr;
  std::vector<Real> G_dense, G_csr;
};

// G = sum over both tiles of dY X' where W stores weights, block by block.
void all_outer(const Parameter& W, const Operands& o, std::span<Real> G) {
  const OuterPair pairs[] = {{&o.dY, &o.X}, {&o.dY2, &o.X2}};
  for (std::size_t b = 0; b < W.blocks().size(); ++b) {
    const RowBlock& block = W.blocks()[b];
    outer(W, b, pairs, G.subspan(block.first, block.weights()));
  }
}

// How csr is multiplied: every way that there is on this machine.
std::vector<Reading> readings_of(Index lanes) {
  if (lanes == 1 || !kernels::has_streams()) return {Reading::panels};
  return {Reading::panels, Reading::streams};
}

// The rungs of each product, from below. They hold on to their arguments.
std::vector<Rung> ladder_of(const KernelFlags& f, Operands& o, References& right) {
  const int m = static_cast<int>(f.rows), k = static_cast<int>(f.cols), n = static_cast<int>(f.lanes);
  const auto gemm = [](auto W_as, auto X_as, int rows, int cols, int depth, const Real* A, int a, const Real* B, int b,
                       Real* C, Real old = 0) {
    return [=] { cblas_sgemm(CblasRowMajor, W_as, X_as, rows, cols, depth, 1, A, a, B, b, old, C, cols); };
  };
  const Real *w = o.dense.value().data(), *x = o.X.data(), *dy = o.dY.data();
  const double dense_flops = 2.0 * static_cast<double>(f.rows * f.cols * f.lanes),
               csr_flops = 2.0 * static_cast<double>(live_weights(f) * f.lanes);
  const std::string dense_kernel = kernel_name(o.dense, f.lanes);
  std::vector<Rung> ladder;
  const auto rungs = [&](const char* product, int tiles, const auto& blas, const auto& dense, const auto& csr,
                         auto of_dense, auto of_csr, auto right_dense, auto right_csr) {
    ladder.push_back({product, blas_kernel, Storage::dense, tiles * dense_flops, blas, of_dense, right_dense});
    ladder.push_back({product, dense_kernel, Storage::dense, tiles * dense_flops, dense, of_dense, right_dense});
    for (const Reading reading : readings_of(f.lanes)) {
      const ForcedReading forced(reading);
      const auto run = [=] {
        const ForcedReading so(reading);
        csr();
      };
      ladder.push_back({product, kernel_name(o.csr, f.lanes), Storage::csr, tiles * csr_flops, run, of_csr, right_csr});
    }
  };
  ladder.push_back({"Y = W X", "naive", Storage::dense, dense_flops,
                    [&o] { naive_multiply(o.dense.value(), o.X, o.naive_Y); }, numbers_of(o.naive_Y),
                    numbers_of(right.Y_dense)});
  rungs(
      "Y = W X", 1, gemm(CblasNoTrans, CblasNoTrans, m, n, k, w, k, x, n, o.Y.data()),
      [&o] { multiply(o.dense, o.X, o.Y); }, [&o] { multiply(o.csr, o.X, o.Y); }, numbers_of(o.Y), numbers_of(o.Y),
      numbers_of(right.Y_dense), numbers_of(right.Y_csr));
  rungs(
      "dX = W' dY", 1, gemm(CblasTrans, CblasNoTrans, k, n, m, w, k, dy, n, o.dX.data()),
      [&o] { multiply_transposed(o.dense, o.dY, o.dX); }, [&o] { multiply_transposed(o.csr, o.dY, o.dX); },
      numbers_of(o.dX), numbers_of(o.dX), numbers_of(right.dX_dense), numbers_of(right.dX_csr));
  rungs(
      "dW = dY X'", 2,
      [first = gemm(CblasNoTrans, CblasTrans, m, k, n, dy, n, x, n, o.G_dense.data()),
       second = gemm(CblasNoTrans, CblasTrans, m, k, n, o.dY2.data(), n, o.X2.data(), n, o.G_dense.data(), 1)] {
        first();
        second();
      },
      [&o] { all_outer(o.dense, o, o.G_dense); }, [&o] { all_outer(o.csr, o, o.G_csr); }, std::span(o.G_dense),
      std::span(o.G_csr), std::span(right.G_dense), std::span(right.G_csr));
  return ladder;
}

void verify(std::vector<Rung>& ladder) {
  for (Rung& rung : ladder) {
    rung.run();
    require_close(rung.result, rung.reference, rung.product, rung.kernel);
  }
}

// As a trainer does before the tiles of a batch.
void refresh_streams(const Parameter& W) {
  for (const auto direction : {StreamCopies::Direction::forward, StreamCopies::Direction::transposed})
    W.refresh_streams(direction);
}

// All rungs in turn, so that a slow moment of the machine hits all of them. Returns the FMA peak of a core, in FLOP/s.
double time_in_turns(std::vector<Rung>& ladder) {
  std::vector<double> peak;
  constexpr int turns = 31, in_a_row = 5;
  for (int turn = 0; turn < turns; ++turn) {
    peak.push_back(fma_rate());
    for (Rung& rung : ladder) {
      if (rung.naive() && turn > 2) continue;
      for (int i = 0; i <= in_a_row; ++i) {
        const double seconds = seconds_of(rung.run);
        if (i > 0) rung.seconds.push_back(seconds);
      }
    }
  }
  return timing_of(peak).median;
}

// A line of the table and an entry of the JSON, for each rung.
struct Report {
  std::string lines;
  Json json = Json::array();
};

Report report_of(const std::vector<Rung>& ladder, double peak_rate, const Ruler& ruler) {
  Report report;
  double blas_rate = 0, dense_seconds = 0;
  for (const Rung& rung : ladder) {
    const Timing timing = timing_of(rung.seconds);
    const double rate = rung.flops / timing.median;
    const bool csr = rung.storage == Storage::csr;
    if (rung.kernel == blas_kernel) blas_rate = rate, dense_seconds = timing.median;
    if (!csr && !rung.naive()) dense_seconds = std::min(dense_seconds, timing.median);
    const std::string of_blas = rung.naive() ? ""
                                : ruler.fits ? fmt::format("{:.0f} %", 100 * rate / blas_rate)
                                             : "no ruler";
    report.lines += fmt::format("{:<12}{:<26}{:>10.1f}{:>9.0f} %{:>16}{:>16}   {}\n", rung.product, rung.kernel,
                                rate * 1e-9, 100 * rate / peak_rate, of_blas,
                                csr ? fmt::format("{:.1f}x", dense_seconds / timing.median) : "", text_of(timing));
    report.json.push_back({{"product", rung.product},
                           {"kernel", rung.kernel},
                           {"useful_gflops", rate * 1e-9},
                           {"of_peak", rate / peak_rate},
                           {"of_openblas", rung.naive() || !ruler.fits ? Json() : Json(rate / blas_rate)},
                           {"seconds", timing.median},
                           {"quartiles", {timing.lower, timing.upper}}});
  }
  return report;
}

void print_table(const KernelFlags& f, const Report& report, double peak_rate, const Ruler& ruler) {
  fmt::print("{} x {}, density {:g}, {} lanes, one core of {}; FMA peak {:.0f} GFLOP/s\n{}\n\n", f.rows, f.cols,
             f.density, f.lanes, processor_name(), peak_rate * 1e-9, ruler.text());
  fmt::print("{:<12}{:<26}{:>10}{:>11}{:>16}{:>16}   {}\n{}", "product", "kernel", "GFLOP/s", "of peak",
             "of OpenBLAS's", "than best dense", "median (quartiles)", report.lines);
  fmt::print(
      "\nGFLOP/s are useful ones: for csr, those of the live weights. dW is that of two tiles.\n"
      "Each kernel was verified against the naive one.\n");
}

void run_bench_kernels(const KernelFlags& f) {
  require(f.rows >= 1 && f.cols >= 1 && f.rows <= 8192 && f.cols <= 8192,
          "[--rows, --cols] expected 1 to 8192, got {} and {}", f.rows, f.cols);
  require(f.density > 0 && f.density <= 1, "[--density] expected a fraction in (0, 1], got {}", f.density);
  require_lanes({f.lanes, f.lanes});
  const Ruler ruler = fitting_ruler();
  flush_subnormals_to_zero();
  Operands operands(f);
  References right(operands);
  std::vector<Rung> ladder = ladder_of(f, operands, right);
  verify(ladder);
  refresh_streams(operands.csr);
  verify(ladder);  // once more, with the copies
  const double peak_rate = time_in_turns(ladder);
  const Report report = report_of(ladder, peak_rate, ruler);
  if (!f.json) return print_table(f, report, peak_rate, ruler);
  const Json result = {{"rows", f.rows},
                       {"cols", f.cols},
                       {"lanes", f.lanes},
                       {"density", f.density},
                       {"processor", processor_name()},
                       {"openblas_core", ruler.core},
                       {"openblas_fits", ruler.fits},
                       {"peak_gflops", peak_rate * 1e-9},
                       {"kernels", report.json}};
  fmt::print("{}\n", result.dump(2));
}

}  // namespace

std::function<void()> add_bench_kernels(CLI::App& app) {
  auto flags = std::make_shared<KernelFlags>();
  app.add_option("--rows", flags->rows, "Outputs")->capture_default_str();
  app.add_option("--cols", flags->cols, "Inputs")->capture_default_str();
  app.add_option("--lanes", flags->lanes, "Samples side by side")->capture_default_str();
  app.add_option("--density", flags->density, "Of the sparse matrix, in (0, 1]")->capture_default_str();
  app.add_option("--seed", flags->seed, "Of pattern and values")->check(counted())->capture_default_str();
  app.add_flag("--json", flags->json, "Print JSON");
  return [flags] { run_bench_kernels(*flags); };
}

}  // namespace espalier
