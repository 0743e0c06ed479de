#include "espalier/datasets/csv.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <system_error>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 18;
constexpr std::size_t padding = 16;  // behind the buffer's end: the scan loads eight bytes at a time
constexpr std::size_t sample_bytes = std::size_t{1} << 16;
constexpr std::size_t most_columns = std::size_t{1} << 17;
constexpr std::string_view delimiters = ",;\t|";

std::string text_of(char c) {
  if (c == '\t') return "tab";
  return c >= ' ' && c < 127 ? fmt::format("'{}'", c) : fmt::format("byte {:02x}", static_cast<unsigned char>(c));
}

constexpr std::uint64_t everywhere(unsigned char byte) {
  return 0x0101010101010101ull * byte;
}
// The highest bit of each byte that is zero, exactly: no carry crosses into the next byte.
constexpr std::uint64_t zero_bytes(std::uint64_t word) {
  constexpr std::uint64_t low = everywhere(0x7f);
  return ~(((word & low) + low) | word | low);
}

// The first delimiter or line end from `at` on, eight bytes at a time; there must be one.
char* find_end(char* at, std::uint64_t delimiter) {
  while (true) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    if (const std::uint64_t hits = zero_bytes(word ^ delimiter) | zero_bytes(word ^ everywhere('\n')))
      return at + (std::endian::native == std::endian::little ? std::countr_zero(hits) : std::countl_zero(hits)) / 8;
    at += sizeof word;
  }
}

// Fields per line for each of the first lines, outside quotes.
std::vector<std::size_t> fields_per_line(std::string_view sample, char delimiter) {
  std::vector<std::size_t> counts;
  std::size_t fields = 1, bytes = 0;
  bool quoted = false;
  for (const char c : sample) {
    quoted ^= c == '"';
    if (c == '\n' && !quoted) {
      if (bytes > 0) counts.push_back(fields);
      fields = 1, bytes = 0;
      continue;
    }
    fields += c == delimiter && !quoted;
    bytes += c != '\r';
  }
  if (bytes > 0 && counts.empty()) counts.push_back(fields);  // a last line may be cut off
  return counts;
}

// The delimiter that cuts most of the first lines into as many fields as the first; more fields break ties.
char detect_delimiter(std::string_view sample) {
  char best = ',';
  std::pair<double, std::size_t> best_score{0, 0};
  for (const char delimiter : delimiters) {
    const std::vector<std::size_t> counts = fields_per_line(sample, delimiter);
    if (counts.empty() || counts.front() < 2) continue;
    const double agree = static_cast<double>(std::ranges::count(counts, counts.front()));
    const std::pair score{agree / static_cast<double>(counts.size()), counts.front()};
    if (score > best_score) best = delimiter, best_score = score;
  }
  return best;
}

bool is_word(std::string_view field) {
  double value;
  return !field.empty() && field != "?" && parse_number(field, value) == Number::none;
}

}  // namespace

namespace {

// Why a file's bytes could not be had.
struct Unreadable {
  std::string what;
};

}  // namespace

// --- where bytes come from ---------------------------------------------------------------------------------------

class CsvReader::Source {
 public:
  explicit Source(const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status))
      throw FileError(fmt::format("{}: expected a table, found no such file", path.string()));
    if (std::filesystem::is_directory(status))
      throw FileError(fmt::format("{}: expected a table, found a folder", path.string()));
    file_ = gzopen(path.c_str(), "rb");  // reads what is not gzipped as it is
    if (!file_) throw FileError(fmt::format("{}: the file exists but could not be opened", path.string()));
    gzbuffer(file_, 1 << 16);
  }
  explicit Source(std::string text) : text_(std::move(text)) {}
  ~Source() {
    if (file_) gzclose_r(file_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Fills `to` as far as the contents go. Throws Unreadable.
  std::size_t read(std::span<char> to) {
    if (!file_) {
      const std::size_t bytes = text_.copy(to.data(), to.size(), position_);
      position_ += bytes;
      return bytes;
    }
    std::size_t got = 0;
    while (got < to.size()) {
      const int bytes =
          gzread(file_, to.data() + got, static_cast<unsigned>(std::min<std::size_t>(to.size() - got, 1u << 30)));
      if (bytes > 0) {
        got += static_cast<std::size_t>(bytes);
        continue;
      }
      int code = Z_OK;
      const char* const message = gzerror(file_, &code);
      if (bytes < 0 || code == Z_BUF_ERROR)
        throw Unreadable{code == Z_BUF_ERROR ? std::string("gzip data that end too early (truncated)")
                         : code == Z_ERRNO   ? std::strerror(errno)
                                             : fmt::format("damaged gzip data ({})", message)};
      break;
    }
    return got;
  }

 private:
  gzFile file_ = nullptr;
  std::string text_;
  std::size_t position_ = 0;
};

// --- the reader --------------------------------------------------------------------------------------------------

CsvReader::CsvReader(const std::filesystem::path& path, CsvOptions options)
    : name_(path.string()), options_(options), source_(std::make_unique<Source>(path)) {
  begin();
}

CsvReader::CsvReader(std::string name, std::string text, CsvOptions options)
    : name_(std::move(name)), options_(options), source_(std::make_unique<Source>(std::move(text))) {
  begin();
}

CsvReader::~CsvReader() = default;

void CsvReader::fail_at(Index line, const std::string& what) const {
  throw FileError(fmt::format("{}: line {}: {}", name_, line, what));
}

void CsvReader::begin() {
  buffer_.resize(chunk_bytes + padding);
  at_ = end_ = buffer_.data();
  refill();
  const std::string_view head(at_, static_cast<std::size_t>(end_ - at_));
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff")) fail_at(1, "expected text in UTF-8, found UTF-16");
  if (head.starts_with("\xef\xbb\xbf")) at_ += 3;
  const std::string_view sample = head.substr(static_cast<std::size_t>(at_ - buffer_.data()), sample_bytes);
  if (sample.find_first_not_of(" \r\n") == std::string_view::npos && ended_)
    fail_at(1, "expected a table, found an empty file");
  if (sample.find('\n') == std::string_view::npos && sample.find('\r') < sample.size() - 1)
    fail_at(1, "expected lines that end in LF or CRLF, found CR alone");
  if (options_.delimiter == 0) options_.delimiter = detect_delimiter(sample);
  if (options_.header == CsvOptions::Header::detect) {
    CsvOptions plain = options_;
    plain.header = CsvOptions::Header::no;
    plain.longest_row_bytes = std::max(plain.longest_row_bytes, sample_bytes);
    bool words = true;
    try {
      CsvReader first(name_, std::string(sample.substr(0, sample.rfind('\n'))), plain);
      words = first.next() && std::ranges::all_of(first.fields_, is_word);
    } catch (const FileError&) {  // reading on throws it again
    }
    options_.header = words ? CsvOptions::Header::yes : CsvOptions::Header::no;
  }
  if (has_header()) {
    take_header();
  } else {  // as many columns as the first row has fields: looked at, not taken
    while (true) {
      char* const start = at_;
      const Index line = next_line_;
      if (!scan_row()) {
        refill();
        continue;
      }
      if (fields_.size() == 1 && fields_[0].empty() && at_ < end_) continue;  // an empty line
      at_ = start;
      next_line_ = line;
      break;
    }
    for (std::size_t c = 0; c < fields_.size(); ++c) columns_.push_back(fmt::format("c{}", c + 1));
  }
}

void CsvReader::take_header() {
  if (!next()) fail_at(1, "expected a header, found the end of the file");
  std::map<std::string, std::size_t> seen;
  for (const std::string_view field : fields_) {
    columns_.emplace_back(field);
    if (field.empty()) fail(fmt::format("expected a name for column {}, found none", columns_.size()));
    const auto [first, added] = seen.emplace(columns_.back(), columns_.size());
    if (!added)
      fail(fmt::format("expected different names of columns, found \"{}\" as column {} and {}", field, first->second,
                       columns_.size()));
  }
}

// Moves what is left to the front and reads on behind it; false if there is nothing more.
bool CsvReader::refill() {
  if (ended_) return false;
  const auto left = static_cast<std::size_t>(end_ - at_);
  if (left > options_.longest_row_bytes)
    fail_at(next_line_,
            fmt::format("expected a row of at most {} bytes, found a longer one (a quote that is not closed?)",
                        options_.longest_row_bytes));
  if (left + chunk_bytes / 2 > buffer_.size() - padding) {
    std::vector<char> larger(2 * buffer_.size());
    std::copy_n(at_, left, larger.data());
    buffer_.swap(larger);
  } else {
    std::memmove(buffer_.data(), at_, left);
  }
  at_ = buffer_.data();
  char* const fresh = at_ + left;
  std::size_t got = 0;
  try {
    got = source_->read({fresh, buffer_.size() - padding - left});
  } catch (const Unreadable& found) {
    fail_at(next_line_, fmt::format("expected more rows, found {}", found.what));
  }
  end_ = fresh + got;
  ended_ = end_ < buffer_.data() + buffer_.size() - padding;
  if (const void* nul = std::memchr(fresh, 0, got))
    fail_at(next_line_ + std::count(at_, fresh + (static_cast<const char*>(nul) - fresh), '\n'),
            "expected text, found a NUL byte");
  return got > 0;
}

void CsvReader::add_field(const char* begin, const char* end) {
  while (begin < end && *begin == ' ') ++begin;
  while (end > begin && end[-1] == ' ') --end;
  if (static_cast<std::size_t>(end - begin) > options_.longest_field_bytes)
    fail_at(next_line_, fmt::format("expected fields of at most {} bytes, found {} in field {}",
                                    options_.longest_field_bytes, end - begin, fields_.size() + 1));
  fields_.emplace_back(begin, static_cast<std::size_t>(end - begin));
}

// at: behind the opening quote. Adds the field and returns what stands behind it: a delimiter or a line end.
char* CsvReader::scan_quoted(char* at, bool& complete) {
  const char* const begin = at;
  bool doubled = false;
  while (true) {
    at = static_cast<char*>(std::memchr(at, '"', static_cast<std::size_t>(end_ - at)));
    if (!at) {
      if (ended_) fail_at(next_line_, "expected a closing quote, found the end of the file");
      complete = false;
      return end_;
    }
    if (at + 1 == end_ && !ended_) {  // the first of two quotes?
      complete = false;
      return end_;
    }
    if (at + 1 == end_ || at[1] != '"') break;
    doubled = true;
    at += 2;
  }
  scanned_lines_ += std::count(begin, static_cast<const char*>(at), '\n');
  if (static_cast<std::size_t>(at - begin) > options_.longest_field_bytes)
    fail_at(next_line_, fmt::format("expected fields of at most {} bytes, found {} in field {}",
                                    options_.longest_field_bytes, at - begin, fields_.size() + 1));
  if (doubled) doubled_.push_back(fields_.size());
  fields_.emplace_back(begin, static_cast<std::size_t>(at - begin));
  ++at;
  while (at < end_ && (*at == ' ' || *at == '\r')) ++at;
  if (at == end_ && !ended_) complete = false;
  if (at < end_ && *at != options_.delimiter && *at != '\n')
    fail_at(next_line_ + scanned_lines_, fmt::format("expected {} or a line end behind the closing quote, found {}",
                                                     text_of(options_.delimiter), text_of(*at)));
  return at;
}

// Cuts the row at at_ into fields. False, and nothing has happened, if its end is not in the buffer yet.
bool CsvReader::scan_row() {
  fields_.clear();
  doubled_.clear();
  scanned_lines_ = 0;
  const std::uint64_t delimiter = everywhere(static_cast<unsigned char>(options_.delimiter));
  *end_ = '\n';  // so that every search ends
  char* field = at_;
  while (true) {
    char* first = field;
    while (*first == ' ') ++first;
    char* stop;
    if (*first == '"' && first < end_) {
      bool complete = true;
      stop = scan_quoted(first + 1, complete);
      if (!complete) return false;
    } else {
      stop = find_end(first, delimiter);
      if (stop == end_ && !ended_) return false;
      const bool carriage_return = *stop == '\n' && stop > first && stop[-1] == '\r';
      add_field(first, stop - carriage_return);
    }
    if (stop == end_ || *stop == '\n') {
      row_line_ = next_line_;
      next_line_ += scanned_lines_ + 1;
      at_ = stop == end_ ? end_ : stop + 1;
      return true;
    }
    if (fields_.size() > most_columns)
      fail_at(next_line_, fmt::format("expected at most {} columns, found more", most_columns));
    field = stop + 1;
  }
}

bool CsvReader::next() {
  while (true) {
    if (at_ == end_ && !refill()) return false;
    while (!scan_row()) refill();  // which ends: at the end of the source every row is complete
    if (fields_.size() == 1 && fields_[0].empty()) continue;  // an empty line
    break;
  }
  if (!columns_.empty() && fields_.size() != columns_.size())
    fail(fmt::format("expected {} fields, found {}", columns_.size(), fields_.size()));
  for (const std::size_t f : doubled_) {  // "" becomes ", where it stands
    char* const begin = buffer_.data() + (fields_[f].data() - buffer_.data());
    char* to = begin;
    for (std::size_t i = 0; i < fields_[f].size(); ++i) {
      *to++ = fields_[f][i];
      i += fields_[f][i] == '"';
    }
    fields_[f] = {begin, static_cast<std::size_t>(to - begin)};
  }
  return true;
}

}  // namespace espalier
