#include "espalier/datasets/cifar.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr std::size_t pixel_bytes = 3 * 32 * 32;
constexpr std::uintmax_t largest_file_bytes = 1'000'000'000;
constexpr std::uint32_t unknown = 0;  // in place of a checksum

struct File {
  std::string_view name;
  std::uint32_t published_checksum;  // CRC-32
};

// A byte before the pixels.
struct Label {
  std::string_view name;
  int classes;
};

struct Format {
  std::string_view name, subfolder;
  std::span<const File> train, test;
  std::span<const Label> labels;  // the last one is what is learnt
  std::size_t record_bytes() const { return labels.size() + pixel_bytes; }
};

constexpr std::array cifar10_train{File{"data_batch_1.bin", 0xb3220c1f}, File{"data_batch_2.bin", 0xc439a348},
                                   File{"data_batch_3.bin", 0x8c6f54f0}, File{"data_batch_4.bin", 0x6a83637e},
                                   File{"data_batch_5.bin", 0x2f355afd}};
constexpr std::array cifar10_test{File{"test_batch.bin", 0x19777d49}};
constexpr std::array cifar10_labels{Label{"label", 10}};
constexpr Format cifar10_format{.name = "cifar10",
                                .subfolder = "cifar-10-batches-bin",
                                .train = cifar10_train,
                                .test = cifar10_test,
                                .labels = cifar10_labels};

constexpr std::array cifar100_train{File{"train.bin", unknown}};
constexpr std::array cifar100_test{File{"test.bin", unknown}};
constexpr std::array cifar100_labels{Label{"coarse label", 20}, Label{"fine label", 100}};
constexpr Format cifar100_format{.name = "cifar100",
                                 .subfolder = "cifar-100-binary",
                                 .train = cifar100_train,
                                 .test = cifar100_test,
                                 .labels = cifar100_labels};

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool holds_any(const std::filesystem::path& folder, const Format& format) {
  const auto held = [&](const File& file) { return is_there(folder / file.name); };
  return std::ranges::any_of(format.train, held) || std::ranges::any_of(format.test, held);
}

// Where the files are: the folder itself, else the subfolder, else (nothing found) the folder again.
std::filesystem::path home_of(const std::filesystem::path& folder, const Format& format) {
  if (!holds_any(folder, format) && holds_any(folder / format.subfolder, format)) return folder / format.subfolder;
  return folder;
}

void require_all(const std::filesystem::path& folder, const Format& format) {
  std::string missing;
  for (const std::span<const File> files : {format.train, format.test})
    for (const File& file : files)
      if (!is_there(folder / file.name)) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", file.name);
  if (!missing.empty())
    throw FileError(fmt::format("{}: expected {}{} and {}, found no {}", folder.string(), format.train.front().name,
                                format.train.size() > 1 ? fmt::format(" to {}", format.train.back().name) : "",
                                format.test.front().name, missing));
}

// How many records a file holds, by its length. Throws FileError unless that is a whole number, and a believable one.
std::size_t records_of(const std::filesystem::path& path, const Format& format) {
  const auto fail = [&](const std::string& found) {
    throw FileError(
        fmt::format("{}: expected records of {} bytes, found {}", path.string(), format.record_bytes(), found));
  };
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) fail("a folder or device");
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) fail("a file whose size cannot be read");
  if (bytes == 0) fail("an empty file");
  if (bytes > largest_file_bytes) fail(fmt::format("{} bytes, more than {}", bytes, largest_file_bytes));
  const std::uintmax_t rest = bytes % format.record_bytes();
  if (rest != 0)
    throw FileError(
        fmt::format("{}: byte {}: expected records of {} bytes, found the end of the file {} bytes into record {}",
                    path.string(), bytes, format.record_bytes(), rest, bytes / format.record_bytes()));
  return static_cast<std::size_t>(bytes / format.record_bytes());
}

// Several files as one set.
struct Part {
  std::vector<std::uint8_t> pixels;  // [samples, 3, 32, 32]
  std::vector<std::int32_t> labels;  // [samples]
  std::string changed;               // the names of the files that are not the published ones
};

// Appends the records of a file; returns the CRC-32 of its bytes.
std::uint32_t read_records(const std::filesystem::path& path, const Format& format, std::size_t records, Part& part) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(fmt::format("{}: the file exists but could not be opened", path.string()));
  uLong crc = crc32_z(0, nullptr, 0);
  std::vector<std::uint8_t> record(format.record_bytes());
  for (std::size_t r = 0; r < records; ++r) {
    const std::size_t begin = r * record.size();
    file.read(reinterpret_cast<char*>(record.data()), static_cast<std::streamsize>(record.size()));
    const auto got = static_cast<std::size_t>(file.gcount());
    if (got < record.size())
      throw FileError(fmt::format("{}: byte {}: expected record {} of {}, found the end of the file", path.string(),
                                  begin + got, r, records));
    for (std::size_t byte = 0; byte < format.labels.size(); ++byte) {
      const Label& label = format.labels[byte];
      if (record[byte] >= label.classes)
        throw FileError(fmt::format("{}: byte {} ({} of record {}): expected 0 to {}, found {}", path.string(),
                                    begin + byte, label.name, r, label.classes - 1, record[byte]));
    }
    part.labels.push_back(record[format.labels.size() - 1]);
    part.pixels.insert(part.pixels.end(), record.end() - static_cast<std::ptrdiff_t>(pixel_bytes), record.end());
    crc = crc32_z(crc, record.data(), record.size());
  }
  return static_cast<std::uint32_t>(crc);
}

using Counts = std::vector<std::size_t>;

Counts count_records(const std::filesystem::path& folder, std::span<const File> files, const Format& format) {
  Counts counts;
  for (const File& file : files) counts.push_back(records_of(folder / file.name, format));
  return counts;
}

Part read_part(const std::filesystem::path& folder, std::span<const File> files, const Counts& counts,
               const Format& format) {
  std::size_t samples = 0;
  for (const std::size_t count : counts) samples += count;
  Part part;
  part.pixels.reserve(samples * pixel_bytes);
  part.labels.reserve(samples);
  for (std::size_t f = 0; f < files.size(); ++f) {
    const std::uint32_t crc = read_records(folder / files[f].name, format, counts[f], part);
    if (crc != files[f].published_checksum)
      part.changed += fmt::format("{}{}", part.changed.empty() ? "" : ", ", files[f].name);
  }
  return part;
}

DatasetPtr set_of(Part part, const char* name, const Format& format) {
  return std::make_shared<const ByteSamples>(fmt::format("{} {}", format.name, name), Shape{3, 32, 32},
                                             format.labels.back().classes, std::move(part.pixels),
                                             std::move(part.labels));
}

struct Read {
  DatasetPtr train, test;
  std::string changed;
};

Read read(const std::filesystem::path& looked_for, const Format& format) {
  const std::filesystem::path folder = home_of(looked_for, format);
  require_all(folder, format);
  // All lengths before any memory.
  const Counts train_counts = count_records(folder, format.train, format);
  const Counts test_counts = count_records(folder, format.test, format);
  Part train = read_part(folder, format.train, train_counts, format);
  Part test = read_part(folder, format.test, test_counts, format);
  std::string changed = train.changed;
  if (!changed.empty() && !test.changed.empty()) changed += ", ";
  changed += test.changed;
  return {.train = set_of(std::move(train), "train", format),
          .test = set_of(std::move(test), "test", format),
          .changed = changed};
}

}  // namespace

DataParts cifar10(const std::filesystem::path& folder) {
  const Read data = read(folder, cifar10_format);
  return {.name = "cifar10",
          .train = data.train,
          .test = data.test,
          .provenance = data.changed.empty()
                            ? "CIFAR-10 (checksums match the published files)"
                            : fmt::format("CIFAR-10-shaped files that are not the published CIFAR-10 (checksum "
                                          "differs: {})",
                                          data.changed),
          .class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
}

DataParts cifar100(const std::filesystem::path& folder) {
  const Read data = read(folder, cifar100_format);
  return {
      .name = "cifar100", .train = data.train, .test = data.test, .provenance = "CIFAR-100-shaped files, not verified"};
}

bool holds_cifar10(const std::filesystem::path& folder) {
  return holds_any(home_of(folder, cifar10_format), cifar10_format);
}

bool holds_cifar100(const std::filesystem::path& folder) {
  return holds_any(home_of(folder, cifar100_format), cifar100_format);
}

}  // namespace espalier
