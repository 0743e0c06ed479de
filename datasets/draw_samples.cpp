#include "espalier/datasets/draw_samples.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/nearly_normal.h"
#include "espalier/core/threads.h"

namespace espalier {

float roughly_normal(std::uint64_t bits) {
  constexpr float scale = 1 / 37837.0f;  // the deviation rounded: the bytes of drawn samples are made with this one
  return static_cast<float>(sum_of_four_uniforms(bits)) * scale;
}

DataParts draw_samples(const Drawing& d, Index train_samples, Index test_samples, std::uint64_t seed, int threads,
                       const char* caveat) {
  std::string purpose = d.name;
  std::ranges::replace(purpose, ' ', '-');
  require(train_samples > 0 && test_samples > 0, "[{}] expected at least 1 sample each, got {} and {}", purpose,
          train_samples, test_samples);
  const auto part = [&](std::uint64_t number, const char* name, Index samples) {
    const auto bytes = static_cast<std::size_t>(d.shape.features());
    std::vector<std::uint8_t> all(static_cast<std::size_t>(samples) * bytes);
    std::vector<std::int32_t> labels(samples);
    parallel_for(samples, threads, [&](Index i) {
      const auto sample = static_cast<std::size_t>(i);
      labels[sample] = d.draw(Random(seed, purpose, number, sample), std::span(all).subspan(sample * bytes, bytes));
    });
    return std::make_shared<const ByteSamples>(fmt::format("{} {}", d.name, name), d.shape, d.classes, std::move(all),
                                               std::move(labels));
  };
  return {.name = purpose,
          .train = part(0, "train", train_samples),
          .test = part(1, "test", test_samples),
          .provenance = fmt::format("{} drawn by a program (seed {}): {}", d.name, seed, caveat)};
}

}  // namespace espalier
