#include "espalier/datasets/text.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// Closes what gzopen opened.
struct Closer {
  void operator()(gzFile file) const { gzclose_r(file); }
};

[[noreturn]] void fail(const std::string& name, std::size_t byte, const std::string& what) {
  throw FileError(fmt::format("{}: byte {}: {}", name, byte, what));
}

// The contents of a file, inflated if it is gzipped.
std::string contents_of(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw FileError(name + ": expected a text, found no such file");
  if (std::filesystem::is_directory(status)) throw FileError(name + ": expected a text, found a folder");
  const std::unique_ptr<gzFile_s, Closer> file(gzopen(path.c_str(), "rb"));  // reads what is not gzipped as it is
  if (!file) throw FileError(name + ": the file exists but could not be opened");
  std::string text;
  constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
  while (true) {
    const std::size_t before = text.size();
    text.resize(before + chunk_bytes);
    const int bytes = gzread(file.get(), text.data() + before, chunk_bytes);
    text.resize(before + std::max(bytes, 0));
    int code = Z_OK;
    const char* const message = gzerror(file.get(), &code);
    if (code == Z_BUF_ERROR) fail(name, text.size(), "expected more gzip data, found the end of the file (truncated)");
    if (code == Z_ERRNO) fail(name, text.size(), fmt::format("could not be read ({})", std::strerror(errno)));
    if (bytes < 0) fail(name, text.size(), fmt::format("expected gzip data, found damage ({})", message));
    if (text.size() > most_text_bytes)
      fail(name, text.size(), fmt::format("expected at most {} bytes of text, found more", most_text_bytes));
    if (bytes == 0) return text;
  }
}

// Characters to tokens: their ranks among those that occur, by byte.
TextWindows::Text tokens_of(const std::string& name, std::string text) {
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos)
    fail(name, nul, "expected text, found a NUL byte");
  std::array<bool, 256> occurs{};
  for (const char c : text) occurs[static_cast<unsigned char>(c)] = true;
  std::array<char, 256> rank{};
  std::string alphabet;
  for (std::size_t byte = 0; byte < occurs.size(); ++byte) {
    if (!occurs[byte]) continue;
    rank[byte] = static_cast<char>(alphabet.size());
    alphabet += static_cast<char>(byte);
  }
  if (alphabet.size() < 2)
    fail(name, text.size(), fmt::format("expected at least two different characters, found {}", alphabet.size()));
  for (char& c : text) c = rank[static_cast<unsigned char>(c)];
  return {.name = name, .alphabet = std::move(alphabet), .tokens = std::move(text)};
}

// Samples whose windows, and the character behind each, fit into so many characters.
Index windows_in(Index characters, Index length, Index stride) {
  return characters > length ? (characters - length - 1) / stride + 1 : 0;
}

}  // namespace

TextWindows::TextWindows(std::shared_ptr<const Text> text, Index begin, Index end, Index length, Index stride)
    : text_(std::move(text)),
      begin_(begin),
      length_(length),
      stride_(stride),
      samples_(windows_in(end - begin, length, stride)) {
  require(length >= 1 && stride >= 1, "[text] {}: expected a length and a stride of at least 1, got {} and {}",
          text_->name, length, stride);
  require(begin >= 0 && begin <= end && end <= static_cast<Index>(text_->tokens.size()),
          "[text] {}: expected a stretch of {} characters, got {} to {}", text_->name, text_->tokens.size(), begin,
          end);
}

void TextWindows::read(Index i, std::span<Real> features) const {
  for (Index t = 0; t < length_; ++t) features[t] = static_cast<Real>(token(begin_ + i * stride_ + t));
}

DataParts load_text_string(const std::string& name, const std::string& text, const TextOptions& o) {
  require(o.length >= 1 && o.stride >= 1, "[text] expected a length and a stride of at least 1, got {} and {}",
          o.length, o.stride);
  require(o.validation >= 0, "[text] validation: expected at least 0 samples, got {}", o.validation);
  const auto characters = static_cast<Index>(text.size());
  const Index least = 10 * (o.length + 1);  // a tenth of it is one window and its label
  if (characters < least)
    fail(name, text.size(),
         fmt::format("expected at least {} characters, for samples of {}, found the end of the text", least, o.length));
  const auto tokens = std::make_shared<const TextWindows::Text>(tokens_of(name, text));
  const auto stretch = [&](Index begin, Index end) {
    return std::make_shared<const TextWindows>(tokens, begin, end, o.length, o.stride);
  };
  const Index test_begin = characters - characters / 10;
  const Index held_out = std::min(o.validation, windows_in(test_begin, o.length, o.stride) / 10);
  const Index validation_begin = test_begin - (held_out > 0 ? (held_out - 1) * o.stride + o.length + 1 : 0);
  DataParts parts{.name = name,
                  .train = stretch(0, validation_begin),
                  .validation = stretch(validation_begin, test_begin),
                  .test = stretch(test_begin, characters),
                  .provenance = fmt::format("{} ({} characters), the last tenth of it for testing", name, characters)};
  parts.notes.push_back(fmt::format("{}: {} characters, {} different ones; samples of {} characters, one every {}",
                                    name, characters, tokens->alphabet.size(), o.length, o.stride));
  parts.notes.push_back(fmt::format("{} samples for training, {} for validation, {} for testing",
                                    parts.train->samples(), parts.validation->samples(), parts.test->samples()));
  return parts;
}

DataParts load_text(const std::filesystem::path& file, const TextOptions& options) try {
  return load_text_string(file.string(), contents_of(file), options);
} catch (const std::bad_alloc&) {
  throw FileError(fmt::format("{}: expected a text that fits into memory, found a longer one", file.string()));
}

}  // namespace espalier
