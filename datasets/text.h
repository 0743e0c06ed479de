// Text, character by character: T characters in a row are a sample, the one behind them is its label.
//
//   text     F i r s t   C i t i z e n : \n B e f o r e   w e ...
//   sample i ────────────►               tokens i stride ... i stride + T - 1
//   label                 ▲              token i stride + T
//
// A character is a byte; its token is its rank among the V different ones of the file, so a sample is [T] whole numbers
// in [0, V), and there are V classes. Tokens are never standardised: they are names, not quantities (Dataset::tokens).
//
// Parts lie one behind the other, train | validation | test, because windows overlap: drawn at random, a sample to test
// on would share most of its characters with one that was trained on. No window reaches across a border.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "espalier/datasets/parts.h"

namespace espalier {

constexpr std::size_t most_text_bytes = std::size_t{1} << 30;

struct TextOptions {
  Index length = 64;        // T: tokens of a sample
  Index stride = 16;        // characters from the beginning of a sample to that of the next
  Index validation = 5000;  // samples, at most a tenth of what is not for testing
};

// Samples of a stretch of text.
class TextWindows final : public Dataset {
 public:
  struct Text {
    std::string name, alphabet;  // alphabet: [V] characters in the order of their bytes
    std::string tokens;          // a byte each, in [0, V)
  };
  // Of tokens [begin, end). Throws UsageError unless these exist, and length and stride are at least 1.
  TextWindows(std::shared_ptr<const Text> text, Index begin, Index end, Index length, Index stride);

  std::string name() const override { return text_->name; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {length_}; }
  Index classes() const override { return tokens(); }
  Index tokens() const override { return static_cast<Index>(text_->alphabet.size()); }
  void read(Index i, std::span<Real> features) const override;
  std::int32_t label(Index i) const override { return token(begin_ + i * stride_ + length_); }

  // The characters that tokens stand for: token k is alphabet()[k].
  const std::string& alphabet() const { return text_->alphabet; }

 private:
  std::int32_t token(Index at) const { return static_cast<unsigned char>(text_->tokens[at]); }
  std::shared_ptr<const Text> text_;
  Index begin_, length_, stride_, samples_;
};

// All parts of a text file, plain or gzipped; the last tenth of its characters is for testing. Throws FileError, naming
// the byte, for files that are missing, damaged, too short, above most_text_bytes or not text (a NUL byte), and
// UsageError for impossible options.
DataParts load_text(const std::filesystem::path& file, const TextOptions& options = {});
// Reads from a string instead of a file; errors call it `name`.
DataParts load_text_string(const std::string& name, const std::string& text, const TextOptions& options = {});

}  // namespace espalier
