#include "espalier/datasets/mnist.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/idx_set.h"

namespace espalier {
namespace {

// The CRC-32 of the published files, uncompressed.
struct Published {
  const char* part;
  std::uint32_t images, labels;
};
constexpr Published published_train{.part = "train", .images = 0xe9f4d8b3, .labels = 0xe0cb4ad2};
constexpr Published published_test{.part = "test", .images = 0x91373bdf, .labels = 0x4ab9eff9};
constexpr Index digits = 10;

// The files without a prefix: with one they are those of another set.
std::optional<IdxSet> find(const std::filesystem::path& folder) {
  for (IdxSet& set : idx_sets_below(folder))
    if (set.prefix.empty()) return std::move(set);
  return {};
}

// changed: the names of the files that are not the published ones, to which those of this part are added.
DatasetPtr set_of(IdxPart part, const Published& published, std::vector<std::string>& changed) {
  const std::vector<std::uint8_t>& labels = part.labels.values;
  const auto wrong = std::ranges::find_if(labels, [](std::uint8_t label) { return label >= digits; });
  if (wrong != labels.end())
    throw FileError(fmt::format("{}: label {} (byte {}): expected 0 to 9, found {}", part.files.labels.string(),
                                wrong - labels.begin(), 8 + (wrong - labels.begin()), *wrong));
  if (checksum(part.images) != published.images) changed.push_back(part.files.images.filename().string());
  if (checksum(part.labels) != published.labels) changed.push_back(part.files.labels.filename().string());
  const Shape shape{1, part.images.extents[1], part.images.extents[2]};
  return std::make_shared<const ByteSamples>(fmt::format("mnist {}", published.part), shape, digits,
                                             std::move(part.images.values),
                                             std::vector<std::int32_t>(labels.begin(), labels.end()));
}

}  // namespace

DataParts mnist(const std::filesystem::path& folder) {
  const std::optional<IdxSet> set = find(folder);
  IdxParts parts = read_idx_set(set ? *set : IdxSet{.folder = folder, .prefix = {}, .train = {}, .test = {}});
  std::vector<std::string> changed;
  DataParts result{.name = "mnist"};
  result.train = set_of(std::move(parts.train), published_train, changed);
  result.test = set_of(std::move(parts.test), published_test, changed);
  result.provenance = changed.empty()
                          ? "MNIST (checksums match the published files)"
                          : fmt::format("MNIST-shaped files that are not the published MNIST (checksum differs: {})",
                                        fmt::join(changed, ", "));
  return result;
}

bool holds_mnist(const std::filesystem::path& folder) {
  return find(folder).has_value();
}

}  // namespace espalier
