// espalier bench forms: how many bytes a matrix takes in each form of a file, at several densities. Nothing is timed.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "apps/bench/bench.h"
#include "espalier/core/error.h"
#include "espalier/layers/compressed_forms.h"
#include "espalier/layers/initialise.h"
#include "espalier/layers/weight_sharing.h"

namespace espalier {
namespace {

struct FormsFlags {
  Index rows = 300, cols = 784;
  std::vector<double> densities{0.5, 0.1, 0.05, 0.02};
  std::uint64_t seed = 1;
};

// Normal weights at random places.
Parameter drawn_matrix(const FormsFlags& f, double density) {
  Parameter W("W", f.rows, f.cols);
  initialise(W, Initialiser::kaiming, f.seed);
  const auto live = static_cast<Index>(density * static_cast<double>(W.positions()) + 0.5);
  if (live < W.positions()) W.become(Pattern::random(f.rows, f.cols, live, Random(f.seed, "forms")), Storage::csr);
  return W;
}

// In its compressed form, once its weights share values.
std::uintmax_t bytes_of_shared(const Parameter& W, const Sharing& sharing) {
  Parameter sharing_values = W;
  apply(sharing, sharing_values);
  return bytes_of(compressed(sharing_values)->tensors);
}

void run_bench_forms(const FormsFlags& f) {
  constexpr Index most = Index{1} << 27;
  require(f.rows > 0 && f.cols > 0 && f.rows <= most && f.cols <= most / f.rows,
          "[rows] expected a matrix of up to 2^27 weights, got {}x{}", f.rows, f.cols);
  fmt::print("bytes of a matrix {} x {}, {} weights\n\n{:<32}", f.rows, f.cols, f.rows * f.cols, "density");
  std::vector<Parameter> matrices;
  for (const double density : f.densities) {
    require(density > 0 && density <= 1, "[density] expected fractions in (0, 1], got {}", density);
    matrices.push_back(drawn_matrix(f, density));
    fmt::print("{:>12g}", density);
  }
  const auto row = [&](const std::string& name, auto&& bytes) {
    fmt::print("\n{:<32}", name);
    for (const Parameter& W : matrices) fmt::print("{:>12}", bytes(W));
  };
  for (const Form form : {Form::dense, Form::bitmap, Form::delta8, Form::csr, Form::scipy_csr})
    row(std::string(name_of(form)), [&](const Parameter& W) { return bytes_of(form_tensors(W, form)); });
  row("linear8", [](const Parameter& W) { return bytes_of_shared(W, equal_steps_sharing(W)); });
  for (const int bits : {8, 5, 4, 3})
    row(fmt::format("shared, {} bits", bits),
        [&](const Parameter& W) { return bytes_of_shared(W, kmeans_sharing(W, bits)); });
  fmt::print("\n");
}

}  // namespace

std::function<void()> add_bench_forms(CLI::App& bench) {
  auto flags = std::make_shared<FormsFlags>();
  bench.add_option("--rows", flags->rows, "Of the matrix")->capture_default_str();
  bench.add_option("--cols", flags->cols, "Of the matrix")->capture_default_str();
  bench.add_option("--density", flags->densities, "Fractions of the weights that are kept")->delimiter(',');
  bench.add_option("--seed", flags->seed, "Of the pattern and of the weights")->capture_default_str();
  return [flags] { run_bench_forms(*flags); };
}

}  // namespace espalier
