// libFuzzer's harness of single files of samples: IDX, .npy, PGM, PPM, PNG. What is read has finite numbers, anything
// else ends in a FileError of one line. The first byte says of what shape samples are to be. The checksums in a PNG are
// put right, for no change at random would ever meet them.
#include "espalier/datasets/sample_files.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/checksum.h"
#include "tests/fuzz/expectations.h"
#include "tests/fuzz/memory_file.h"

namespace espalier {
namespace {

std::uint32_t big_endian(std::string_view four) {
  std::uint32_t number = 0;
  for (const char byte : four.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

// A chunk is its length, a name of four bytes, so many bytes, and the checksum of name and bytes.
void seal_png(std::string& file) {
  constexpr std::size_t signature_bytes = 8, frame_bytes = 12;
  if (!file.starts_with("\x89PNG")) return;
  for (std::size_t at = signature_bytes; at + frame_bytes <= file.size();) {
    const std::size_t length = big_endian(std::string_view(file).substr(at));
    if (length > file.size() - at - frame_bytes) return;
    const std::uint32_t crc = crc32_of(std::string_view(file).substr(at + 4, length + 4));
    at += 8 + length;
    for (const int shift : {24, 16, 8, 0}) file[at++] = static_cast<char>(crc >> shift);
  }
}

void try_file(const std::string& contents, std::uint8_t byte) {
  const std::array<Shape, 6> shapes{Shape{1, 2, 3}, Shape{3, 2, 2}, Shape{1, 1, 1},
                                    Shape{4, 2},    Shape{5},       Shape{3, 32, 32}};
  const SampleRules rules{.shape = shapes[byte % shapes.size()], .turned = byte >= 128};
  constexpr Index classes = 10;
  const MemoryFile file(contents.data(), contents.size());
  try {
    const SampleFile read = read_samples(file.path(), rules, classes);
    expect(read.data->samples() > 0 && read.data->shape() == rules.shape);
    std::vector<Real> features(static_cast<std::size_t>(rules.shape.features()));
    for (Index i = 0; i < read.data->samples(); ++i) {
      read.data->read(i, features);
      expect_finite(features);
      expect(read.data->label(i) < classes);
    }
  } catch (const FileError& error) {
    expect_one_line(error);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  std::string contents(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  espalier::seal_png(contents);
  espalier::try_file(contents, data[0]);
  return 0;
}
