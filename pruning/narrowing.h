// Narrowing: a network that becomes narrower while it trains, and what it was at first.
//
//   at first    fc1: 300 units     0 1 2 3 4 5 ... 299
//   after some prunings            0 . 2 . . 5 ... 299        kept: {0, 2, 5, ...}, by their first numbers
//   now         fc1: 90 units      0   1     2 ...  89        a dense matrix with 90 rows; layers/widths.h took the
//                                                             others out, with their optimizer slots
//
// The first numbers are kept for three reasons: schedules count in shares of what there was at first; pictures of masks
// show rows and columns where they were; and a checkpoint that says which groups are left says what shape its arrays
// have.
//
// Invariants (tests/pruning/group_method_test.cpp names them by number):
//   1. widths() has the widths of whole() in the same order, with the groups that are left.
//   2. After go_to(kept()) every parameter and state has the shape that it has now.
//   3. Events tell of positions in the matrices as they were at first: a weight is live if its row and its column are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/layers/widths.h"
#include "espalier/pruning/storage_rules.h"

namespace espalier {

// What the groups of a width are: units of linear and recurrent layers, channels of convolutions, heads of attention.
enum class UnitKind { neurons, channels, heads };
std::string_view name_of(UnitKind kind);
std::vector<UnitKind> kinds_of(const std::vector<Width>& widths, const Module& model, const Shape& input);

// How many units there were, and are left, of the widths that units were taken from.
struct UnitsLeft {
  struct OfWidth {
    std::string name;
    Index whole = 0, kept = 0;
    bool operator==(const OfWidth&) const = default;
  };
  Census whole = {};  // of the network before
  std::vector<OfWidth> widths = {};
  Index before() const;
  Index kept() const;
  Index removed() const { return before() - kept(); }
};
// "120 of 400 units: fc1 90 of 300, fc2 30 of 100"
std::string text_of(const UnitsLeft& units);

class Narrowing {
 public:
  // The model, whole, must outlive it. input: the shape of one sample
  Narrowing(Module& model, const Shape& input);

  const std::vector<Width>& whole() const { return whole_; }
  const std::vector<Width>& widths() const { return now_; }
  const Kept& kept() const { return kept_; }  // of whole()
  const Census& census() const { return census_; }
  const Module& model() const { return model_; }

  // Takes all other groups out of the model; kept: of widths(). One event for each prunable parameter. Throws
  // UsageError as narrow() does.
  std::vector<PruneEvent> keep(const Kept& kept, Index step, bool histograms = false);
  // Gives the model the shape in which these groups of whole() are left, from whatever shape it has. Its numbers are of
  // no meaning afterwards: they are to be loaded.
  void go_to(const Kept& kept);

 private:
  struct Matrix {  // a prunable parameter, as it was at first
    Parameter* W;
    Index rows = 0, cols = 0;
    // The places of whole() that its rows and columns are, and of which width; null: they all stay.
    const Place *row_place = nullptr, *column_place = nullptr;
    std::size_t row_width = 0, column_width = 0;
  };
  struct Extents {
    Index rows = 0, cols = 0;
  };
  PatternPtr pattern_of(const Matrix& matrix) const;  // of what is left; null: all
  void remember(const Kept& kept);                    // of whole()

  Module& model_;
  std::vector<Width> whole_, now_;
  Kept kept_;
  Census census_;
  std::vector<Matrix> matrices_;
  std::vector<Extents> extents_;      // of all parameters, at first
  std::vector<std::size_t> lengths_;  // of all states, at first
};

}  // namespace espalier
