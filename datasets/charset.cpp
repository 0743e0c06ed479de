#include "espalier/datasets/charset.h"

#include <fmt/format.h>
#include <iconv.h>

#include <algorithm>
#include <cerrno>

#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

constexpr std::size_t head_bytes = std::size_t{1} << 12, raw_bytes = std::size_t{1} << 16;

std::string_view view(std::span<const char> bytes) {
  return {bytes.data(), bytes.size()};
}

// "UTF-16LE" or "UTF-16BE" if nearly every second byte is 0, and hardly any other; else none.
const char* utf16_by_zeros(std::span<const char> head) {
  const std::size_t pairs = head.size() / 2;
  std::size_t first = 0, second = 0;
  for (std::size_t i = 0; i < pairs; ++i) {
    first += head[2 * i] == 0;
    second += head[2 * i + 1] == 0;
  }
  if (pairs < 2) return nullptr;
  if (10 * second > 7 * pairs && 10 * first < pairs) return "UTF-16LE";
  if (10 * first > 7 * pairs && 10 * second < pairs) return "UTF-16BE";
  return nullptr;
}

}  // namespace

// --- Converter -----------------------------------------------------------------------------------------------------

// An iconv descriptor, from an encoding to UTF-8.
class Converter {
 public:
  explicit Converter(const char* from);  // throws Unreadable if iconv does not know it
  ~Converter() { iconv_close(iconv_); }
  Converter(const Converter&) = delete;
  Converter& operator=(const Converter&) = delete;

  enum class Stop { need_input, need_room, wrong };
  // Converts as much as there is, and room for; moves both on behind it.
  Stop convert(std::span<const char>& from, std::span<char>& to);

 private:
  iconv_t iconv_;
};

Converter::Converter(const char* from) : iconv_(iconv_open("UTF-8", from)) {
  if (iconv_ == iconv_t(-1))
    throw Unreadable{fmt::format("expected UTF-8, found {}, of which iconv has no table", from)};
}

Converter::Stop Converter::convert(std::span<const char>& from, std::span<char>& to) {
  char* in = const_cast<char*>(from.data());  // iconv's interface is older than const
  char* out = to.data();
  std::size_t in_left = from.size(), out_left = to.size();
  const std::size_t result = iconv(iconv_, &in, &in_left, &out, &out_left);
  const int error = result == std::size_t(-1) ? errno : 0;
  from = from.last(in_left);
  to = to.last(out_left);
  return error == E2BIG ? Stop::need_room : error == EILSEQ ? Stop::wrong : Stop::need_input;
}

// --- Utf8Source ----------------------------------------------------------------------------------------------------

Utf8Source::Utf8Source(std::unique_ptr<ByteSource> bytes, Charset charset)
    : bytes_(std::move(bytes)), charset_(charset) {}
Utf8Source::~Utf8Source() = default;

void Utf8Source::keep(std::span<const char> bytes) {
  raw_.assign(bytes.begin(), bytes.end());
  raw_at_ = 0;
}

std::size_t Utf8Source::read(std::span<char> to) {
  if (!begun_) begin();
  return converter_ ? converted(to) : checked(to);
}

// Looks at the first bytes for what they say about all.
void Utf8Source::begin() {
  begun_ = true;
  raw_.resize(head_bytes);
  const std::size_t got = bytes_->read(raw_);
  ended_ = got < raw_.size();
  raw_.resize(got);
  const std::string_view head = view(raw_);
  if (head.starts_with("\xef\xbb\xbf")) {
    charset_ = Charset::utf8;
    raw_at_ = 3;
  } else if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) {
    expect_utf16(head[0] == '\xff' ? "UTF-16LE" : "UTF-16BE");
    raw_at_ = 2;
  } else if (charset_ == Charset::detect || charset_ == Charset::utf16) {
    if (const char* const byte_order = utf16_by_zeros(raw_))
      expect_utf16(byte_order);
    else if (charset_ == Charset::utf16 && !head.empty())
      throw Unreadable{"expected text in UTF-16, found neither a byte-order mark nor zeros (charset utf-8 reads it?)"};
  } else if (charset_ == Charset::latin1) {
    converter_ = std::make_unique<Converter>("CP1252");
  }
}

void Utf8Source::expect_utf16(const char* byte_order) {
  charset_ = Charset::utf16;
  converter_ = std::make_unique<Converter>(byte_order);
}

// UTF-8, where it was read to. Half a character at the end is kept for the next call.
std::size_t Utf8Source::checked(std::span<char> to) {
  std::size_t got = std::min(to.size(), pending().size());
  std::copy_n(pending().begin(), got, to.begin());
  raw_at_ += got;
  if (!ended_ && got < to.size()) {
    const std::size_t more = bytes_->read(to.subspan(got));
    ended_ = more < to.size() - got;
    got += more;
  }
  const std::string_view text(to.data(), got);
  const std::size_t ascii = ascii_prefix(text);
  if (ascii == got) return got;
  const std::size_t good = ascii + utf8_prefix(text.substr(ascii));
  const std::string_view rest = text.substr(good);
  const bool at_end = ended_ && pending().empty();
  if (rest.empty() || (!at_end && utf8_unfinished(rest))) {
    if (good > ascii) charset_ = Charset::utf8;
    if (!rest.empty()) {  // before what is pending
      std::vector<char> bytes(rest.begin(), rest.end());
      bytes.insert(bytes.end(), pending().begin(), pending().end());
      keep(bytes);
    }
    return good;
  }
  if (charset_ != Charset::detect)
    throw Unreadable{fmt::format("expected text in UTF-8, found byte 0x{:02X} (charset latin-1 reads it)",
                                 static_cast<unsigned char>(rest[0])),
                     good};
  charset_ = Charset::latin1;
  converter_ = std::make_unique<Converter>("CP1252");
  std::vector<char> bytes(text.begin() + static_cast<std::ptrdiff_t>(ascii), text.end());
  bytes.insert(bytes.end(), pending().begin(), pending().end());
  keep(bytes);
  return ascii > 0 ? ascii : converted(to);
}

std::size_t Utf8Source::converted(std::span<char> to) {
  std::span<char> room = to;
  const auto written = [&] { return to.size() - room.size(); };
  while (true) {
    std::span<const char> from = pending();
    const Converter::Stop stop = converter_->convert(from, room);
    raw_at_ = raw_.size() - from.size();
    if (stop == Converter::Stop::need_room) return written();
    if (stop == Converter::Stop::wrong) {
      if (charset_ != Charset::latin1)
        throw Unreadable{"expected text in UTF-16, found half of a pair of surrogates", written()};
      if (room.size() < 2) return written();
      room[0] = '\xc2';  // one of the five bytes that Windows-1252 leaves open: the control of that number
      room[1] = from[0];
      room = room.subspan(2);
      ++raw_at_;
      continue;
    }
    if (ended_) {
      if (!from.empty()) throw Unreadable{"expected text in UTF-16, found half a character at its end", written()};
      return written();
    }
    std::vector<char> bytes(from.begin(), from.end());  // at most half a character
    const std::size_t left = bytes.size();
    bytes.resize(left + raw_bytes);
    const std::size_t got = bytes_->read(std::span(bytes).subspan(left));
    ended_ = got < raw_bytes;
    bytes.resize(left + got);
    raw_.swap(bytes);
    raw_at_ = 0;
  }
}

}  // namespace espalier
