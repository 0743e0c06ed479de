#include "espalier/core/tensor.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "espalier/core/error.h"

namespace espalier {

Shape::Shape(std::initializer_list<Index> extents) : Shape(std::span(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const Index> extents) : rank_(static_cast<int>(extents.size())) {
  require(extents.size() <= extent_.size(), "[shape] expected at most {} extents, got {}", extent_.size(),
          extents.size());
  std::ranges::copy(extents, extent_.begin());
  for (const Index extent : extents) require(extent > 0, "[shape] expected positive extents, got {}", text());
}

Index Shape::features() const {
  Index product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= (*this)[axis];
  return product;
}

std::string Shape::text() const {
  return fmt::format("[{}]", fmt::join(extent_.begin(), extent_.begin() + rank_, ", "));
}

void require_lanes(const Lanes& lanes) {
  require(lanes.count == 1 || (lanes.count > 0 && lanes.count % lane_quantum == 0),
          "[lanes] expected 1 or a multiple of {}, got {}", lane_quantum, lanes.count);
  require(lanes.valid >= 0 && lanes.valid <= lanes.count, "[lanes] expected 0 to {} valid lanes, got {}", lanes.count,
          lanes.valid);
}

std::size_t Tensor::buffer_length(const Shape& shape, const Lanes& lanes, const Halo& halo) {
  require_lanes(lanes);
  require(halo.none() || (shape.rank() == 3 && halo.height >= 0 && halo.width >= 0),
          "[tensor] a halo expects an image [C, H, W] and is not negative, got {} and {} x {}", shape.text(),
          halo.height, halo.width);
  Index rows = shape.features();
  if (!halo.none()) rows = shape[0] * (shape[1] + 2 * halo.height) * (shape[2] + 2 * halo.width);
  // One lane: convolutions read whole vectors of neighbouring pixels, the last of them past the end.
  const Index slack = lanes.count == 1 && shape.rank() == 3 ? lane_quantum : 0;
  return static_cast<std::size_t>(rows * lanes.stride() + slack);
}

Tensor::Tensor(Shape shape, Lanes lanes, Halo halo)
    : Tensor(shape, lanes, halo, std::make_shared<Buffer>(buffer_length(shape, lanes, halo))) {}

Tensor::Tensor(Shape shape, Lanes lanes, Halo halo, std::shared_ptr<Buffer> buffer)
    : shape_(shape), features_(shape.features()), lanes_(lanes), halo_(halo), buffer_(std::move(buffer)) {
  const std::size_t length = buffer_length(shape, lanes, halo);  // checks them, too
  assert(buffer_->size() >= length);
  data_ = buffer_->data();
  if (halo_.none()) return;
  // Zero everything that is not an interior line: what precedes the first, lies between two, follows the last.
  Real* from = data_;
  for_each_run([&](Real* begin, Index count) {
    std::fill(from, begin, Real{0});
    from = begin + count;
  });
  std::fill(from, data_ + length, Real{0});
}

Real* Tensor::data() {
  assert(halo_.none());
  return data_;
}

const Real* Tensor::data() const {
  assert(halo_.none());
  return data_;
}

void Tensor::set_valid(Index valid) {
  require_lanes({.count = lanes_.count, .valid = valid});
  lanes_.valid = valid;
}

Tensor Tensor::reshaped(Shape shape) const {
  require(shape.features() == features_, "[reshape] expected {} features, got {} = {}", features_, shape.text(),
          shape.features());
  require(halo_.none() || shape == shape_, "[reshape] a tensor with a halo keeps its shape {}, got {}", shape_.text(),
          shape.text());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::slice(Index first, Shape shape) const {
  require(halo_.none() && first >= 0 && first + shape.features() <= features_,
          "[slice] expected rows of a tensor of {} rows without a halo, got {} from row {} on", features_, shape.text(),
          first);
  Tensor view = *this;
  view.shape_ = shape;
  view.features_ = shape.features();
  view.data_ += first * stride();
  return view;
}

void Tensor::fill(Real value) {
  for_each_run([&](Real* begin, Index count) { std::fill_n(begin, count, value); });
}

Tensor BufferPool::tensor(Shape shape, Lanes lanes, Halo halo) {
  const std::size_t length = Tensor::buffer_length(shape, lanes, halo);
  const auto idle = std::ranges::find_if(
      buffers_, [&](const auto& buffer) { return buffer->size() == length && buffer.use_count() == 1; });
  const std::shared_ptr<Buffer>& buffer =
      idle != buffers_.end() ? *idle : buffers_.emplace_back(std::make_shared<Buffer>(length));
  if (poison_) std::ranges::fill(*buffer, std::numeric_limits<Real>::quiet_NaN());
  return Tensor(shape, lanes, halo, buffer);
}

std::size_t BufferPool::bytes() const {
  std::size_t total = 0;
  for (const auto& buffer : buffers_) total += buffer->size() * sizeof(Real);
  return total;
}

}  // namespace espalier
