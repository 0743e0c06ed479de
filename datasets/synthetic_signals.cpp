#include "espalier/datasets/synthetic_signals.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "espalier/core/random.h"
#include "espalier/datasets/draw_samples.h"

namespace espalier {
namespace {

constexpr Index steps = 64, sensors = 3, classes = 8;
constexpr float turn = 2 * std::numbers::pi_v<float>;

// What is random about a source: where it begins, how fast it goes, and two numbers in [0, 1) of which each class makes
// what it needs.
struct Source {
  float phase, frequency;  // of a turn; turns in the whole time
  float first, second;
};

// How far through its period a wave is, in [0, 1).
float part_of_period(const Source& s, float t) {
  const float turns = s.phase + s.frequency * t;
  return turns - std::floor(turns);
}

float sine(const Source& s, float t) {
  return std::sin(turn * part_of_period(s, t));
}

float square(const Source& s, float t) {
  return part_of_period(s, t) < 0.5f ? 1.0f : -1.0f;
}

float sawtooth(const Source& s, float t) {
  return 2 * part_of_period(s, t) - 1;
}

// The frequency goes from 1/2 to 3/2 of itself, or back: its mean stays what it is.
float chirp(const Source& s, float t, float rise) {
  const float turns = s.phase + s.frequency * (t + rise * (t * t - t) / 2);
  return std::sin(turn * (turns - std::floor(turns)));
}
float rising(const Source& s, float t) {
  return chirp(s, t, 1);
}
float falling(const Source& s, float t) {
  return chirp(s, t, -1);
}

float modulated(const Source& s, float t) {
  const float swell = std::sin(turn * (s.first + (2 + 2 * s.second) * t));
  return sine(s, t) * (0.55f + 0.45f * swell);
}

float burst(const Source& s, float t) {
  const float from_middle = (t - (0.15f + 0.7f * s.first)) / 0.125f;
  return std::abs(from_middle) < 1 ? sine(s, t) * (1 - from_middle * from_middle * from_middle * from_middle) : 0.0f;
}

float pulses(const Source& s, float t) {
  const float from_middle = (part_of_period(s, t) - 0.5f) / (0.08f + 0.06f * s.second);
  return 1.6f * std::exp(-from_middle * from_middle) - 0.4f;
}

using Wave = float (*)(const Source&, float t);  // t in [0, 1)
constexpr std::array<Wave, classes> waves{sine, square, sawtooth, rising, falling, modulated, burst, pulses};

// Draws one signal into signal[64 * 3] and returns its class. Draws its numbers from fixed places of the stream, so
// that a change of one quantity leaves the others alone.
std::int32_t draw_signal(const Random& random, std::span<std::uint8_t> signal) {
  const auto label = static_cast<std::size_t>(random.below(0, classes));
  const auto uniform = [&](std::uint64_t n, double low, double high) {
    return static_cast<float>(low + (high - low) * random.uniform(n));
  };
  const Source source{
      .phase = uniform(1, 0, 1), .frequency = uniform(2, 3, 7), .first = uniform(3, 0, 1), .second = uniform(4, 0, 1)};
  const float noise = uniform(5, 0.05, 0.2);
  constexpr std::uint64_t first_noise = 64;
  for (Index sensor = 0; sensor < sensors; ++sensor) {
    const auto n = static_cast<std::uint64_t>(10 + 10 * sensor);
    const float gain = uniform(n, 0.5, 1) * (random.below(n + 1, 2) == 0 ? 1.0f : -1.0f),
                delay = uniform(n + 2, 0, 0.06);
    const float offset = uniform(n + 3, -0.3, 0.3), drift = uniform(n + 4, -0.4, 0.4);
    const float swing = uniform(n + 5, 0, 0.2), swing_phase = uniform(n + 6, 0, 1);
    for (Index step = 0; step < steps; ++step) {
      const float t = static_cast<float>(step) / steps;
      const auto at = static_cast<std::size_t>(step * sensors + sensor);
      const float value = gain * waves[label](source, t - delay) + offset + drift * (t - 0.5f) +
                          swing * std::sin(turn * (t + swing_phase)) +
                          noise * roughly_normal(random.bits(first_noise + at));
      constexpr float range = 2.5f;  // the converter's: what is beyond is clipped
      signal[at] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(0.5f + value / (2 * range), 0.0f, 1.0f)));
    }
  }
  return static_cast<std::int32_t>(label);
}

}  // namespace

DataParts synthetic_signals(Index train_samples, Index test_samples, std::uint64_t seed, int threads) {
  return draw_samples({.name = "synthetic signals", .shape = {steps, sensors}, .classes = classes, .draw = draw_signal},
                      train_samples, test_samples, seed, threads, "measured by nobody");
}

}  // namespace espalier
