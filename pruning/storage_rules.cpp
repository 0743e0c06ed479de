#include "pruning/storage_rules.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "core/products.h"
#include "core/threads.h"

namespace espalier {
namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// All three products once, as a training step would run them on one tile.
struct ThreeProducts {
  Parameter& W;
  Tensor X, Y, dX;
  AlignedVector<Real> G;

  ThreeProducts(Parameter& parameter, Index lanes)
      : W(parameter), X({parameter.cols()}, {lanes, lanes}), Y({parameter.rows()}, {lanes, lanes}), dX(X) {
    X.fill(Real{0.5});
  }
  double run() {
    const double start = seconds_now();
    multiply(W, X, Y);
    multiply_transposed(W, Y, dX);
    const OuterPair pair{&Y, &X};
    for (std::size_t b = 0; b < W.blocks().size(); ++b) {
      G.resize(std::max(G.size(), static_cast<std::size_t>(W.blocks()[b].weights())));
      outer(W, b, std::span(&pair, 1), std::span(G).first(static_cast<std::size_t>(W.blocks()[b].weights())));
    }
    return seconds_now() - start;
  }
};

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

// The highest density of a descending list from which on csr is faster.
double break_even(Index rows, Index cols, Index lanes, std::uint64_t seed) {
  constexpr std::array densities{0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05};
  Parameter dense("dense", rows, cols);
  std::ranges::fill(dense.value(), Real{0.01});
  ThreeProducts dense_products(dense, lanes);
  for (const double density : densities) {
    const auto live = std::max<Index>(1, static_cast<Index>(density * static_cast<double>(rows * cols)));
    Parameter sparse("csr", Pattern::random(rows, cols, live, Random(seed, "tune")));
    std::ranges::fill(sparse.value(), Real{0.01});
    ThreeProducts sparse_products(sparse, lanes);
    dense_products.run(), sparse_products.run();
    std::vector<double> ratio;
    for (int repetition = 0; repetition < 21; ++repetition) {
      const double d = dense_products.run();
      ratio.push_back(d / sparse_products.run());
    }
    if (median(ratio) > 1) return density;
  }
  return 0;
}

}  // namespace

Storage StorageRules::storage_for(const Parameter& W, double density) const {
  if (density >= 1) return Storage::dense;
  const auto found = csr_below_of.find(W.name());
  return density <= (found != csr_below_of.end() ? found->second : csr_below) ? Storage::csr : Storage::masked;
}

StorageRules tune(Module& model, Index lanes, std::uint64_t seed) {
  flush_subnormals_to_zero();
  StorageRules rules;
  std::map<std::pair<Index, Index>, double> measured;
  model.visit_parameters([&](Parameter& W) {
    if (!W.prunable()) return;
    const auto [at, fresh] = measured.try_emplace({W.rows(), W.cols()}, 0);
    if (fresh) at->second = break_even(W.rows(), W.cols(), lanes, seed);
    rules.csr_below_of[W.name()] = at->second;
  });
  return rules;
}

}  // namespace espalier
