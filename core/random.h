// Randomness is an argument, and it is counter-based: the n-th number of a stream is a pure function of
// (seed, purpose, step, sample, n). It does not depend on what was drawn before, so results do not depend on
// the order in which threads happen to run.
//
// The function is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014):
// a Weyl sequence through a 64-bit finaliser.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <string_view>
#include <utility>

namespace espalier {

class Random {
 public:
  // purpose: a word such as "shuffle" or "dropout/fc1"; streams of different purpose are independent.
  Random(std::uint64_t seed, std::string_view purpose, std::uint64_t step = 0, std::uint64_t sample = 0)
      : key_(mix(mix(mix(seed ^ hash(purpose)) + step) + sample)) {}

  // The n-th number of the stream: stateless.
  std::uint64_t bits(std::uint64_t n) const { return mix(key_ + (n + 1) * golden); }
  // In [0, 1), 53 random bits.
  double uniform(std::uint64_t n) const { return static_cast<double>(bits(n) >> 11) * 0x1.0p-53; }
  // Standard normal (Box-Muller).
  double normal(std::uint64_t n) const {
    const double u = 1.0 - uniform(2 * n), angle = 2 * std::numbers::pi * uniform(2 * n + 1);
    return std::sqrt(-2 * std::log(u)) * std::cos(angle);
  }
  // In [0, bound): the high half of a 128-bit product; the bias is below bound / 2^64.
  std::uint64_t below(std::uint64_t n, std::uint64_t bound) const {
    return static_cast<std::uint64_t>((static_cast<Wide>(bits(n)) * bound) >> 64);
  }

  // Fisher-Yates.
  template <typename T>
  void shuffle(std::span<T> items) const {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i, i)]);
  }

  static constexpr std::uint64_t hash(std::string_view word) {  // FNV-1a
    std::uint64_t h = 14695981039346656037ull;
    for (const char c : word) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    return h;
  }
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr std::uint64_t golden = 0x9e3779b97f4a7c15ull;
  std::uint64_t key_;
};

}  // namespace espalier
