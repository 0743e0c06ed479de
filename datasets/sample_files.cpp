#include "espalier/datasets/sample_files.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/datasets/idx.h"
#include "espalier/datasets/npy.h"
#include "espalier/datasets/picture.h"

namespace espalier {
namespace {

using Path = std::filesystem::path;
constexpr std::uintmax_t most_bytes = std::uintmax_t{1} << 30;
constexpr Index most_pixels = Index{1} << 21;  // of a picture, whose numbers are floats

// Samples in memory.
class Numbers final : public Dataset {
 public:
  // values: [samples, features], labels: [samples]
  Numbers(const Path& file, const Shape& shape, Index classes, std::vector<Real> values,
          std::vector<std::int32_t> labels)
      : name_(file.filename().string()),
        shape_(shape),
        classes_(classes),
        values_(std::move(values)),
        labels_(std::move(labels)) {}
  std::string name() const override { return name_; }
  Index samples() const override { return static_cast<Index>(labels_.size()); }
  Shape shape() const override { return shape_; }
  Index classes() const override { return classes_; }
  void read(Index i, std::span<Real> features) const override {
    std::ranges::copy(std::span(values_).subspan(i * features.size(), features.size()), features.begin());
  }
  std::int32_t label(Index i) const override { return labels_[i]; }

 private:
  std::string name_;
  Shape shape_;
  Index classes_;
  std::vector<Real> values_;
  std::vector<std::int32_t> labels_;
};

[[noreturn]] void refuse_file(const Path& file, const std::string& expected, const std::string& found) {
  throw FileError(fmt::format("{}: expected {}, found {}", file.string(), expected, found));
}

std::string beginning_of(const Path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) refuse_file(file, "samples", "no such file");
  if (!std::filesystem::is_regular_file(file, error)) refuse_file(file, "samples in a regular file", "something else");
  std::string bytes(8, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(stream.gcount()));
  return bytes;
}

// numbers: of so many features
std::vector<std::int32_t> no_labels(const Path& file, std::size_t numbers, const Shape& shape) {
  const std::size_t samples = numbers / static_cast<std::size_t>(shape.features());
  if (samples == 0) refuse_file(file, "samples", "none");
  return std::vector<std::int32_t>(samples);
}

SampleFile unlabelled(const Path& file, const Shape& shape, Index classes, std::vector<Real> values) {
  std::vector<std::int32_t> labels = no_labels(file, values.size(), shape);
  return {.data = std::make_shared<Numbers>(file, shape, classes, std::move(values), std::move(labels)),
          .labelled = false};
}
SampleFile unlabelled(const Path& file, const Shape& shape, Index classes, std::vector<std::uint8_t> bytes) {
  std::vector<std::int32_t> labels = no_labels(file, bytes.size(), shape);
  return {.data = std::make_shared<ByteSamples>(file.filename().string(), shape, classes, std::move(bytes),
                                                std::move(labels)),
          .labelled = false};
}

// --- one kind of file after the other ------------------------------------------------------------------------------

SampleFile from_idx(const Path& file, const SampleRules& rules, Index classes) {
  Idx idx = read_idx(file, 3);
  if (rules.turned) turn(idx);
  const Shape found{1, idx.extents[1], idx.extents[2]};
  if (found != rules.shape) refuse_file(file, fmt::format("images {}", rules.shape.text()), found.text());
  return unlabelled(file, rules.shape, classes, std::move(idx.values));
}

SampleFile from_npy(const Path& file, const SampleRules& rules, Index classes) {
  Npy npy = npy_in(read_file(file, most_bytes), file);
  std::vector<Index> sample;
  for (int axis = 0; axis < rules.shape.rank(); ++axis) sample.push_back(rules.shape[axis]);
  const auto is = [&](std::size_t skip_found, std::size_t skip_wanted) {
    return npy.shape.size() >= skip_found &&
           std::equal(npy.shape.begin() + static_cast<std::ptrdiff_t>(skip_found), npy.shape.end(),
                      sample.begin() + static_cast<std::ptrdiff_t>(skip_wanted), sample.end());
  };
  const bool flat = npy.shape.size() == 2 && npy.shape[1] == rules.shape.features();
  if (!flat && !is(1, 0) && !is(0, 0) && !(sample[0] == 1 && (is(1, 1) || is(0, 1))))
    refuse_file(file, fmt::format("an array of samples {}", rules.shape.text()),
                fmt::format("one of shape ({})", fmt::join(npy.shape, ", ")));
  return npy.bytes.empty() ? unlabelled(file, rules.shape, classes, std::move(npy.values))
                           : unlabelled(file, rules.shape, classes, std::move(npy.bytes));
}

SampleFile from_picture(const Path& file, const SampleRules& rules, Index classes) {
  if (rules.shape.rank() != 3) refuse_file(file, fmt::format("samples {}", rules.shape.text()), "a picture");
  const Index channels = rules.shape[0], height = rules.shape[1], width = rules.shape[2];
  if (height > most_pixels / width)
    refuse_file(file, fmt::format("pictures of at most {} pixels", most_pixels),
                fmt::format("a model of {} x {}", width, height));
  const Picture picture = with_channels(picture_in(read_file(file, most_bytes), file, height, width), channels, file);
  std::vector<Real> values;
  values.reserve(picture.values.size());
  for (Index c = 0; c < channels; ++c)
    for (Index pixel = 0; pixel < height * width; ++pixel) values.push_back(picture.values[pixel * channels + c]);
  return unlabelled(file, rules.shape, classes, std::move(values));
}

SampleFile from_cifar(const Path& file, const SampleRules& rules, Index classes) {
  const std::string bytes = read_file(file, most_bytes);
  constexpr std::size_t pixels = 3 * 32 * 32;
  constexpr Index classes_of_cifar100 = 100;
  const std::size_t label_bytes = classes == classes_of_cifar100 ? 2 : 1, record = label_bytes + pixels;
  if (bytes.empty() || bytes.size() % record != 0 || rules.shape != Shape{3, 32, 32})
    refuse_file(
        file,
        fmt::format("samples {} in an IDX file, PGM, PPM, PNG, .npy or CIFAR's binary records", rules.shape.text()),
        fmt::format("{} bytes of none of these", bytes.size()));
  std::vector<std::uint8_t> values;
  std::vector<std::int32_t> labels;
  for (std::size_t at = 0; at < bytes.size(); at += record) {
    const auto label = static_cast<std::uint8_t>(bytes[at + label_bytes - 1]);
    if (label >= classes)
      refuse_file(file, fmt::format("labels below {} (byte {})", classes, at + label_bytes - 1),
                  fmt::format("{}", label));
    labels.push_back(label);
    values.insert(values.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at + label_bytes),
                  bytes.begin() + static_cast<std::ptrdiff_t>(at + record));
  }
  return {.data = std::make_shared<ByteSamples>(file.filename().string(), rules.shape, classes, std::move(values),
                                                std::move(labels)),
          .labelled = true};
}

}  // namespace

SampleFile read_samples(const Path& file, const SampleRules& rules, Index classes) {
  const std::string beginning = beginning_of(file);
  if (begins_npy(beginning)) return from_npy(file, rules, classes);
  if (begins_picture(beginning)) return from_picture(file, rules, classes);
  constexpr std::array idx_beginnings{std::string_view("\0\0\x08", 3), std::string_view("\x1f\x8b", 2)};
  const bool idx = std::ranges::any_of(idx_beginnings, [&](auto with) { return beginning.starts_with(with); });
  // A first CIFAR record may begin with a zero label and black pixels: then its length tells.
  return idx && rules.shape.rank() == 3 && rules.shape[0] == 1 ? from_idx(file, rules, classes)
                                                               : from_cifar(file, rules, classes);
}

}  // namespace espalier
