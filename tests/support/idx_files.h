// Makes IDX contents, right and wrong, for the tests of their readers.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <vector>

#include "espalier/core/real.h"

namespace espalier::testing {

using Bytes = std::vector<std::uint8_t>;

// 00 00 08 rank, extents, and nothing else.
inline Bytes idx_header(std::initializer_list<Index> extents) {
  Bytes header{0, 0, 8, static_cast<std::uint8_t>(extents.size())};
  for (const Index extent : extents)
    for (const int shift : {24, 16, 8, 0}) header.push_back(static_cast<std::uint8_t>(extent >> shift));
  return header;
}

// A header and `values` after it.
inline Bytes idx_bytes(std::initializer_list<Index> extents, const Bytes& values) {
  Bytes bytes = idx_header(extents);
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

// `count` bytes first, first + 1, ... modulo `period`.
inline Bytes counting(std::size_t count, std::size_t period = 256, std::size_t first = 0) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>((first + i) % period);
  return bytes;
}

inline Bytes gzip(const Bytes& contents) {
  z_stream stream{};
  constexpr int gzip_format = 15 + 16, default_memory = 8;
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_format, default_memory, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("deflateInit2");
  Bytes result(deflateBound(&stream, contents.size()));
  stream.next_in = const_cast<Bytef*>(contents.data());
  stream.avail_in = static_cast<uInt>(contents.size());
  stream.next_out = result.data();
  stream.avail_out = static_cast<uInt>(result.size());
  const int ended = deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  if (ended != Z_STREAM_END) throw std::runtime_error("deflate");
  return result;
}

inline Bytes first_bytes(Bytes bytes, std::size_t count) {
  bytes.resize(count);
  return bytes;
}

}  // namespace espalier::testing
