#include "espalier/datasets/byte_source.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "espalier/core/error.h"

namespace espalier {

ByteSource::ByteSource(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    throw FileError(fmt::format("{}: expected a table, found no such file", path.string()));
  if (std::filesystem::is_directory(status))
    throw FileError(fmt::format("{}: expected a table, found a folder", path.string()));
  const gzFile file = gzopen(path.c_str(), "rb");  // reads what is not gzipped as it is
  if (!file) throw FileError(fmt::format("{}: the file exists but could not be opened", path.string()));
  gzbuffer(file, 1 << 16);
  file_ = file;
}

ByteSource::~ByteSource() {
  if (file_) gzclose_r(static_cast<gzFile>(file_));
}

std::size_t ByteSource::read(std::span<char> to) {
  if (file_) return read_file(to);
  const std::size_t bytes = text_.copy(to.data(), to.size(), position_);
  position_ += bytes;
  return bytes;
}

std::size_t ByteSource::read_file(std::span<char> to) {
  constexpr std::size_t most_at_once = std::size_t{1} << 30;
  const auto file = static_cast<gzFile>(file_);
  std::size_t got = 0;
  while (got < to.size()) {
    const auto wanted = static_cast<unsigned>(std::min(to.size() - got, most_at_once));
    const int bytes = gzread(file, to.data() + got, wanted);
    if (bytes > 0) {
      got += static_cast<std::size_t>(bytes);
      inflated_bytes_ += gzdirect(file) ? 0 : static_cast<std::uint64_t>(bytes);
      if (inflated_bytes_ > most_inflated_bytes)
        throw Unreadable{fmt::format("expected a gzipped file of at most {} bytes when it is unpacked, found more",
                                     most_inflated_bytes)};
      continue;
    }
    int code = Z_OK;
    const char* const message = gzerror(file, &code);
    if (code == Z_BUF_ERROR) throw Unreadable{"expected more rows, found gzip data that end too early (truncated)"};
    if (bytes < 0)
      throw Unreadable{fmt::format(
          "expected more rows, found {}",
          code == Z_ERRNO ? std::string(std::strerror(errno)) : fmt::format("damaged gzip data ({})", message))};
    break;
  }
  return got;
}

}  // namespace espalier
