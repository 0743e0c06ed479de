#include "espalier/datasets/csv.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>

#include "espalier/core/error.h"
#include "espalier/datasets/charset.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 18;
constexpr std::size_t padding = 16;  // behind the buffer's end: the scan loads eight bytes at a time
constexpr std::size_t most_columns = std::size_t{1} << 17;

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

std::string_view view(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// Whether a byte is neither a space nor the beginning or end of one that is no ASCII: so are nearly all.
bool is_plain(char c) {
  return static_cast<signed char>(c) > ' ';
}

// Behind the spaces at `at`; a tab is none where it is the delimiter.
char* behind_spaces(char* at, const char* end, char delimiter) {
  while (!is_plain(*at) && *at != delimiter) {
    const std::size_t bytes = leading_space(view(at, end));
    if (bytes == 0) break;
    at += bytes;
  }
  return at;
}

}  // namespace

std::string in_csv_quotes(std::string_view field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

// --- what the first rows say -----------------------------------------------------------------------------------------

CsvReader::CsvReader(const std::filesystem::path& path, CsvOptions options)
    : name_(path.string()),
      options_(options),
      source_(std::make_unique<Utf8Source>(std::make_unique<ByteSource>(path), options.dialect.charset)) {
  begin();
}

CsvReader::CsvReader(std::string name, std::string text, CsvOptions options)
    : name_(std::move(name)),
      options_(options),
      source_(std::make_unique<Utf8Source>(std::make_unique<ByteSource>(std::move(text)), options.dialect.charset)) {
  begin();
}

CsvReader::~CsvReader() = default;

Dialect CsvReader::dialect() const {
  Dialect settled = options_.dialect;
  settled.charset = source_->charset();
  return settled;
}

void CsvReader::fail_at(Index line, const std::string& what) const {
  throw FileError(fmt::format("{}: line {}: {}", name_, line, what));
}

void CsvReader::begin() {
  buffer_.resize(chunk_bytes + padding);
  at_ = end_ = buffer_.data();
  const std::string_view head = sample();
  if (head.find_first_not_of(" \r\n") == std::string_view::npos && ended_)
    fail_at(1, "expected a table, found an empty file");
  if (const std::string_view all = view(at_, end_);
      all.find('\n') == std::string_view::npos && all.find('\r') < all.size() - 1)
    fail_at(1, "expected lines that end in LF or CRLF, found CR alone");
  take_sep_line();
  settle(sample());
}

// The beginning of the text, in the buffer: some hundreds of kilobytes, or two rows if these are longer.
std::string_view CsvReader::sample() {
  const auto lines = [&] { return std::count(at_, end_, '\n'); };
  while (!ended_ && (at_ == end_ || (lines() < 2 && view(at_, end_).size() < options_.longest_row_bytes))) refill();
  std::string_view all = view(at_, end_);
  // How much more is in the buffer depends on the charset, and is not looked at: what was settled is settled again.
  constexpr std::size_t sure_bytes = chunk_bytes - 2 * Utf8Source::least_room;  // and perhaps a line with sep= less
  if (all.size() > sure_bytes) {
    const std::string_view sure = all.substr(0, sure_bytes);
    const std::size_t first = all.find('\n'), second = first == all.npos ? first : all.find('\n', first + 1);
    if (second < sure_bytes) return sure.substr(0, sure.rfind('\n') + 1);
    if (second != all.npos) return all.substr(0, second + 1);
  }
  return ended_ ? all : all.substr(0, all.rfind('\n') + 1);
}

// sep=; as Excel writes and reads it, in quotes or not.
void CsvReader::take_sep_line() {
  const char* const end = std::find(at_, end_, '\n');
  std::string_view line = view(at_, end);
  while (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() == 7 && line.starts_with('"') && line.ends_with('"')) line = line.substr(1, 5);
  constexpr std::string_view sep = "sep=";
  if (line.size() != 5 || !std::ranges::equal(line.substr(0, 4), sep, {}, [](char c) { return c | 0x20; })) return;
  if (options_.dialect.delimiter == 0) options_.dialect.delimiter = line[4];
  skipped_.sep_line = true;
  at_ += end - at_ + (end < end_);
  ++next_line_;
}

void CsvReader::settle(std::string_view sample) {
  Dialect& dialect = options_.dialect;
  if (dialect.delimiter == 0) dialect.delimiter = detected_delimiter(sample);
  SampleRows rows = cut_sample(sample, dialect.delimiter);
  drop_comments(rows);
  SampleShape shape = shape_of(rows);
  width_ = std::max<std::size_t>(shape.fields, 1);
  trailing_ = shape.trailing;
  const auto reaches = [&] { return rows[0].size() + shape.trailing >= width_ || shape.short_header; };
  if (options_.skip_bad_rows > 0 && !rows.empty() && !reaches()) {  // it is going to be skipped
    std::erase_if(rows, [&](const auto& row) { return row.size() != width_; });
    shape = shape_of(rows);
    trailing_ = shape.trailing;
  }
  if (shape.short_header && dialect.header != Header::no) {
    dialect.header = Header::yes;
    skipped_.short_header = true;
    return take_header(true);
  }
  for (auto& row : rows)
    if (row.size() <= width_) row.resize(std::min(row.size(), width_ - trailing_));
  if (dialect.header == Header::detect) dialect.header = detected_header(rows) ? Header::yes : Header::no;
  if (!has_header()) {
    for (std::size_t c = 0; c < width_; ++c) columns_.push_back(fmt::format("c{}", c + 1));
    return;
  }
  skipped_.trailing_columns = static_cast<Index>(trailing_);
  take_header(false);
}

void CsvReader::take_header(bool short_of_one) {
  width_ -= short_of_one;
  if (!next()) fail_at(1, "expected a header, found the end of the file");
  width_ += short_of_one;
  if (short_of_one) header_.emplace_back();
  header_.insert(header_.end(), fields_.begin(), fields_.end());
  name_columns();
}

void CsvReader::name_columns() {
  std::map<std::string_view, std::size_t> places;
  for (std::size_t c = 0; c < header_.size(); ++c) {
    if (header_[c].empty()) continue;
    const auto [first, added] = places.emplace(header_[c], c);
    if (!added)
      fail(fmt::format("expected different names of columns, found {} as column {} and {}", quoted(header_[c]),
                       first->second + 1, c + 1));
  }
  for (std::size_t c = 0; c < header_.size(); ++c) {
    std::string name = header_[c].empty() ? fmt::format("Unnamed: {}", c) : header_[c];
    for (int n = 1; header_[c].empty() && places.contains(name); ++n) name = fmt::format("Unnamed: {}.{}", c, n);
    columns_.push_back(std::move(name));
  }
}

bool CsvReader::repeats_header() const {
  return has_header() && std::ranges::equal(fields_, header_);
}

// --- rows ------------------------------------------------------------------------------------------------------------

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
  const std::size_t room = buffer_.size() - padding - left;
  std::size_t got = 0;
  try {
    while (!ended_ && room - got >= Utf8Source::least_room) {
      const std::size_t more = source_->read({fresh + got, room - got});
      got += more;
      ended_ = more == 0;
    }
  } catch (const Unreadable& found) {
    fail_at(next_line_ + std::count(at_, fresh + got + found.before, '\n'), found.what);
  }
  end_ = fresh + got;
  if (const void* nul = std::memchr(fresh, 0, got))
    fail_at(next_line_ + std::count(at_, fresh + (static_cast<const char*>(nul) - fresh), '\n'),
            "expected text, found a NUL byte");
  return got > 0;
}

// A line that begins with # and is no row.
bool CsvReader::skip_comment() {
  const auto line_end = [&] {
    return static_cast<char*>(std::memchr(at_, '\n', static_cast<std::size_t>(end_ - at_)));
  };
  char* stop = line_end();
  while (!stop && refill()) stop = line_end();
  if (!stop) stop = end_;
  const std::size_t fields = fields_of_line(view(at_, stop), delimiter());
  if (fields == 0 || (fields >= width_ - trailing_ && fields <= width_)) return false;
  if (skipped_.comments++ == 0) skipped_.comment_line = next_line_;
  ++next_line_;
  at_ = stop + (stop < end_);
  return true;
}

// begin: behind the spaces in front.
void CsvReader::add_field(const char* begin, const char* end) {
  while (end > begin && !is_plain(end[-1])) {
    const std::size_t bytes = trailing_space(view(begin, end));
    if (bytes == 0) break;
    end -= bytes;
  }
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
  quoted_ = true;
  ++at;
  for (std::size_t bytes = 1; at < end_ && bytes > 0; at += bytes)
    bytes = *at == delimiter() ? 0 : *at == '\r' ? 1 : leading_space(view(at, end_));
  if (at == end_ && !ended_) complete = false;
  if (at < end_ && *at != delimiter() && *at != '\n')
    fail_at(next_line_ + scanned_lines_,
            fmt::format("expected a delimiter or a line end behind the closing quote, found {}",
                        quoted(view(at, at + utf8_character(view(at, end_))))));
  return at;
}

// Cuts the row at at_ into fields. False, and nothing has happened, if its end is not in the buffer yet.
bool CsvReader::scan_row() {
  fields_.clear();
  doubled_.clear();
  scanned_lines_ = 0;
  quoted_ = false;
  const char mark = delimiter();
  const std::uint64_t delimiters = everywhere(static_cast<unsigned char>(mark));
  *end_ = '\n';  // so that every search ends
  char* field = at_;
  while (true) {
    char* const first = is_plain(*field) ? field : behind_spaces(field, end_, mark);
    char* stop;
    if (*first == '"' && first < end_) {
      bool complete = true;
      stop = scan_quoted(first + 1, complete);
      if (!complete) return false;
    } else {
      stop = find_end(first, delimiters);
      if (stop == end_ && !ended_) return false;
      const char* end = stop;
      if (*stop == '\n')
        while (end > first && end[-1] == '\r') --end;
      add_field(first, end);
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

// Whether this row has as many fields as most. Trailing empty ones may be missing: then they are added, or dropped from
// all rows if there is a header.
bool CsvReader::fits() {
  if (trailing_ == 0) return fields_.size() == width_;
  const std::size_t columns = width_ - trailing_;
  if (fields_.size() > width_ || fields_.size() < columns) return false;
  if (!has_header()) {
    fields_.resize(width_);
    return true;
  }
  if (!std::ranges::all_of(std::span(fields_).subspan(columns), [](std::string_view field) { return field.empty(); }))
    return false;
  fields_.resize(columns);
  return true;
}

// What is wrong with this row, which does not fit.
std::string CsvReader::misfit() const {
  const std::size_t columns = width_ - static_cast<std::size_t>(skipped_.trailing_columns);
  if (fields_.size() <= columns || fields_.size() > width_)
    return fmt::format("expected {} fields{}, found {}", columns, columns_.empty() ? ", as most rows have" : "",
                       fields_.size());
  std::size_t filled = columns;
  while (filled + 1 < fields_.size() && fields_[filled].empty()) ++filled;
  return fmt::format(
      "expected nothing in field {}, where the header has no name and the first rows have nothing, found {} (a column "
      "with a name may have it)",
      filled + 1, quoted(fields_[filled]));
}

bool CsvReader::next() {
  while (true) {
    if (at_ == end_ && !refill()) return false;
    if (*at_ == '#' && skip_comment()) continue;
    while (!scan_row()) refill();  // which ends: at the end of the source every row is complete
    const bool nothing = fields_.size() == 1 && fields_[0].empty() && !quoted_;
    if (nothing && (width_ > 1 || columns_.empty())) continue;
    if (fits()) break;
    if (skipped_.bad_rows >= options_.skip_bad_rows) fail(misfit());
    if (skipped_.bad_rows++ == 0) skipped_.bad_row_line = row_line_;
  }
  if (!doubled_.empty()) unescape();
  return true;
}

// "" becomes ", where it stands.
void CsvReader::unescape() {
  for (const std::size_t f : doubled_) {
    char* const begin = buffer_.data() + (fields_[f].data() - buffer_.data());
    char* to = begin;
    for (std::size_t i = 0; i < fields_[f].size(); ++i) {
      *to++ = fields_[f][i];
      i += fields_[f][i] == '"';
    }
    fields_[f] = {begin, static_cast<std::size_t>(to - begin)};
  }
}

}  // namespace espalier
