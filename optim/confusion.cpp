#include "espalier/optim/confusion.h"

#include <algorithm>

#include "espalier/core/error.h"

namespace espalier {

void Confusion::add(Pair pair, Index count) {
  for (const std::int32_t klass : {pair.first, pair.second})
    require(klass >= 0 && klass < classes_, "[confusion] expected classes below {}, got {}", classes_, klass);
  counts_[pair] += count;
}

Index Confusion::count(Pair pair) const {
  const auto found = counts_.find(pair);
  return found == counts_.end() ? 0 : found->second;
}

std::vector<ClassScore> Confusion::by_class() const {
  std::vector<ClassScore> scores(static_cast<std::size_t>(classes_));
  for (const auto& [pair, count] : counts_) {
    scores[static_cast<std::size_t>(pair.first)].rows += count;
    scores[static_cast<std::size_t>(pair.second)].answered += count;
    if (pair.first == pair.second) scores[static_cast<std::size_t>(pair.first)].right += count;
  }
  return scores;
}

std::vector<std::pair<Confusion::Pair, Index>> Confusion::mistakes() const {
  std::vector<std::pair<Pair, Index>> wrong;
  for (const auto& [pair, count] : counts_)
    if (pair.first != pair.second) wrong.emplace_back(pair, count);
  std::ranges::stable_sort(wrong, std::ranges::greater(), &std::pair<Pair, Index>::second);
  return wrong;
}

Confusion confusion_of(std::span<const Real> outputs, std::span<const std::int32_t> labels, Index classes) {
  const auto width = static_cast<std::size_t>(classes);
  require(classes >= 1 && outputs.size() == labels.size() * width,
          "[confusion] expected {} samples x {} classes, at least 1, got {} outputs", labels.size(), classes,
          outputs.size());
  Confusion confusion(classes);
  for (std::size_t i = 0; i < labels.size(); ++i)
    confusion.add({labels[i], static_cast<std::int32_t>(arg_max(outputs.subspan(i * width, width)))});
  return confusion;
}

Confusion confusion_of(std::span<const Real> outputs, const Dataset& data) {
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < data.samples(); ++i) labels.push_back(data.label(i));
  return confusion_of(outputs, labels, data.classes());
}

}  // namespace espalier
