#include "espalier/pruning/cholesky.h"

#include <algorithm>
#include <mutex>
#include <utility>

extern "C" {  // LAPACK; last come the lengths of the texts, as Fortran passes them
void dpotrf_(const char* triangle, const int* n, double* A, const int* stride, int* info, std::size_t);
void dpotrs_(const char* triangle, const int* n, const int* columns, const double* L, const int* stride, double* B,
             const int* stride_of_b, int* info, std::size_t);
void dtrtri_(const char* triangle, const char* diagonal, const int* n, double* L, const int* stride, int* info,
             std::size_t, std::size_t);
}

namespace espalier {
namespace {

std::mutex one_at_a_time;

}  // namespace

Cholesky::Cholesky(std::vector<double> A, std::size_t n)
    : L_(std::move(A)), n_(static_cast<int>(n)), stride_(std::max(1, n_)) {
  int info = 0;
  const std::scoped_lock lock(one_at_a_time);
  dpotrf_("U", &n_, L_.data(), &stride_, &info, 1);
  ok_ = info == 0;
}

std::vector<double> Cholesky::solve(std::vector<double> b) const {
  const int one = 1;
  int info = 0;
  const std::scoped_lock lock(one_at_a_time);
  dpotrs_("U", &n_, &one, L_.data(), &stride_, b.data(), &stride_, &info, 1);
  return b;
}

// Of L'^-1 L^-1: squares of the columns of L^-1, which takes the place of L.
std::vector<double> Cholesky::inverse_diagonal() && {
  {
    int info = 0;
    const std::scoped_lock lock(one_at_a_time);
    dtrtri_("U", "N", &n_, L_.data(), &stride_, &info, 1, 1);
  }
  const auto n = static_cast<std::size_t>(n_);
  std::vector<double> diagonal(n, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) diagonal[j] += L_[i * n + j] * L_[i * n + j];
  return diagonal;
}

}  // namespace espalier
