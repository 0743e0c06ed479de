#include "espalier/datasets/synthetic_images.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/datasets/draw_samples.h"

namespace espalier {
namespace {

constexpr int side = 32;
constexpr Index pixels = side * side, channels = 3, classes = 10;

struct Point {
  float x = 0, y = 0;
};

float length(Point p) {
  return std::sqrt(p.x * p.x + p.y * p.y);
}

// --- outlines ----------------------------------------------------------------------------------------------------
//
// Signed distances, negative inside, of figures about one unit in radius around the origin. Near an outline they are
// good to a few percent, which is what coverage needs; far away they are good enough to have the right sign.

float disc(Point p) {
  return length(p) - 1;
}

float ring(Point p) {
  return std::abs(length(p) - 0.8f) - 0.25f;
}

float box(Point p, float half_width, float half_height) {
  return std::max(std::abs(p.x) - half_width, std::abs(p.y) - half_height);
}

float square(Point p) {
  return box(p, 0.85f, 0.85f);
}

float triangle(Point p) {
  constexpr float inner_radius = 0.6f, half_root_3 = 0.8660254f;
  return std::max(half_root_3 * std::abs(p.x) - 0.5f * p.y, p.y) - inner_radius;
}

// Five points: folded at its axes of symmetry until one straight edge is left.
float star(Point p) {
  constexpr float outer_radius = 1.25f, inner_radius = 0.5f;
  constexpr float cosine = 0.809016994f, sine = 0.587785252f;  // of 36 degrees
  p.x = std::abs(p.x);
  for (const float mirror : {1.0f, -1.0f}) {
    const float beyond = 2 * std::max(mirror * cosine * p.x - sine * p.y, 0.0f);
    p.x -= mirror * cosine * beyond;
    p.y += sine * beyond;
  }
  p.x = std::abs(p.x);
  // The edge from the tip (0, outer) to the notch.
  const Point notch{inner_radius * sine, inner_radius * cosine}, edge{notch.x, notch.y - outer_radius};
  const float across = edge.x * (p.y - outer_radius) - edge.y * p.x;
  return across / length(edge);
}

float cross(Point p) {
  return std::min(box(p, 1.1f, 0.36f), box(p, 0.36f, 1.1f));
}

float crescent(Point p) {
  return std::max(length(p) - 1.1f, 0.85f - length({p.x - 0.55f, p.y}));
}

using Outline = float (*)(Point);
constexpr std::array<Outline, 7> outlines{disc, ring, square, triangle, star, cross, crescent};

// --- textures ----------------------------------------------------------------------------------------------------
//
// How far a point is inside the first of two colours, in periods' 1 / 2π, positive inside. The period is 2π.

float stripes(Point p) {
  return std::sin(p.x);
}

float checkerboard(Point p) {
  return std::sin(p.x) * std::sin(p.y);
}

float dots(Point p) {
  return std::cos(p.x) + std::cos(p.y) - 0.55f;
}

using Texture = float (*)(Point);
constexpr std::array<Texture, 3> textures{stripes, checkerboard, dots};
static_assert(outlines.size() + textures.size() == classes);

// --- one image ---------------------------------------------------------------------------------------------------

using Colour = std::array<float, channels>;

// Draws its numbers from fixed places of the stream, so that a change of one quantity leaves the others alone.
class Draw {
 public:
  explicit Draw(const Random& random) : random_(random) {}
  float operator()(std::uint64_t n, double low, double high) const {
    return static_cast<float>(low + (high - low) * random_.uniform(n));
  }
  Colour colour(std::uint64_t n) const { return {(*this)(n, 0, 1), (*this)(n + 1, 0, 1), (*this)(n + 2, 0, 1)}; }
  // A colour that stands out from `other` in each channel, as often darker as lighter.
  Colour contrast(std::uint64_t n, const Colour& other) const {
    Colour result;
    for (std::size_t c = 0; c < channels; ++c) {
      const float step = (*this)(n + c, 0.35, 0.7), up = other[c] + step, down = other[c] - step;
      const bool rise = up > 1 ? false : down < 0 ? true : random_.below(n + channels + c, 2) == 1;
      result[c] = std::clamp(rise ? up : down, 0.0f, 1.0f);
    }
    return result;
  }

 private:
  const Random& random_;
};

float mix(float from, float to, float share) {
  return from + share * (to - from);
}

// Draws one image into planes[3 * 32 * 32] and returns its class.
std::int32_t draw_image(const Random& random, std::span<std::uint8_t> planes) {
  const auto label = static_cast<std::size_t>(random.below(0, classes));
  const bool textured = label >= outlines.size();
  const Outline outline = textured ? (random.below(1, 2) == 0 ? disc : square) : outlines[label];
  const Texture texture = textured ? textures[label - outlines.size()] : nullptr;

  const Draw uniform(random);
  const Colour ground = uniform.colour(10), other_ground = uniform.colour(13);
  const Colour figure = uniform.contrast(20, ground), second = uniform.contrast(30, figure);
  const float drift = uniform(40, 0, 0.25);  // how far the ground goes towards its other colour
  const float drift_angle = uniform(41, 0, 2 * std::numbers::pi), shade_angle = uniform(42, 0, 2 * std::numbers::pi);
  const float shade = uniform(43, 0, 0.15), noise = uniform(44, 0.02, 0.1);

  // To the figure's own units: turned, scaled, a little longer than wide. Textures need room for some periods.
  const float angle = uniform(50, -0.35, 0.35), radius = uniform(51, 9, textured ? 14 : 12);
  const float aspect = uniform(52, 0.85, 1.18), play = std::max(0.0f, 15.0f - radius);
  constexpr float middle = (side - 1) / 2.0f;
  const Point centre{middle + play * uniform(53, -1, 1), middle + play * uniform(54, -1, 1)};
  const float sine = std::sin(angle), cosine = std::cos(angle);
  const float frequency = 2 * std::numbers::pi_v<float> / uniform(55, 4.5, 8);  // radians per pixel
  const Point phase{uniform(56, 0, 2 * std::numbers::pi), uniform(57, 0, 2 * std::numbers::pi)};
  const Point drift_way{std::cos(drift_angle) / side, std::sin(drift_angle) / side};
  const Point shade_way{std::cos(shade_angle) / side, std::sin(shade_angle) / side};

  constexpr std::uint64_t first_noise = 64;
  for (std::size_t i = 0; i < pixels; ++i) {
    const Point p{static_cast<float>(i % side), static_cast<float>(i / side)};
    const Point from_centre{p.x - centre.x, p.y - centre.y};
    const Point turned{(cosine * from_centre.x + sine * from_centre.y) * aspect,
                       (cosine * from_centre.y - sine * from_centre.x) / aspect};
    // How much of the pixel is inside, were the edge straight.
    const float inside = std::clamp(0.5f - radius * outline({turned.x / radius, turned.y / radius}), 0.0f, 1.0f);
    const float first =
        textured
            ? std::clamp(0.5f + texture({frequency * turned.x + phase.x, frequency * turned.y + phase.y}) / frequency,
                         0.0f, 1.0f)
            : 1.0f;
    const float along_ground = 0.5f + drift_way.x * (p.x - middle) + drift_way.y * (p.y - middle);
    const float lightness = shade * (shade_way.x * (p.x - middle) + shade_way.y * (p.y - middle));
    const std::uint64_t bits = random.bits(first_noise + i);  // 21 of them for each channel
    for (std::size_t c = 0; c < channels; ++c) {
      const float back = mix(ground[c], other_ground[c], drift * along_ground);
      const float front = mix(second[c], figure[c], first);
      const float grain = static_cast<float>((bits >> (21 * c)) & 0x1fffff) * 0x1p-20f - 1;  // [-1, 1)
      const float value = mix(back, front, inside) + lightness + noise * grain;
      planes[c * pixels + i] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
    }
  }
  return static_cast<std::int32_t>(label);
}

}  // namespace

DataParts synthetic_images(Index train_samples, Index test_samples, std::uint64_t seed, int threads) {
  return draw_samples(
      {.name = "synthetic images", .shape = {channels, side, side}, .classes = classes, .draw = draw_image},
      train_samples, test_samples, seed, threads, "no photographs, not CIFAR");
}

}  // namespace espalier
