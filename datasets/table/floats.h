// A column's numbers as floats, which have 24 bits: what is to be subtracted first, so that numbers that differ stay
// apart, and whether they do.
//
//   1700000000 ... 1700086399            the lowest: seconds of one day
//   1700000000 ... 1700086399, 0         the lowest but for outliers, a mark for missing values that no option named
//   1700000000 ..., 1700000000000 ...    the lowest of the more; the others become one another, and it is said
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace espalier::table {

inline bool is_whole(double x) {
  constexpr double no_decimals_from = 4503599627370496;  // 2^52
  return std::abs(x) >= no_decimals_from || x == static_cast<double>(static_cast<std::int64_t>(x));
}

// The range of a column's numbers.
class NumberRange {
 public:
  void add(double x) {
    low_ = std::min(low_, x);
    high_ = std::max(high_, x);
    if (whole_) whole_ = is_whole(x);
  }
  // One that a double may not hold.
  void add_wide(long double x) {
    wide_low_ = std::min(wide_low_, x);
    wide_high_ = std::max(wide_high_, x);
  }
  long double low() const { return std::min<long double>(low_, wide_low_); }
  long double high() const { return std::max<long double>(high_, wide_high_); }
  bool whole() const { return whole_; }  // no number has decimals

 private:
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
  long double wide_low_ = std::numeric_limits<long double>::infinity(), wide_high_ = -wide_low_;
  bool whole_ = true;
};

// Numbers spread evenly over those that were added, however many: those whose place, times the golden ratio, has a
// small fractional part. Every second or tenth would follow what repeats in a file.
class EvenSample {
 public:
  explicit EvenSample(std::size_t most = 512) : most_(most) {}
  void add(std::floating_point auto x) {
    constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;  // 2^64 / 1.618...
    const std::uint64_t part = golden * added_++;
    if (part <= limit_) keep(part, x);
  }
  std::vector<long double> different() const;  // in ascending order, each once

 private:
  struct Kept {
    std::uint64_t part;
    long double x;
  };
  void keep(std::uint64_t part, long double x);

  std::size_t most_;
  std::uint64_t added_ = 0, limit_ = std::numeric_limits<std::uint64_t>::max();  // limit: of the parts kept
  std::vector<Kept> kept_;
};

// What becomes of a column's numbers as floats.
struct FloatFit {
  // What is to be subtracted first: where floats would leave less than 16 bits for the range of the numbers but for
  // outliers, the lowest in it; else nothing.
  double offset = 0;
  bool outliers = false;                            // there are some, and an offset is subtracted nevertheless
  long double low = 0, high = 0, farthest = 0;      // then: the range of the others, the number farthest from it
  std::size_t different = 0, different_floats = 0;  // of a sample
};

FloatFit float_fit(const NumberRange& range, const EvenSample& sample);

}  // namespace espalier::table
