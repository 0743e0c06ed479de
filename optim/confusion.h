// Which classes are taken for which: how often each answer was given to the samples of each class.
//
//               answer       a     b     c      rows    recall
//      class a             [46]    3     0        49     46/49     what share of a class is found
//            b               1   [30]    2        33     30/33
//            c               0     5   [13]       18     13/18
//      precision         46/47  30/38  13/15               what share of an answer is right
//
// F1 is the harmonic mean of the two, 2 right / (rows + answered).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "espalier/optim/metrics.h"

namespace espalier {

// One class. What is not defined, for want of rows or answers, is NaN.
struct ClassScore {
  Index rows = 0, answered = 0, right = 0;
  double recall() const { return rows ? static_cast<double>(right) / static_cast<double>(rows) : Metrics::unknown; }
  double precision() const {
    return answered ? static_cast<double>(right) / static_cast<double>(answered) : Metrics::unknown;
  }
  double f1() const {
    return rows + answered ? 2 * static_cast<double>(right) / static_cast<double>(rows + answered) : Metrics::unknown;
  }
};

// Takes memory for pairs that occur, so that it may be of any number of classes.
class Confusion {
 public:
  using Pair = std::pair<std::int32_t, std::int32_t>;  // class, answer

  explicit Confusion(Index classes = 0) : classes_(classes) {}
  // Throws UsageError for a class or answer that is none of them.
  void add(Pair pair, Index count = 1);

  Index classes() const { return classes_; }
  Index count(Pair pair) const;
  const std::map<Pair, Index>& counts() const { return counts_; }  // above 0
  std::vector<ClassScore> by_class() const;                        // [classes]
  // The wrong answers, the most frequent first.
  std::vector<std::pair<Pair, Index>> mistakes() const;
  bool operator==(const Confusion&) const = default;

 private:
  Index classes_;
  std::map<Pair, Index> counts_;
};

// outputs: [samples, classes], row-major; labels: [samples]. The answer is the largest output. Throws UsageError.
Confusion confusion_of(std::span<const Real> outputs, std::span<const std::int32_t> labels, Index classes);
Confusion confusion_of(std::span<const Real> outputs, const Dataset& data);

}  // namespace espalier
