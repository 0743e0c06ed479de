#include "espalier/core/deflate.h"

#include <zlib.h>

#include <array>
#include <limits>
#include <new>
#include <utility>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr std::size_t most_at_once = std::numeric_limits<uInt>::max();  // zlib counts in it

void give(z_stream& z, std::span<const std::byte> bytes) {
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // zlib only reads it
}
void offer(z_stream& z, std::span<std::byte> room) {
  z.avail_out = static_cast<uInt>(room.size());
  z.next_out = reinterpret_cast<Bytef*>(room.data());
}

std::vector<std::byte> deflated_by(std::span<const std::byte> bytes, int strategy) {
  constexpr int window_bits = 15, memory_level = 9;
  z_stream z{};
  if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, memory_level, strategy) != Z_OK)
    throw std::bad_alloc();
  std::vector<std::byte> stream(deflateBound(&z, static_cast<uLong>(bytes.size())));
  give(z, bytes);
  offer(z, stream);
  deflate(&z, Z_FINISH);  // there is room for all of it
  stream.resize(z.total_out);
  deflateEnd(&z);
  return stream;
}

}  // namespace

std::vector<std::byte> deflated(std::span<const std::byte> bytes) {
  require(bytes.size() < most_at_once / 2, "[deflated] expected less than 2 GB, got {} bytes", bytes.size());
  std::vector<std::byte> huffman = deflated_by(bytes, Z_HUFFMAN_ONLY), repeats = deflated_by(bytes, Z_DEFAULT_STRATEGY);
  return huffman.size() <= repeats.size() ? std::move(huffman) : std::move(repeats);
}

std::optional<std::vector<std::byte>> inflated(std::span<const std::byte> stream, std::size_t most) {
  if (stream.size() > most_at_once) return {};
  z_stream z{};
  if (inflateInit(&z) != Z_OK) throw std::bad_alloc();
  give(z, stream);
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 14> room;
  int said = Z_OK;
  while (said == Z_OK) {
    offer(z, room);
    said = inflate(&z, Z_NO_FLUSH);
    const std::size_t came = room.size() - z.avail_out;
    if (came > most - bytes.size()) said = Z_DATA_ERROR;
    if (said == Z_OK || said == Z_STREAM_END)
      bytes.insert(bytes.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(came));
  }
  const bool whole = said == Z_STREAM_END && z.avail_in == 0;
  inflateEnd(&z);
  if (!whole) return {};
  return bytes;
}

}  // namespace espalier
