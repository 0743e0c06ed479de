// Activations: dense, batch innermost, in tiles.
//
//   sample shape [784]        tensor [784, lanes]           row i  = feature i of `lanes` samples side by side
//   sample shape [C, H, W]    tensor [C, H, W, lanes]       row (c,y,x), optionally inside a zero border (halo)
//   sample shape [T, F]       tensor [T, F, lanes]          a sequence, time in front: step t is rows tF to tF + F - 1
//
// Invariants (tests/core/tensor_test.cpp names them by number):
//   1. A row starts on a 64-byte boundary, unless lanes == 1, where rows are adjacent numbers.
//   2. lanes is 1 or a multiple of `lane_quantum`; 0 <= valid <= lanes. Lanes valid.. are padding: they hold
//      anything at all, NaN included, and no result may depend on them.
//   3. A halo is zero, and stays zero: no code writes there.
//   4. Buffers come from a pool and go back to it when the last tensor that uses them is gone: a training
//      step that has run once allocates nothing when it runs again.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/aligned.h"
#include "espalier/core/real.h"

namespace espalier {

// 16 floats are one AVX-512 vector and one cache line.
inline constexpr Index lane_quantum = 16;

// The shape of one sample, up to four extents. The batch is not part of it.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Index> extents);
  explicit Shape(std::span<const Index> extents);
  int rank() const { return rank_; }
  Index operator[](int axis) const { return extent_[axis]; }
  Index features() const;    // product of the extents
  std::string text() const;  // "[1, 28, 28]"
  bool operator==(const Shape&) const = default;

 private:
  std::array<Index, 4> extent_{};
  int rank_ = 0;
};

// A zero border around every [H, W] plane, in pixels, for padded convolutions.
struct Halo {
  Index height = 0, width = 0;
  bool operator==(const Halo&) const = default;
  bool none() const { return height == 0 && width == 0; }
};

// How many lanes a tile has and how many of them hold samples.
struct Lanes {
  Index count = 0, valid = 0;
  Index stride() const { return count; }  // distance between rows, in Reals
  bool operator==(const Lanes&) const = default;
};

// Throws UsageError unless count is 1 or a multiple of lane_quantum and 0 <= valid <= count.
void require_lanes(const Lanes& lanes);

using Buffer = AlignedVector<Real>;

class Tensor {
 public:
  Tensor() = default;
  Tensor(Shape shape, Lanes lanes, Halo halo = {});                             // own buffer, zeroed
  Tensor(Shape shape, Lanes lanes, Halo halo, std::shared_ptr<Buffer> buffer);  // halo zeroed, inside as found

  explicit operator bool() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  Index features() const { return features_; }
  Index lanes() const { return lanes_.count; }
  Index valid() const { return lanes_.valid; }
  const Lanes& lane_counts() const { return lanes_; }
  Index stride() const { return lanes_.stride(); }
  const Halo& halo() const { return halo_; }
  long holders() const { return buffer_.use_count(); }  // of the buffer, its pool included

  // Row of feature i (for images i = (c*H + y)*W + x), `lanes` long.
  Real* row(Index i) { return data_ + offset(i); }
  const Real* row(Index i) const { return data_ + offset(i); }
  // How many rows lie side by side: one line of an image inside a halo, everything without.
  Index line() const { return halo_.none() ? features_ : shape_[2]; }
  // All rows in one piece; only without a halo.
  Real* data();
  const Real* data() const;

  // Says how many lanes hold samples from now on: the same buffer serves a full tile and a ragged one. Other tensors
  // over this buffer keep their own count.
  void set_valid(Index valid);

  // The same numbers under another shape, for free. Requires equal features and no halo.
  Tensor reshaped(Shape shape) const;

  // Rows first .. first + shape.features() - 1 under a shape of their own, for free: one step of a sequence, or a few.
  // Requires no halo.
  Tensor slice(Index first, Shape shape) const;

  void fill(Real value);  // every lane of every row; the halo is left alone

  // Calls body(Real* begin, Index count) for each longest contiguous run of interior numbers (whole rows, padding
  // lanes included): one run without a halo, one per image line with.
  template <typename Body>
  void for_each_run(Body&& body) const {
    if (halo_.none()) {
      body(data_, features_ * stride());
    } else {
      for (Index i = 0; i < features_; i += line()) body(data_ + offset(i), line() * stride());
    }
  }

  static std::size_t buffer_length(const Shape& shape, const Lanes& lanes, const Halo& halo);

 private:
  Index offset(Index i) const {
    if (halo_.none()) return i * stride();
    const Index W = shape_[2], H = shape_[1], x = i % W, y = (i / W) % H, c = i / (W * H);
    return ((c * (H + 2 * halo_.height) + y + halo_.height) * (W + 2 * halo_.width) + x + halo_.width) * stride();
  }
  Shape shape_;
  Index features_ = 0;
  Lanes lanes_;
  Halo halo_;
  std::shared_ptr<Buffer> buffer_;
  Real* data_ = nullptr;
};

// Bytes in a buffer of numbers: what a tape keeps besides numbers (which pixel won), recycled like all its buffers.
class Bytes {
 public:
  Bytes() = default;  // none
  explicit Bytes(Tensor storage) : storage_(std::move(storage)) {}
  static Index numbers_for(Index bytes) {
    constexpr Index each = sizeof(Real);
    return (bytes + each - 1) / each;
  }
  explicit operator bool() const { return static_cast<bool>(storage_); }
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(storage_.data()); }
  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(storage_.data()); }

 private:
  Tensor storage_;
};

// Hands out buffers and finds them again when no tensor holds them any more. One pool per tape, one thread at a time.
class BufferPool {
 public:
  // poison: fill every buffer with NaN before handing it out (tests).
  explicit BufferPool(bool poison = false) : poison_(poison) {}
  Tensor tensor(Shape shape, Lanes lanes, Halo halo = {});
  std::size_t bytes() const;

 private:
  std::vector<std::shared_ptr<Buffer>> buffers_;
  bool poison_;
};

}  // namespace espalier
