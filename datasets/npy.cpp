#include "espalier/datasets/npy.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

constexpr std::string_view npy_signature = "\x93NUMPY";

[[noreturn]] void refuse(const std::filesystem::path& file, std::string_view expected, std::string_view found) {
  throw FileError(fmt::format("{}: expected {}, found {}", file.string(), expected, found));
}

// What follows 'key': in the header, without the spaces; empty if there is no such key.
std::string_view behind_key(std::string_view header, std::string_view key) {
  const std::size_t at = header.find(fmt::format("'{}':", key));
  if (at == header.npos) return {};
  header.remove_prefix(at + key.size() + 3);
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

std::vector<Index> shape_in(std::string_view header, const std::filesystem::path& file) {
  std::string_view text = behind_key(header, "shape");
  const auto fail = [&] { refuse(file, "a shape such as (100, 28, 28)", in_quotes(text.substr(0, 40))); };
  if (!text.starts_with('(') || text.find(')') == text.npos) fail();
  text = text.substr(1, text.find(')') - 1);
  std::vector<Index> shape;
  constexpr std::size_t most_extents = 32;  // numpy's
  for (std::size_t at = 0; (at = text.find_first_not_of(", ", at)) != text.npos;) {
    Index extent = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + text.size(), extent);
    if (error != std::errc() || extent < 0 || shape.size() == most_extents) fail();
    shape.push_back(extent);
    at = static_cast<std::size_t>(stop - text.data());
  }
  return shape;
}

template <typename Stored>
Real number_at(const char* from) {
  Stored stored;
  std::memcpy(&stored, from, sizeof stored);
  return static_cast<Real>(stored);
}

}  // namespace

bool begins_npy(const std::string& bytes) {
  return bytes.starts_with(npy_signature);
}

Npy npy_in(const std::string& bytes, const std::filesystem::path& file) {
  constexpr std::size_t before_length = 8;
  const std::size_t length_bytes = bytes.size() > 6 && bytes[6] == 1 ? 2 : 4;
  std::uint32_t length = 0;
  if (bytes.size() < before_length + length_bytes) refuse(file, "a header of .npy", "the end of the file");
  std::memcpy(&length, bytes.data() + before_length, length_bytes);
  const std::size_t begin = before_length + length_bytes + length;
  if (begin > bytes.size())
    refuse(file, fmt::format("a header of .npy of {} bytes", length), "the end of the file before that");
  const std::string_view header = std::string_view(bytes).substr(before_length + length_bytes, length);
  const std::string_view type = behind_key(header, "descr");
  const std::size_t width = type.starts_with("'|u1'") ? 1 : type.starts_with("'<f4'") ? 4 : 8;
  if (width == 8 && !type.starts_with("'<f8'"))
    refuse(file, "numbers of type |u1, <f4 or <f8", in_quotes(type.substr(0, type.find(','))));
  if (!behind_key(header, "fortran_order").starts_with("False")) refuse(file, "an array in C order", "another one");

  Npy npy{.shape = shape_in(header, file), .bytes = {}, .values = {}};
  std::size_t bytes_wanted = width;
  bool countable = true;
  for (const Index extent : npy.shape)
    countable = countable && !__builtin_mul_overflow(bytes_wanted, static_cast<std::size_t>(extent), &bytes_wanted);
  if (!countable || bytes_wanted != bytes.size() - begin)
    refuse(file, fmt::format("the bytes of an array ({})", fmt::join(npy.shape, ", ")),
           fmt::format("{} bytes behind the header", bytes.size() - begin));
  if (width == 1) {
    npy.bytes.assign(bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end());
    return npy;
  }
  npy.values.reserve(bytes_wanted / width);
  for (const char* at = bytes.data() + begin; at != bytes.data() + bytes.size(); at += width) {
    const Real value = width == 4 ? number_at<float>(at) : number_at<double>(at);
    if (!std::isfinite(value))
      refuse(file, "finite numbers", fmt::format("{} as number {}", value, npy.values.size() + 1));
    npy.values.push_back(value);
  }
  return npy;
}

}  // namespace espalier
