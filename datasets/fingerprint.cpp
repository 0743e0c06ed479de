#include "espalier/datasets/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/datasets/preprocessing.h"

namespace espalier {
namespace {

constexpr std::uint64_t beginning = Random::hash("fingerprint");

// Depends on the order of the words.
std::uint64_t joined(std::uint64_t so_far, std::uint64_t word) {
  return Random::mix(so_far ^ word) + beginning;
}

}  // namespace

std::uint64_t fingerprint(std::span<const Real> features) {
  std::uint64_t print = joined(beginning, features.size());
  const auto bytes = std::as_bytes(features);
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min(sizeof word, bytes.size() - at));
    print = joined(print, word);
  }
  return print;
}

std::uint64_t fingerprint(const Dataset& data) {
  constexpr Index most_numbers = Index{1} << 26;
  const Index samples = data.samples(), features = data.shape().features();
  std::uint64_t print = beginning;
  for (const Index extent : {samples, features, data.classes(), data.outputs()})
    print = joined(print, static_cast<std::uint64_t>(extent));
  std::vector<Real> sample(static_cast<std::size_t>(features)), target(static_cast<std::size_t>(data.outputs()));
  for (Index i = 0; i < samples; ++i) {
    if (data.classes() > 0) {
      print = joined(print, static_cast<std::uint64_t>(data.label(i)));
    } else {
      data.target(i, target);
      print = joined(print, fingerprint(target));
    }
  }
  const Index read = std::min(samples, std::max<Index>(1, most_numbers / std::max<Index>(features, 1)));
  for (Index n = 0; n < read; ++n) {
    data.read(n * samples / read, sample);
    print = joined(print, fingerprint(sample));
  }
  return print;
}

std::uint64_t fingerprint(const DataParts& parts) {
  std::uint64_t print = beginning;
  for (const DatasetPtr* part : {&parts.train, &parts.validation, &parts.test})
    print = joined(print, *part ? fingerprint(**part) : 0);
  // The same features of other rows, all of them moved by one: answers would be others.
  if (parts.preprocessing) print = joined(print, Random::hash(to_json(*parts.preprocessing)));
  return print;
}

}  // namespace espalier
