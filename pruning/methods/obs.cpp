// Optimal brain surgeon, layer by layer, in one shot.
//
//   Hassibi, Stork, "Second order derivatives for network pruning: optimal brain surgeon", 1993
//   Frantar, Alistarh, "Optimal brain compression", 2022: layer by layer, with the layer's own squared error
//
//   score = w_j^2 / [H^-1]_jj        H = mean of x x' + damping        (per row w of W: it costs (w - w')' H (w - w'))
//   then, with S the weights that stay:   w'_S = H_SS^-1 H_S: w
//
// Removing a weight costs less if the others move over: the score is what is lost after they did, and w' is where they
// go when all the removed ones are gone at once, the least squares fit of the old sums by the kept inputs.
// When: once, late in training; the rest is fine-tuning. Cost: ten batches forward, cols^3 for H^-1 of each layer, and
// for each row a system of as many equations as it keeps weights.
// Caveat: the scores speak of removing one weight, the pruning removes most; errors of different layers are compared
// as though all outputs mattered alike. Convolutions, and layers wider than `widest`, are scored by the diagonal of H
// alone (w_j^2 H_jj, summed over patches) and their weights do not move. Pixels that always agree make [H^-1]_jj as
// large as the damping allows, and then the score is noise: 0.1 of the mean diagonal keeps it sober.
// Try: espalier train --method obs --density 0.05
// Exercise: --set rounds=4 asks again when a part of the weights is gone, row by row. What does it gain, what does it
// cost?
#include <algorithm>
#include <cmath>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/threads.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

// A symmetric, positive definite matrix [n, n], row-major, as L L'.
class Cholesky {
 public:
  explicit Cholesky(std::vector<double> A, std::size_t n) : L_(std::move(A)), n_(n) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = at(i, j);
        for (std::size_t k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
        require(j < i || sum > 0, "[obs] inputs depend on each other beyond rounding: expected a larger damping");
        at(i, j) = j < i ? sum / at(j, j) : std::sqrt(sum);
      }
  }
  // A^-1 b
  std::vector<double> solve(std::vector<double> b) const {
    forward(b, 0);
    for (std::size_t i = n_; i-- > 0;) {
      for (std::size_t k = i + 1; k < n_; ++k) b[i] -= at(k, i) * b[k];
      b[i] /= at(i, i);
    }
    return b;
  }
  // The diagonal of A^-1 = L'^-1 L^-1: squares of the columns of L^-1.
  std::vector<double> inverse_diagonal() const {
    std::vector<double> diagonal(n_, 0), column(n_);
    for (std::size_t j = 0; j < n_; ++j) {
      std::ranges::fill(column, 0);
      column[j] = 1;
      forward(column, j);
      for (std::size_t i = j; i < n_; ++i) diagonal[j] += column[i] * column[i];
    }
    return diagonal;
  }

 private:
  // b = L^-1 b, which is zero before `first`
  void forward(std::vector<double>& b, std::size_t first) const {
    for (std::size_t i = first; i < n_; ++i) {
      for (std::size_t k = first; k < i; ++k) b[i] -= at(i, k) * b[k];
      b[i] /= at(i, i);
    }
  }
  double& at(std::size_t i, std::size_t j) { return L_[i * n_ + j]; }
  double at(std::size_t i, std::size_t j) const { return L_[i * n_ + j]; }
  std::vector<double> L_;
  std::size_t n_;
};

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
    std::vector<double> A;
    for (const std::size_t i : columns)
      for (const std::size_t j : columns) A.push_back((*this)(i, j));
    return Cholesky(std::move(A), columns.size());
  }
};

// The live weights of each row: columns, and places in the arrays.
struct Row {
  std::vector<std::size_t> column, at;
  std::vector<bool> stays;
};

std::vector<Row> rows_of(const Parameter& W, std::span<const std::uint32_t> kept) {
  std::vector<Row> rows(static_cast<std::size_t>(W.rows()));
  std::uint32_t n = 0;
  W.for_each_weight([&](Index r, Index c, Index at) {
    Row& row = rows[static_cast<std::size_t>(r)];
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
      const Row& row = rows[static_cast<std::size_t>(r)];
      std::vector<std::size_t> S, at;
      for (std::size_t j = 0; j < row.at.size(); ++j)
        if (row.stays[j]) S.push_back(row.column[j]), at.push_back(row.at[j]);
      if (S.size() == row.at.size()) return;  // nobody left
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
      const auto w = static_cast<double>(W.value()[static_cast<std::size_t>(at)]);
      const Index group = row * groups / W.rows();
      scores[n++] = static_cast<Real>(w * w * squares[static_cast<std::size_t>(group * W.cols() + column)]);
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
              "Hassibi & Stork, Second order derivatives for network pruning, 1993; Frantar & Alistarh, Optimal "
              "brain compression, 2022",
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
