#include "espalier/datasets/picture.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#if ESPALIER_PNG
#include <png.h>
#endif

namespace espalier {
namespace {

using Path = std::filesystem::path;
constexpr std::string_view png_signature = "\x89PNG\r\n\x1a\n";

[[noreturn]] void fail(const Path& file, std::string_view expected, std::string_view found) {
  throw FileError(fmt::format("{}: expected {}, found {}", file.string(), expected, found));
}

void require_size(const Path& file, Index height, Index width, Index found_height, Index found_width) {
  if (height != found_height || width != found_width)
    fail(file, fmt::format("a picture of {} x {} pixels, as the model reads them", width, height),
         fmt::format("{} x {}", found_width, found_height));
}

// --- PGM and PPM -----------------------------------------------------------------------------------------------------

// The header: P5, width, height and greatest value, with white space and comments between them.
class Portable {
 public:
  Portable(const std::string& bytes, const Path& file) : bytes_(bytes), file_(file) {}

  Picture read(Index height, Index width) {
    const bool colours = bytes_[1] == '3' || bytes_[1] == '6', text = bytes_[1] == '2' || bytes_[1] == '3';
    at_ = 2;
    Picture picture{.channels = colours ? 3 : 1};
    constexpr std::uint32_t most_extent = 1u << 20, most_value = 65535;
    picture.width = number(most_extent);
    picture.height = number(most_extent);
    const std::uint32_t greatest = number(most_value);
    require_size(file_, height, width, picture.height, picture.width);
    if (greatest == 0) fail(file_, "a greatest value above 0", "0");
    const Index count = picture.channels * height * width, width_bytes = greatest > 255 ? 2 : 1;
    if (!text) ++at_;  // one white space
    // A number in text takes two bytes, with the space before it.
    if (static_cast<std::uint64_t>(count) * (text ? 2 : width_bytes) > bytes_.size() - std::min(at_, bytes_.size()))
      fail(file_, fmt::format("{} numbers", count), "the end of the file before that");
    picture.values.reserve(static_cast<std::size_t>(count));
    for (Index i = 0; i < count; ++i) {
      const std::uint32_t value = text ? number(greatest) : binary(width_bytes);
      if (value > greatest)
        fail(file_, fmt::format("numbers up to {} (byte {})", greatest, at_), fmt::format("{}", value));
      picture.values.push_back(static_cast<Real>(value) / static_cast<Real>(greatest));
    }
    return picture;
  }

 private:
  std::uint32_t binary(Index width_bytes) {
    std::uint32_t value = 0;
    for (Index i = 0; i < width_bytes; ++i) value = value << 8 | static_cast<unsigned char>(bytes_[at_++]);
    return value;
  }
  std::uint32_t number(std::uint32_t most) {
    while (at_ < bytes_.size() && (std::isspace(static_cast<unsigned char>(bytes_[at_])) || bytes_[at_] == '#'))
      if (bytes_[at_++] == '#') at_ = std::min(bytes_.find('\n', at_), bytes_.size());
    std::uint32_t value = 0;
    const char* const end = bytes_.data() + bytes_.size();
    const auto [stop, error] = std::from_chars(bytes_.data() + at_, end, value);
    if (error != std::errc() || value > most)
      fail(file_, fmt::format("a number up to {} (byte {})", most, at_),
           at_ < bytes_.size() ? in_quotes(bytes_.substr(at_, 10)) : "the end of the file");
    at_ = static_cast<std::size_t>(stop - bytes_.data());
    return value;
  }

  const std::string& bytes_;
  const Path& file_;
  std::size_t at_ = 0;
};

// --- PNG -------------------------------------------------------------------------------------------------------------

#if ESPALIER_PNG
Picture png_in(const std::string& bytes, const Path& file, Index height, Index width) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const auto check = [&](int success) {
    if (success) return;
    const std::string message = image.message;
    png_image_free(&image);
    fail(file, "a PNG", message);
  };
  check(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  if (image.height != height || image.width != width) {
    const auto found_height = static_cast<Index>(image.height), found_width = static_cast<Index>(image.width);
    png_image_free(&image);
    require_size(file, height, width, found_height, found_width);
  }
  image.format = PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> pixels(PNG_IMAGE_SIZE(image));
  check(png_image_finish_read(&image, /*background=*/nullptr, pixels.data(), /*row_stride=*/0, /*colormap=*/nullptr));
  Picture picture{.channels = 3, .height = height, .width = width};
  picture.values.reserve(pixels.size() / 4 * 3);
  for (std::size_t i = 0; i < pixels.size(); i += 4) {
    if (pixels[i + 3] != 255) fail(file, "a picture without transparent pixels", "some that are");
    for (std::size_t c = 0; c < 3; ++c) picture.values.push_back(static_cast<Real>(pixels[i + c]) / Real{255});
  }
  return picture;
}
#else
Picture png_in(const std::string&, const Path& file, Index, Index) {
  fail(file, "PGM, PPM, IDX, CIFAR or .npy, for this program was built without libpng", "a PNG");
}
#endif

}  // namespace

bool reads_png() {
#if ESPALIER_PNG
  return true;
#else
  return false;
#endif
}

bool begins_picture(const std::string& bytes) {
  return bytes.starts_with(png_signature) ||
         (bytes.size() >= 3 && bytes[0] == 'P' && std::string_view("2356").find(bytes[1]) != std::string_view::npos &&
          (std::isspace(static_cast<unsigned char>(bytes[2])) || bytes[2] == '#'));
}

Picture picture_in(const std::string& bytes, const Path& file, Index height, Index width) {
  return bytes.starts_with(png_signature) ? png_in(bytes, file, height, width)
                                          : Portable(bytes, file).read(height, width);
}

Picture with_channels(Picture picture, Index channels, const Path& file) {
  if (channels == picture.channels) return picture;
  if (channels != 1 && channels != 3)
    fail(file, fmt::format("samples of {} channels", channels), fmt::format("a picture of {}", picture.channels));
  std::vector<Real> values;
  const std::size_t step = static_cast<std::size_t>(picture.channels);
  values.reserve(picture.values.size() / step * static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < picture.values.size(); i += step) {
    if (channels == 1 && (picture.values[i] != picture.values[i + 1] || picture.values[i] != picture.values[i + 2]))
      fail(file, "a gray picture, as the model reads them", "one in colours");
    values.insert(values.end(), static_cast<std::size_t>(channels), picture.values[i]);
  }
  picture.channels = channels;
  picture.values = std::move(values);
  return picture;
}

}  // namespace espalier
