#include "espalier/datasets/augment.h"

#include <algorithm>
#include <cstring>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

// plane: [H, W].    plane[y, x] = plane[y + down, x + right] or, outside, 0
//
// In place: rows are visited so that each is read before it is overwritten.
void move(Real* plane, Index H, Index W, Index down, Index right) {
  const Index x_begin = std::max<Index>(0, -right), x_end = std::min(W, W - right);
  for (Index step = 0; step < H; ++step) {
    const Index y = down >= 0 ? step : H - 1 - step;
    Real* row = plane + y * W;
    if (y + down < 0 || y + down >= H) {
      std::fill_n(row, W, Real{0});
      continue;
    }
    const Real* from = plane + (y + down) * W + x_begin + right;
    std::memmove(row + x_begin, from, static_cast<std::size_t>(x_end - x_begin) * sizeof(Real));
    std::fill(row, row + x_begin, Real{0});
    std::fill(row + x_end, row + W, Real{0});
  }
}

}  // namespace

void require_augmentable(const Augmentation& how, const Shape& shape, const std::string& name) {
  require(how.pad >= 0, "[augment] {}: expected a pad of at least 0, got {}", name, how.pad);
  if (how.none()) return;
  require(shape.rank() == 3, "[augment] {}: expected images [channels, height, width], got samples of shape {}", name,
          shape.text());
  require(how.pad < std::min(shape[1], shape[2]),
          "[augment] {}: expected a pad below the {} x {} of the images, got {}", name, shape[1], shape[2], how.pad);
}

View view_of(const Augmentation& how, std::uint64_t seed, Index epoch, Index sample) {
  const Random random(seed, "augment", static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(sample));
  const auto places = static_cast<std::uint64_t>(2 * how.pad + 1);
  return {.down = static_cast<Index>(random.below(0, places)) - how.pad,
          .right = static_cast<Index>(random.below(1, places)) - how.pad,
          .mirrored = how.flip && random.below(2, 2) == 1};
}

void apply(const View& view, const Shape& shape, std::span<Real> image) {
  const Index C = shape[0], H = shape[1], W = shape[2];
  if (view.down != 0 || view.right != 0)
    for (Index c = 0; c < C; ++c) move(image.data() + c * H * W, H, W, view.down, view.right);
  if (view.mirrored)
    for (Index row = 0; row < C * H; ++row) std::reverse(image.data() + row * W, image.data() + (row + 1) * W);
}

}  // namespace espalier
