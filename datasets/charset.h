// Text in UTF-8 from bytes in UTF-8, Latin-1 or UTF-16.
//
//   bytes of a file   63 61 66 e9      ff fe 63 00 ...      63 61 66 c3 a9
//   charset           Latin-1          UTF-16               UTF-8
//   text              63 61 66 c3 a9   63 ...               63 61 66 c3 a9
//
// A byte-order mark is obeyed whatever the options say, and is no part of the text. Without one, Charset::detect means:
//   - UTF-16 if nearly every second byte of the first kilobytes is 0, as it is where digits and commas are
//   - else UTF-8 or Latin-1, as the first chunk that is not all ASCII says: UTF-8 if all of it is valid. What came
//   before
//     means the same in both. Bytes that are no UTF-8 in a later chunk are an error, no reason to change one's mind.
// Latin-1 is Windows-1252, as browsers have it: of the bytes 80 to 9f, which are controls in ISO 8859-1 and in no
// table, it makes quotes and the Euro sign. Converting is iconv's work.
//
// What it costs: UTF-8 is checked where it lies, ASCII sixty-four bytes at a time, and copied nowhere.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "espalier/datasets/byte_source.h"
#include "espalier/datasets/dialect.h"

namespace espalier {

class Converter;

class Utf8Source {
 public:
  static constexpr std::size_t least_room = 16;

  Utf8Source(std::unique_ptr<ByteSource> bytes, Charset charset);
  ~Utf8Source();

  // Writes text to `to`, whole characters; 0 at the end. `to` has least_room bytes or more. Throws Unreadable.
  std::size_t read(std::span<char> to);
  // As settled; Charset::detect as long as all was ASCII.
  Charset charset() const { return charset_; }

 private:
  std::span<const char> pending() const { return std::span(raw_).subspan(raw_at_); }
  void keep(std::span<const char> bytes);
  void begin();
  void expect_utf16(const char* byte_order);
  std::size_t checked(std::span<char> to);
  std::size_t converted(std::span<char> to);

  std::unique_ptr<ByteSource> bytes_;
  Charset charset_;
  bool begun_ = false, ended_ = false;  // ended_: no more bytes than those pending
  std::vector<char> raw_;               // bytes that were read and are not text yet: from raw_at_ on
  std::size_t raw_at_ = 0;
  std::unique_ptr<Converter> converter_;  // none: UTF-8
};

}  // namespace espalier
