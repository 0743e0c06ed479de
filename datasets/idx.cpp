#include "espalier/datasets/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>

#include "espalier/core/error.h"

namespace espalier {
namespace {

using Bytes = std::span<std::uint8_t>;

constexpr std::uint8_t type_unsigned_byte = 0x08;
constexpr std::size_t chunk_bytes = std::size_t{1} << 16, first_growth_bytes = std::size_t{1} << 20;
constexpr std::size_t most_data_bytes = std::size_t{1} << 31;

// What a header says.
struct Promise {
  std::size_t header_bytes = 0, data_bytes = 0;
  std::string text;  // "60000 x 28 x 28"
};

// The bytes of a file from its beginning, inflated on the way if it is gzipped.
class Source {
 public:
  explicit Source(const std::filesystem::path& path) : path_(path) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Fills `to` as far as the contents go; returns how many bytes that were.
  virtual std::size_t read(Bytes to) = 0;
  // Fails unless a file of this size could hold the header and the data it promises.
  virtual void expect(const Promise& promise) const = 0;
  virtual bool gzipped() const = 0;

  const std::filesystem::path& path() const { return path_; }
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(fmt::format("{}: {}", path_.string(), what));
  }
  [[noreturn]] void fail_truncated(const Promise& promise, std::uint64_t data_bytes) const {
    fail(fmt::format("byte {}: expected {} bytes of data ({}), found the end of the file after {}",
                     promise.header_bytes + data_bytes, promise.data_bytes, promise.text, data_bytes));
  }

 private:
  std::filesystem::path path_;
};

class PlainSource final : public Source {
 public:
  PlainSource(const std::filesystem::path& path, std::ifstream file, std::uint64_t file_bytes)
      : Source(path), file_(std::move(file)), file_bytes_(file_bytes) {}

  std::size_t read(Bytes to) override {
    file_.read(reinterpret_cast<char*>(to.data()), static_cast<std::streamsize>(to.size()));
    const auto got = static_cast<std::size_t>(file_.gcount());
    if (file_.bad()) fail(fmt::format("byte {}: the file could not be read on", position_ + got));
    position_ += got;
    return got;
  }
  void expect(const Promise& promise) const override {
    const std::uint64_t data_bytes = file_bytes_ - promise.header_bytes;  // the header has been read
    if (data_bytes < promise.data_bytes) fail_truncated(promise, data_bytes);
  }
  bool gzipped() const override { return false; }

 private:
  std::ifstream file_;
  std::uint64_t file_bytes_, position_ = 0;
};

class GzipSource final : public Source {
 public:
  GzipSource(const std::filesystem::path& path, std::ifstream file, std::uint64_t file_bytes)
      : Source(path), file_(std::move(file)), file_bytes_(file_bytes) {
    constexpr int gzip_only = 15 + 16;
    if (inflateInit2(&stream_, gzip_only) != Z_OK) throw std::bad_alloc();
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  std::size_t read(Bytes to) override {
    std::size_t got = 0;
    while (got < to.size() && !ended_) {
      if (stream_.avail_in == 0) refill();
      const std::size_t room = std::min(to.size() - got, std::size_t{std::numeric_limits<uInt>::max()});
      stream_.next_out = to.data() + got;
      stream_.avail_out = static_cast<uInt>(room);
      const int result = inflate(&stream_, Z_NO_FLUSH);
      got += room - stream_.avail_out;
      if (result == Z_STREAM_END) {
        next_member();
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        fail(fmt::format("compressed byte {}: expected gzip data, found damage ({})", position(),
                         stream_.msg != nullptr ? stream_.msg : "no details"));
      }
    }
    return got;
  }

  void expect(const Promise& promise) const override {
    constexpr std::uint64_t best_ratio = 1032;  // deflate codes at most 258 bytes in 2 bits
    if (promise.data_bytes / best_ratio > file_bytes_)
      fail(
          fmt::format("byte 4: expected extents that fit the file, found {} = {} bytes, more than {} compressed bytes "
                      "can hold",
                      promise.text, promise.data_bytes, file_bytes_));
  }
  bool gzipped() const override { return true; }

 private:
  std::uint64_t position() const { return taken_ - stream_.avail_in; }

  bool take() {  // false at the end of the file
    file_.read(reinterpret_cast<char*>(input_.data()), static_cast<std::streamsize>(input_.size()));
    if (file_.bad()) fail(fmt::format("compressed byte {}: the file could not be read on", taken_));
    stream_.next_in = input_.data();
    stream_.avail_in = static_cast<uInt>(file_.gcount());
    taken_ += stream_.avail_in;
    return stream_.avail_in > 0;
  }

  void refill() {
    if (!take())
      fail(fmt::format("compressed byte {}: expected more gzip data, found the end of the file (truncated)", taken_));
  }

  // A gzip file may consist of several members; anything else behind a member is an error.
  void next_member() {
    ended_ = stream_.avail_in == 0 && !take();
    if (ended_) return;
    if (*stream_.next_in != 0x1f)
      fail(fmt::format("compressed byte {}: expected the end of the file, found {} bytes after the gzip data",
                       position(), file_bytes_ - position()));
    inflateReset(&stream_);
  }

  std::ifstream file_;
  std::uint64_t file_bytes_, taken_ = 0;
  std::array<std::uint8_t, chunk_bytes> input_;
  z_stream stream_{};
  bool ended_ = false;
};

std::unique_ptr<Source> open_source(const std::filesystem::path& path, int expected_rank) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    throw FileError(
        fmt::format("{}: expected an IDX file with {} extents, found no such file", path.string(), expected_rank));
  if (!std::filesystem::is_regular_file(status))
    throw FileError(fmt::format("{}: expected an IDX file, found a folder or device", path.string()));
  const std::uintmax_t file_bytes = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) throw FileError(fmt::format("{}: the file exists but could not be opened", path.string()));
  if (file_bytes == 0)
    throw FileError(fmt::format("{}: byte 0: expected an IDX header, found an empty file", path.string()));

  std::array<char, 2> magic{};
  file.read(magic.data(), magic.size());
  const bool gzipped = file.gcount() == 2 && magic[0] == '\x1f' && magic[1] == '\x8b';
  file.clear();
  file.seekg(0);
  if (gzipped) return std::make_unique<GzipSource>(path, std::move(file), file_bytes);
  return std::make_unique<PlainSource>(path, std::move(file), file_bytes);
}

std::string hexadecimal(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", byte);
  return text;
}

std::vector<Index> read_extents(Source& source, int expected_rank) {
  const auto rank = static_cast<std::size_t>(expected_rank);
  std::vector<std::uint8_t> header(4 + 4 * rank);
  const std::size_t got = source.read(Bytes(header).first(4));
  // A wrong beginning is reported before a short one: "not IDX" explains more than "too short".
  if ((got > 0 && header[0] != 0) || (got > 1 && header[1] != 0)) {
    const bool misnamed = source.path().extension() == ".gz" && !source.gzipped();
    source.fail(fmt::format("byte 0: {}expected the IDX magic 00 00 08 {:02x}{}, found {}",
                            misnamed ? "not gzip and not IDX: " : "", rank, misnamed ? " or gzip's 1f 8b" : "",
                            hexadecimal(Bytes(header).first(got))));
  }
  const auto require_header = [&](std::size_t bytes) {
    if (bytes < header.size())
      source.fail(
          fmt::format("byte {}: expected an IDX header of {} bytes, found the end of the file", bytes, header.size()));
  };
  if (got < 4) require_header(got);
  if (header[2] != type_unsigned_byte)
    source.fail(fmt::format("byte 2: expected type 08 (unsigned byte), found {:02x}", header[2]));
  if (header[3] != rank) source.fail(fmt::format("byte 3: expected {} extents, found {}", rank, header[3]));
  require_header(4 + source.read(Bytes(header).subspan(4)));

  std::vector<Index> extents(rank);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    for (std::size_t byte = 4 + 4 * axis; byte < 8 + 4 * axis; ++byte)
      extents[axis] = extents[axis] << 8 | header[byte];
    if (extents[axis] == 0) source.fail(fmt::format("byte {}: expected a positive extent, found 0", 4 + 4 * axis));
  }
  return extents;
}

// Multiplies the extents, and believes the product only as far as the file could hold it.
Promise promise_of(const Source& source, const std::vector<Index>& extents) {
  Promise promise{.header_bytes = 4 + 4 * extents.size(), .data_bytes = 1, .text = {}};
  for (const Index extent : extents) promise.text += fmt::format("{}{}", promise.text.empty() ? "" : " x ", extent);
  for (const Index extent : extents) {
    const auto factor = static_cast<std::size_t>(extent);
    if (promise.data_bytes > std::numeric_limits<std::size_t>::max() / 2 / factor)
      source.fail(fmt::format("byte 4: expected extents that fit the file, found {}, which overflows", promise.text));
    promise.data_bytes *= factor;
  }
  source.expect(promise);
  if (promise.data_bytes > most_data_bytes)
    source.fail(fmt::format("byte 4: expected extents of at most {} bytes in all, found {} = {}", most_data_bytes,
                            promise.text, promise.data_bytes));
  return promise;
}

}  // namespace

Idx read_idx(const std::filesystem::path& path, int expected_rank) {
  require(expected_rank >= 1 && expected_rank <= 255, "[read_idx] {}: expected a rank from 1 to 255, got {}",
          path.string(), expected_rank);
  const std::unique_ptr<Source> source = open_source(path, expected_rank);
  Idx idx{.extents = read_extents(*source, expected_rank), .values = {}};
  const Promise promise = promise_of(*source, idx.extents);

  // Memory follows what really arrives, doubling: a small gzip file with a large promise costs nothing much.
  std::size_t got = 0;
  while (got < promise.data_bytes) {
    try {
      idx.values.resize(std::min(promise.data_bytes, std::max(2 * got, first_growth_bytes)));
    } catch (const std::bad_alloc&) {
      source->fail(fmt::format("byte 4: expected extents of data that fit into memory, found {} = {} bytes",
                               promise.text, promise.data_bytes));
    }
    got += source->read(Bytes(idx.values).subspan(got));
    if (got < idx.values.size()) source->fail_truncated(promise, got);
  }
  std::array<std::uint8_t, 1> extra{};
  if (source->read(extra) > 0)
    source->fail(fmt::format("byte {}: expected the end of the file after {} bytes of data ({}), found more",
                             promise.header_bytes + promise.data_bytes, promise.data_bytes, promise.text));
  return idx;
}

void turn(Idx& idx) {
  const auto height = static_cast<std::size_t>(idx.extents[1]), width = static_cast<std::size_t>(idx.extents[2]);
  std::vector<std::uint8_t> turned(height * width);
  for (std::size_t begin = 0; begin < idx.values.size(); begin += turned.size()) {
    const auto image = std::span(idx.values).subspan(begin, turned.size());
    for (std::size_t y = 0; y < height; ++y)
      for (std::size_t x = 0; x < width; ++x) turned[x * height + y] = image[y * width + x];
    std::ranges::copy(turned, image.begin());
  }
  std::swap(idx.extents[1], idx.extents[2]);
}

std::uint32_t checksum(const Idx& idx) {
  std::vector<std::uint8_t> header{0, 0, type_unsigned_byte, static_cast<std::uint8_t>(idx.extents.size())};
  for (const Index extent : idx.extents)
    for (const int shift : {24, 16, 8, 0}) header.push_back(static_cast<std::uint8_t>(extent >> shift));
  const uLong crc = crc32_z(crc32_z(0, nullptr, 0), header.data(), header.size());
  return static_cast<std::uint32_t>(crc32_z(crc, idx.values.data(), idx.values.size()));
}

}  // namespace espalier
