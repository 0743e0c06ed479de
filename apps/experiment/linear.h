// The best linear model of some data, found exactly: what a network has to beat.
//
//   regression        ridge: minimise mean (w x + b - t)² / 2 + ridge |w|² / 2. The equations are solved by Cholesky,
//                     as long as their matrix is of a size for that
//   classification    the same with the mean of -log softmax(W x + b)[label]: logistic regression, by L-BFGS (Nocedal
//                     and Wright, Numerical Optimization, section 7.2) until its gradient vanishes, or after seconds:
//                     then it is not quite the best one, and says so (converged)
//
// Features are divided by their deviation, so that the ridge means the same for all of them; b is free. The ridge is
// that of a short list, from strong to weak, at which the loss on validation samples is lowest. Nothing here depends on
// how a network is trained: no rate, no epochs, no batch, no seed.
#pragma once

#include <vector>

#include "espalier/core/threads.h"
#include "espalier/datasets/dataset.h"

namespace espalier {

struct LinearFit {
  Index features = 0, outputs = 0;
  std::vector<double> weights;  // [features + 1, outputs]: W', and b in the last row
  double ridge = 0;
  Index passes = 0;       // over the training rows
  bool converged = true;  // false: it was stopped after many passes, still falling
  double seconds = 0;

  // [samples, outputs], as Inference::outputs gives them.
  std::vector<Real> outputs_for(const Dataset& data) const;
};

// Deterministic, with any number of threads. Of more than 2^25 features in all, evenly spread rows are used. Throws
// InterruptedError, UsageError for no rows.
LinearFit fit_linear(const Dataset& train, const Dataset& validation, int threads = default_threads());

}  // namespace espalier
