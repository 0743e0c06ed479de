#include "espalier/datasets/mnist.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/datasets/idx.h"

namespace espalier {
namespace {

// The names up to the rank, and the CRC-32 of the published files, uncompressed.
struct File {
  std::string_view stem;  // "train-images"
  int rank;
  std::uint32_t published_checksum;
};

struct Files {
  std::string_view part;
  File images, labels;
};

constexpr Files train_files{.part = "train",
                            .images = {.stem = "train-images", .rank = 3, .published_checksum = 0xe9f4d8b3},
                            .labels = {.stem = "train-labels", .rank = 1, .published_checksum = 0xe0cb4ad2}};
constexpr Files test_files{.part = "test",
                           .images = {.stem = "t10k-images", .rank = 3, .published_checksum = 0x91373bdf},
                           .labels = {.stem = "t10k-labels", .rank = 1, .published_checksum = 0x4ab9eff9}};
constexpr Index digits = 10;

std::string file_name(const File& file, char separator) {
  return fmt::format("{}{}idx{}-ubyte", file.stem, separator, file.rank);
}

// The first spelling that exists in the folder, or an empty path.
std::filesystem::path find(const std::filesystem::path& folder, const File& file) {
  for (const char separator : {'-', '.'})
    for (const char* compression : {"", ".gz"}) {
      std::filesystem::path path = folder / (file_name(file, separator) + compression);
      std::error_code ignored;
      if (std::filesystem::exists(path, ignored)) return path;
    }
  return {};
}

std::filesystem::path find_or_throw(const std::filesystem::path& folder, const File& file) {
  std::filesystem::path path = find(folder, file);
  if (path.empty())
    throw FileError(fmt::format("{}: expected {} (also with .gz, or as {}), found no such file", folder.string(),
                                file_name(file, '-'), file_name(file, '.')));
  return path;
}

struct Part {
  std::shared_ptr<const ByteSamples> data;
  std::filesystem::path images_path;
  std::string changed;  // the names of the files that are not the published ones
};

Part read_part(const std::filesystem::path& folder, const Files& files) {
  const std::filesystem::path images_path = find_or_throw(folder, files.images);
  const std::filesystem::path labels_path = find_or_throw(folder, files.labels);
  const Idx labels = read_idx(labels_path, files.labels.rank);
  Idx images = read_idx(images_path, files.images.rank);
  if (images.extents[0] != labels.extents[0])
    throw FileError(fmt::format("{}: expected as many images as labels, found {} images, but {} labels in {}",
                                images_path.string(), images.extents[0], labels.extents[0], labels_path.string()));
  const auto wrong = std::ranges::find_if(labels.values, [](std::uint8_t label) { return label >= digits; });
  if (wrong != labels.values.end())
    throw FileError(fmt::format("{}: label {} (byte {}): expected 0 to 9, found {}", labels_path.string(),
                                wrong - labels.values.begin(), 8 + (wrong - labels.values.begin()), *wrong));

  Part part{.data = nullptr, .images_path = images_path, .changed = {}};
  const auto compare = [&](const Idx& idx, const File& file, const std::filesystem::path& path) {
    if (checksum(idx) == file.published_checksum) return;
    part.changed += (part.changed.empty() ? "" : ", ") + path.filename().string();
  };
  compare(images, files.images, images_path);
  compare(labels, files.labels, labels_path);
  const Shape shape{1, images.extents[1], images.extents[2]};
  part.data =
      std::make_shared<const ByteSamples>(fmt::format("mnist {}", files.part), shape, digits, std::move(images.values),
                                          std::vector<std::int32_t>(labels.values.begin(), labels.values.end()));
  return part;
}

}  // namespace

DataParts mnist(const std::filesystem::path& folder) {
  const Part train = read_part(folder, train_files), test = read_part(folder, test_files);
  const Shape train_shape = train.data->shape(), test_shape = test.data->shape();
  if (train_shape != test_shape)
    throw FileError(fmt::format("{}: byte 8: expected images of {} x {} pixels as in {}, found {} x {}",
                                test.images_path.string(), train_shape[1], train_shape[2], train.images_path.string(),
                                test_shape[1], test_shape[2]));
  std::string changed = train.changed;
  if (!changed.empty() && !test.changed.empty()) changed += ", ";
  changed += test.changed;
  return {.name = "mnist",
          .train = train.data,
          .test = test.data,
          .provenance =
              changed.empty()
                  ? "MNIST (checksums match the published files)"
                  : fmt::format("MNIST-shaped files that are not the published MNIST (checksum differs: {})", changed)};
}

bool holds_mnist(const std::filesystem::path& folder) {
  constexpr std::array files{train_files.images, train_files.labels, test_files.images, test_files.labels};
  return std::ranges::any_of(files, [&](const File& file) { return !find(folder, file).empty(); });
}

}  // namespace espalier
