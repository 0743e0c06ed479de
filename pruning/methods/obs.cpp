// Optimal brain surgeon, layer by layer, in one shot.
//
//   score = w_j^2 / [H^-1]_jj        H = mean of x x' + damping        (per row w of W: it costs (w - w')' H (w - w'))
//   then, with S the weights that stay:   w'_S = H_SS^-1 H_S: w
//
// Removing a weight costs less if the others move over: the score is what is lost after they did, and w' is where they
// go when all the removed ones are gone at once, the least squares fit of the old sums by the kept inputs. The scores
// speak of removing one weight, but the pruning removes most; errors of different layers are compared as though all
// outputs mattered alike.
//
// Convolutions, and layers wider than `widest`, are scored as though H were diagonal (w_j^2 H_jj, summed over patches).
// Pixels that always agree make [H^-1]_jj as large as the damping allows, and then the score is noise: 0.1 of the mean
// diagonal keeps it small.
//
// When: once, late in training; the rest is fine-tuning.
//
// Exercise: --set rounds=4 asks again when a part of the weights is gone, row by row. What does it gain, what does it
// cost?
#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/threads.h"
#include "espalier/pruning/cholesky.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

// H of a layer with damping on its diagonal.
struct Hessian {
  std::span<const Real> products;  // [cols, cols]
  std::size_t cols;
  double damping = 0;
  Hessian(std::span<const Real> xx, double relative_damping) : products(xx), cols(0) {
    while (cols * cols < xx.size()) ++cols;
    for (std::size_t j = 0; j < cols; ++j)
      damping += relative_damping * static_cast<double>(xx[j * cols + j]) / static_cast<double>(cols);
    if (damping == 0) damping = 1;  // all inputs are 0, and all weights worth nothing
  }
  double operator()(std::size_t i, std::size_t j) const {
    return static_cast<double>(products[i * cols + j]) + (i == j ? damping : 0);
  }
  Cholesky factor(std::span<const std::size_t> columns) const {
    const std::size_t n = columns.size();
    std::vector<double> A(n * n, 0);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) A[i * n + j] = (*this)(columns[i], columns[j]);
    Cholesky factors(std::move(A), n);
    require(factors.ok(), "[obs] inputs depend on each other beyond rounding: expected a larger damping");
    return factors;
  }
};

// The live weights of each row: columns, and places in the arrays.
struct Row {
  std::vector<std::size_t> column, at;
  std::vector<bool> stays;
};

std::vector<Row> rows_of(const Parameter& W, std::span<const std::uint32_t> kept) {
  std::vector<Row> rows(W.rows());
  std::uint32_t n = 0;
  W.for_each_weight([&](Index r, Index c, Index at) {
    Row& row = rows[r];
    row.column.push_back(static_cast<std::size_t>(c));
    row.at.push_back(static_cast<std::size_t>(at));
    row.stays.push_back(!kept.empty() && kept.front() == n);
    if (row.stays.back()) kept = kept.subspan(1);
    ++n;
  });
  return rows;
}

class OptimalBrainSurgeon final : public Criterion {
 public:
  explicit OptimalBrainSurgeon(const Settings& settings)
      : damping_(settings.at("damping")), widest_(settings.at("widest")), rounds_(settings.at("rounds")) {
    require(damping_ > 0, "[obs] expected a damping above 0, got {}", damping_);
    require(rounds_ >= 1 && rounds_ <= 10000 && std::floor(rounds_) == rounds_,
            "[obs] expected 1 to 10000 whole rounds, got {}", rounds_);
  }

  void score(const Parameter& W, const CriterionContext& context, std::span<Real> scores) const override {
    Evidence& evidence = context.require_evidence("obs");
    const auto xx = products(W, evidence);
    if (xx.empty()) return score_by_diagonal(W, evidence, scores);
    const Hessian H(xx, damping_);
    const std::vector<Row> rows = rows_of(W, {});
    // One inverse serves all rows while every weight is alive; later each row has its own.
    const bool all_alive = W.nonzeros() == W.positions();
    std::vector<std::vector<double>> inverse(all_alive ? 1 : rows.size());
    parallel_for(static_cast<Index>(inverse.size()), evidence.trainer().threads(), [&](Index r) {
      const auto i = static_cast<std::size_t>(r);
      inverse[i] = H.factor(rows[i].column).inverse_diagonal();
    });
    std::size_t n = 0;
    for (std::size_t r = 0; r < rows.size(); ++r)
      for (std::size_t j = 0; j < rows[r].at.size(); ++j) {
        const auto w = static_cast<double>(W.value()[rows[r].at[j]]);
        scores[n++] = static_cast<Real>(w * w / inverse[all_alive ? 0 : r][j]);
      }
  }

  void compensate(Parameter& W, std::span<const std::uint32_t> kept, const CriterionContext& context) const override {
    Evidence& evidence = context.require_evidence("obs");
    const auto xx = products(W, evidence);
    if (xx.empty()) return;
    const Hessian H(xx, damping_);
    const std::vector<Row> rows = rows_of(W, kept);
    const auto w = W.value();
    parallel_for(W.rows(), evidence.trainer().threads(), [&](Index r) {
      const Row& row = rows[r];
      std::vector<std::size_t> S, at;
      for (std::size_t j = 0; j < row.at.size(); ++j)
        if (row.stays[j]) S.push_back(row.column[j]), at.push_back(row.at[j]);
      if (S.size() == row.at.size()) return;  // no weight leaves
      std::vector<double> b(S.size(), 0);     // H_S: w
      for (std::size_t s = 0; s < S.size(); ++s)
        for (std::size_t j = 0; j < row.at.size(); ++j)
          b[s] += H(S[s], row.column[j]) * static_cast<double>(w[row.at[j]]);
      b = H.factor(S).solve(std::move(b));
      for (std::size_t s = 0; s < S.size(); ++s) w[at[s]] = static_cast<Real>(b[s]);
    });
  }
  std::string name() const override { return "obs"; }
  Index rounds() const override { return static_cast<Index>(rounds_); }

 private:
  std::span<const Real> products(const Parameter& W, Evidence& evidence) const {
    return static_cast<double>(W.cols()) > widest_ ? std::span<const Real>() : evidence.input_products(W);
  }
  // As if H were diagonal: [H^-1]_jj = 1 / H_jj.
  static void score_by_diagonal(const Parameter& W, Evidence& evidence, std::span<Real> scores) {
    const auto squares = evidence.input_squares(W);  // [groups, cols]
    const Index groups = static_cast<Index>(squares.size()) / W.cols();
    std::size_t n = 0;
    W.for_each_weight([&](Index row, Index column, Index at) {
      const auto w = static_cast<double>(W.value()[at]);
      const Index group = row * groups / W.rows();
      scores[n++] = static_cast<Real>(w * w * squares[group * W.cols() + column]);
    });
  }
  double damping_, widest_, rounds_;
};

}  // namespace

namespace method_pages {
MethodInfo obs() {
  return {.name = "obs",
          .family = "after training",
          .line = "optimal brain surgeon: remove weights, and move the others to where they make up for it",
          .source =
              "Hassibi & Stork, Second order derivatives for network pruning: optimal brain surgeon, 1993; "
              "Frantar & Alistarh, Optimal brain compression, 2022 (layer by layer)",
          .formula = "score = w_j^2 / [H^-1]_jj,  then w_S = H_SS^-1 H_S: w,  H = mean of x x' + damping",
          .cost = "10 batches forward, cols^3 per layer, (weights kept)^3 per row, once",
          .caveat = "convolutions and layers wider than `widest` are scored by H's diagonal and not compensated",
          .example = "espalier train --method obs --density 0.05",
          .defaults = {.allocation = Allocation::er, .schedule = {.kind = Schedule::Kind::one_shot, .begin = 0.6}},
          .settings = {{"damping", 0.1, "added to the diagonal of H, as a fraction of its mean"},
                       {"widest", 2048, "inputs; beyond, a layer's weights do not move"},
                       {"rounds", 1, "rounds of equal factors, with scores anew in each"},
                       batches_setting()},
          .criterion = [](const auto& settings) { return std::make_unique<OptimalBrainSurgeon>(settings); }};
}
}  // namespace method_pages

}  // namespace espalier
