// libFuzzer's harness of gzipped files, of images and of tables: they are read, or end in a FileError of one line. The
// mutator changes what is compressed in one of two ways, so that most of its files still have the right checksum.
#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "espalier/datasets/byte_source.h"
#include "espalier/datasets/idx.h"
#include "tests/fuzz/expectations.h"
#include "tests/fuzz/memory_file.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t bytes, std::size_t most);

namespace espalier {
namespace {

constexpr int gzip_only = 15 + 16;
constexpr std::size_t most_inflated = 1 << 16;

// As far as it goes.
std::vector<std::uint8_t> inflated(const std::uint8_t* data, std::size_t bytes) {
  std::vector<std::uint8_t> contents(most_inflated);
  z_stream stream{};
  expect(inflateInit2(&stream, gzip_only) == Z_OK);
  stream.next_in = const_cast<std::uint8_t*>(data);
  stream.avail_in = static_cast<uInt>(bytes);
  stream.next_out = contents.data();
  stream.avail_out = static_cast<uInt>(contents.size());
  ::inflate(&stream, Z_FINISH);
  contents.resize(contents.size() - stream.avail_out);
  inflateEnd(&stream);
  return contents;
}

std::vector<std::uint8_t> deflated(std::vector<std::uint8_t> contents, int level) {
  z_stream stream{};
  constexpr int memory = 8;
  expect(deflateInit2(&stream, level, Z_DEFLATED, gzip_only, memory, Z_DEFAULT_STRATEGY) == Z_OK);
  std::vector<std::uint8_t> file(deflateBound(&stream, contents.size()));
  stream.next_in = contents.data();
  stream.avail_in = static_cast<uInt>(contents.size());
  stream.next_out = file.data();
  stream.avail_out = static_cast<uInt>(file.size());
  ::deflate(&stream, Z_FINISH);
  file.resize(file.size() - stream.avail_out);
  deflateEnd(&stream);
  return file;
}

void try_table(const MemoryFile& file) {
  ByteSource source(file.path());
  std::array<char, 4096> chunk{};
  try {
    while (source.read(chunk) == chunk.size()) continue;
  } catch (const Unreadable& reason) {
    expect(reason.what.find('\n') == std::string::npos);
  }
}

void try_images(const MemoryFile& file, int rank) {
  const Idx idx = read_idx(file.path(), rank);
  Index numbers = 1;
  for (const Index extent : idx.extents) numbers *= extent;
  expect(numbers == static_cast<Index>(idx.values.size()));
}

}  // namespace
}  // namespace espalier

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t bytes, std::size_t most, unsigned seed) {
  std::minstd_rand dice(seed);
  const auto level = static_cast<int>(dice() % 3);  // stored, or compressed
  if (dice() % 2 == 0) return LLVMFuzzerMutate(data, bytes, most);
  std::vector<std::uint8_t> contents = espalier::inflated(data, bytes);
  const std::size_t before = contents.size();
  contents.resize(before + 64);
  contents.resize(LLVMFuzzerMutate(contents.data(), before, contents.size()));
  const std::vector<std::uint8_t> file = espalier::deflated(std::move(contents), level);
  if (file.size() > most) return LLVMFuzzerMutate(data, bytes, most);
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  const espalier::MemoryFile file(data, bytes);
  try {
    espalier::try_table(file);
    espalier::try_images(file, bytes % 2 ? 1 : 3);
  } catch (const espalier::FileError& error) {
    espalier::expect_one_line(error);
  }
  return 0;
}
