// CRC-32 as zlib, gzip, ZIP and PNG have it: of "123456789" it is cbf43926.
#pragma once

#include <cstdint>
#include <string_view>

namespace espalier {

std::uint32_t crc32_of(std::string_view bytes);

}  // namespace espalier
