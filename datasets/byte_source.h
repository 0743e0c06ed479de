// Where the bytes of a table come from: a file, gzipped or not (its content says), or a string.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace espalier {

// Why bytes could not be had, or are no text: "expected ..., found ...". The reader of the file adds its name and line.
struct Unreadable {
  std::string what;
  std::size_t before = 0;  // bytes that were written to the caller's buffer before it came to this
};

class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path);  // throws FileError
  explicit ByteSource(std::string text) : text_(std::move(text)) {}
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // A gzipped file is read up to so many bytes of its contents: a short one can have any number of them.
  static constexpr std::uint64_t most_inflated_bytes = std::uint64_t{1} << 34;

  // Fills `to` as far as the contents go: less than all of it means that they are at their end. Throws Unreadable.
  std::size_t read(std::span<char> to);

 private:
  std::size_t read_file(std::span<char> to);

  void* file_ = nullptr;  // zlib's gzFile
  std::string text_;
  std::size_t position_ = 0;
  std::uint64_t inflated_bytes_ = 0;
};

}  // namespace espalier
