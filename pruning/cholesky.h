// Systems of linear equations with a symmetric, positive definite matrix, by LAPACK.
#pragma once

#include <cstddef>
#include <vector>

namespace espalier {

// A = L L', of which it keeps L. The distribution's serial OpenBLAS gives wrong results when two threads call it at
// once: here they take turns; a program that calls it besides must not do so at the same time.
class Cholesky {
 public:
  // A: [n, n], row-major, of which the lower triangle is read.
  Cholesky(std::vector<double> A, std::size_t n);
  // False: A was not positive definite within rounding, and nothing below may be called.
  bool ok() const { return ok_; }
  // A^-1 b.    b: [n]
  std::vector<double> solve(std::vector<double> b) const;
  // The diagonal of A^-1, [n].
  std::vector<double> inverse_diagonal() &&;

 private:
  std::vector<double> L_;  // as LAPACK has it, column-major: the upper triangle of L'
  int n_, stride_;
  bool ok_ = false;
};

}  // namespace espalier
