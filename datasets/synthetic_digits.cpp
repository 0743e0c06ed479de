#include "espalier/datasets/synthetic_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/datasets/draw_samples.h"

namespace espalier {
namespace {

constexpr int side = 28;
constexpr Index pixels = side * side, classes = 10;

struct Point {
  float x = 0, y = 0;  // x to the right, y down
};

// A stroke is a smooth curve through its points (two points: a straight line), a digit some strokes in the box
// [-0.6, 0.6] x [-1, 1]. Corners are where two strokes meet.
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

// The ways people write each digit.
const std::array<std::vector<Glyph>, classes>& glyphs() {
  static const std::array<std::vector<Glyph>, classes> all = [] {
    std::array<std::vector<Glyph>, classes> g;
    const Stroke ring{{0, -1},       {-0.4f, -0.78f}, {-0.55f, -0.25f}, {-0.55f, 0.3f}, {-0.38f, 0.8f}, {0, 1},
                      {0.4f, 0.78f}, {0.55f, 0.25f},  {0.55f, -0.3f},   {0.38f, -0.8f}, {0, -1}};
    g[0] = {{ring}};
    const Stroke stem{{0, -1}, {0, 1}}, flag{{-0.4f, -0.55f}, {0, -1}}, foot{{-0.4f, 1}, {0.4f, 1}};
    g[1] = {{stem}, {stem, flag}, {stem, flag, foot}};
    const Stroke swan{{-0.52f, -0.55f}, {-0.32f, -0.9f}, {0.08f, -1},   {0.45f, -0.78f},
                      {0.48f, -0.35f},  {0.15f, 0.15f},  {-0.3f, 0.6f}, {-0.58f, 0.95f}};
    const Stroke loop{{-0.52f, -0.6f}, {-0.2f, -0.98f}, {0.3f, -0.9f},   {0.48f, -0.5f}, {0.2f, 0.15f}, {-0.25f, 0.8f},
                      {-0.5f, 0.95f},  {-0.5f, 0.7f},   {-0.15f, 0.72f}, {0.2f, 0.95f},  {0.6f, 0.85f}};
    g[2] = {{swan, {{-0.58f, 0.95f}, {0.58f, 0.95f}}}, {loop}};
    const Stroke upper{{-0.5f, -0.78f}, {-0.1f, -1},     {0.35f, -0.85f},
                       {0.42f, -0.5f},  {0.22f, -0.15f}, {-0.15f, -0.05f}};
    const Stroke lower{{-0.15f, -0.05f}, {0.32f, 0.08f}, {0.55f, 0.45f}, {0.38f, 0.85f}, {-0.08f, 1}, {-0.55f, 0.78f}};
    g[3] = {{upper, lower}};
    const Stroke bar{{-0.55f, 0.25f}, {0.6f, 0.25f}};
    g[4] = {{{{0.25f, -1}, {-0.55f, 0.25f}}, bar, {{0.25f, -1}, {0.25f, 1}}},
            {{{-0.4f, -0.95f}, {-0.5f, -0.3f}, {-0.55f, 0.2f}}, bar, {{0.35f, -0.7f}, {0.25f, 1}}}};
    const Stroke bowl{{-0.42f, -0.12f}, {0.05f, -0.28f}, {0.48f, 0},     {0.52f, 0.5f},
                      {0.2f, 0.92f},    {-0.2f, 0.98f},  {-0.55f, 0.75f}};
    g[5] = {{{{0.5f, -0.95f}, {-0.35f, -0.95f}}, {{-0.35f, -0.95f}, {-0.42f, -0.12f}}, bowl}};
    g[6] = {{{{0.38f, -0.95f},
              {-0.1f, -0.6f},
              {-0.45f, 0},
              {-0.5f, 0.5f},
              {-0.22f, 0.93f},
              {0.22f, 0.93f},
              {0.5f, 0.52f},
              {0.28f, 0.12f},
              {-0.12f, 0.1f},
              {-0.48f, 0.5f}}}};
    const Stroke roof{{-0.55f, -0.92f}, {0.55f, -0.92f}}, leg{{0.55f, -0.92f}, {0.12f, -0.05f}, {-0.12f, 1}};
    g[7] = {{roof, leg}, {roof, leg, {{-0.3f, 0.05f}, {0.45f, 0.05f}}}};
    g[8] = {{{{0, -1},
              {0.4f, -0.82f},
              {0.38f, -0.4f},
              {0, -0.05f},
              {-0.45f, 0.35f},
              {-0.45f, 0.8f},
              {0, 1},
              {0.45f, 0.8f},
              {0.45f, 0.35f},
              {0, -0.05f},
              {-0.38f, -0.4f},
              {-0.4f, -0.82f},
              {0, -1}}}};
    const Stroke head{{0.45f, -0.5f},   {0.28f, -0.92f},  {-0.12f, -1},  {-0.45f, -0.72f},
                      {-0.42f, -0.25f}, {-0.05f, -0.05f}, {0.3f, -0.2f}, {0.45f, -0.5f}};
    g[9] = {{head, {{0.45f, -0.5f}, {0.4f, 0.2f}, {0.22f, 1}}},
            {head, {{0.45f, -0.5f}, {0.47f, 0.35f}, {0.2f, 0.92f}, {-0.35f, 0.9f}}}};
    return g;
  }();
  return all;
}

// The curve between b and c on the way from a to d (Catmull-Rom), at t in [0, 1].
Point between(Point a, Point b, Point c, Point d, float t) {
  const auto blend = [t](float p, float q, float r, float s) {
    return q + 0.5f * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)));
  };
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)};
}

// One sample's way of writing: a map from the glyph's plane to pixels, and a pen. Draws its numbers from `random` at
// fixed places of the stream, so that a change of one quantity leaves the others alone.
class Hand {
 public:
  explicit Hand(const Random& random) {
    const auto uniform = [&](std::uint64_t n, double low, double high) {
      return static_cast<float>(low + (high - low) * random.uniform(n));
    };
    const float angle = uniform(10, -0.3, 0.3), shear = uniform(11, -0.35, 0.35);
    const float width = uniform(12, 6.5, 11), height = uniform(13, 7, 10);  // pixels per unit
    const float sine = std::sin(angle), cosine = std::cos(angle);
    xx_ = cosine * width, xy_ = (cosine * shear - sine) * height;
    yx_ = sine * width, yy_ = (sine * shear + cosine) * height;
    constexpr float middle = (side - 1) / 2.0f;
    shift_ = {middle + uniform(14, -2.5, 2.5), middle + uniform(15, -2, 2)};
    pen_radius = uniform(16, 0.6, 1.7);
    ink = uniform(17, 0.7, 1);
    noise = uniform(18, 0.02, 0.12);
    for (std::size_t k = 0; k < waves_.size(); ++k) {
      const std::uint64_t n = 20 + 5 * k;
      const float direction = uniform(n, 0, 2 * std::numbers::pi), frequency = uniform(n + 1, 1, 3.5);
      const float push = uniform(n + 2, 0, 2 * std::numbers::pi), amount = uniform(n + 3, 0.03, 0.11);
      waves_[k] = {.along = {frequency * std::cos(direction), frequency * std::sin(direction)},
                   .push = {amount * std::cos(push), amount * std::sin(push)},
                   .phase = uniform(n + 4, 0, 2 * std::numbers::pi)};
    }
  }

  // From the glyph's plane to pixels, pixel centres at whole numbers.
  Point place(Point p) const {
    Point bent = p;
    for (const Wave& wave : waves_) {
      const float swing = std::sin(wave.along.x * p.x + wave.along.y * p.y + wave.phase);
      bent.x += wave.push.x * swing;
      bent.y += wave.push.y * swing;
    }
    return {xx_ * bent.x + xy_ * bent.y + shift_.x, yx_ * bent.x + yy_ * bent.y + shift_.y};
  }

  float pen_radius, ink, noise;  // pixels; darkness of a covered pixel, at most 1; deviation of the noise

 private:
  struct Wave {
    Point along, push;
    float phase = 0;
  };
  std::array<Wave, 4> waves_;
  float xx_, xy_, yx_, yy_;
  Point shift_;
};

// Squared distance of every pixel to the nearest stroke, as far as a pen of the given reach touches it.
class Canvas {
 public:
  Canvas() { nearest_.fill(far); }

  void line(Point a, Point b, float reach) {
    const auto low = [&](float u, float v) { return std::max(0, static_cast<int>(std::ceil(std::min(u, v) - reach))); };
    const auto high = [&](float u, float v) {
      return std::min(side - 1, static_cast<int>(std::floor(std::max(u, v) + reach)));
    };
    const float dx = b.x - a.x, dy = b.y - a.y, inverse = 1 / std::max(dx * dx + dy * dy, 1e-6f);
    for (int y = low(a.y, b.y); y <= high(a.y, b.y); ++y)
      for (int x = low(a.x, b.x); x <= high(a.x, b.x); ++x) {
        const float px = static_cast<float>(x) - a.x, py = static_cast<float>(y) - a.y;
        const float t = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
        const float rx = px - t * dx, ry = py - t * dy;
        float& nearest = nearest_[y * side + x];
        nearest = std::min(nearest, rx * rx + ry * ry);
      }
  }

  float distance(std::size_t pixel) const { return std::sqrt(nearest_[pixel]); }

 private:
  static constexpr float far = 1e6f;
  std::array<float, pixels> nearest_;
};

// Draws one digit into image[28 * 28] and returns its class.
std::int32_t draw(const Random& random, std::span<std::uint8_t> image) {
  const auto digit = static_cast<std::size_t>(random.below(0, classes));
  const std::vector<Glyph>& ways = glyphs()[digit];
  const Glyph& glyph = ways[random.below(1, ways.size())];
  const Hand hand(random);

  constexpr float half_pixel = 0.5f;
  constexpr int pieces = 4;  // straight lines per curve between two points: 1 to 3 pixels each
  const float reach = hand.pen_radius + half_pixel;
  Canvas canvas;
  for (const Stroke& stroke : glyph) {
    const std::size_t last = stroke.size() - 1;
    Point from = hand.place(stroke[0]);
    for (std::size_t k = 0; k < last; ++k)
      for (int piece = 1; piece <= pieces; ++piece) {
        const Point to = hand.place(between(stroke[k == 0 ? 0 : k - 1], stroke[k], stroke[k + 1],
                                            stroke[std::min(k + 2, last)], static_cast<float>(piece) / pieces));
        canvas.line(from, to, reach);
        from = to;
      }
  }

  constexpr std::uint64_t first_noise = 64;
  for (std::size_t i = 0; i < image.size(); ++i) {
    // How much of the pixel the pen covers, were its edge straight and square to the stroke.
    const float covered = std::clamp(reach - canvas.distance(i), 0.0f, 1.0f);
    const float value = hand.ink * covered + hand.noise * roughly_normal(random.bits(first_noise + i));
    image[i] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0f, 1.0f)));
  }
  return static_cast<std::int32_t>(digit);
}

}  // namespace

DataParts synthetic_digits(Index train_samples, Index test_samples, std::uint64_t seed, int threads) {
  return draw_samples({.name = "synthetic digits", .shape = {1, side, side}, .classes = classes, .draw = draw},
                      train_samples, test_samples, seed, threads, "not handwriting, not MNIST");
}

}  // namespace espalier
