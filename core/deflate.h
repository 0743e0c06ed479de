// zlib's streams (RFC 1950): bytes in fewer bytes, by Huffman's code alone or with repetitions as well.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace espalier {

// In whichever of the two ways gives fewer bytes; equal bytes give equal streams. Throws UsageError for 2 GB or more.
std::vector<std::byte> deflated(std::span<const std::byte> bytes);

// What a stream holds; none if it is broken, if anything follows it, or if it holds more than `most` bytes. Memory is
// taken for what comes out, not for what is claimed.
std::optional<std::vector<std::byte>> inflated(std::span<const std::byte> stream, std::size_t most);

}  // namespace espalier
