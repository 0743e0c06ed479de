#include "espalier/datasets/table/cells.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "espalier/core/error.h"

namespace espalier::table {

// --- CellStore -----------------------------------------------------------------------------------------------------

CellStore::~CellStore() {
  if (mapped_) ::munmap(mapped_, file_cells_ * sizeof(Cell));
  if (file_ >= 0) ::close(file_);
}

void CellStore::append(std::span<const Cell> row) {
  if (rows_ >= std::numeric_limits<std::uint32_t>::max()) fail("expected fewer than 2^32 rows, found more");
  buffer_.insert(buffer_.end(), row.begin(), row.end());
  ++rows_;
  constexpr std::size_t write_bytes = std::size_t{1} << 20;
  if (buffer_.size() * sizeof(Cell) > (file_ >= 0 ? write_bytes : memory_bytes_)) write();
}

void CellStore::finish() {
  if (file_ < 0) return;
  write();
  buffer_ = {};
  void* const map = ::mmap(nullptr, file_cells_ * sizeof(Cell), PROT_READ, MAP_SHARED, file_, 0);
  if (map == MAP_FAILED) fail(fmt::format("could not be mapped ({})", std::strerror(errno)));
  mapped_ = static_cast<Cell*>(map);
}

std::size_t CellStore::forget(std::size_t begin, std::size_t end) const {
  constexpr std::size_t page_cells = 4096 / sizeof(Cell), forget_cells = std::size_t{1} << 22;
  const std::size_t done = end / page_cells * page_cells;
  if (!mapped_ || done - begin < forget_cells) return begin;
  ::madvise(mapped_ + begin, (done - begin) * sizeof(Cell), MADV_DONTNEED);
  return done;
}

void CellStore::forget_rest(std::size_t begin) const {
  if (mapped_ && rows_ > 0) ::madvise(mapped_ + begin, (file_cells_ - begin) * sizeof(Cell), MADV_DONTNEED);
}

void CellStore::fail(const std::string& what) const {
  throw FileError(fmt::format("{}: temporary file of {} rows: {}", folder_.string(), rows_, what));
}

void CellStore::write() {
  if (file_ < 0) {
    std::string path = (folder_ / "espalier-cells-XXXXXX").string();
    file_ = ::mkostemp(path.data(), O_CLOEXEC);
    if (file_ < 0) fail(fmt::format("could not be made ({})", std::strerror(errno)));
    ::unlink(path.c_str());  // gone when it is closed, however this program ends
  }
  const char* at = reinterpret_cast<const char*>(buffer_.data());
  std::size_t left = buffer_.size() * sizeof(Cell);
  while (left > 0) {
    const ssize_t written = ::write(file_, at, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(fmt::format("could not be written ({})", std::strerror(errno)));
    at += written;
    left -= static_cast<std::size_t>(written);
  }
  file_cells_ += buffer_.size();
  if (buffer_.capacity() * sizeof(Cell) > memory_bytes_) buffer_ = {};
  buffer_.clear();
}

// --- Dictionary ----------------------------------------------------------------------------------------------------

Cell Dictionary::number_of(std::string_view word) {
  constexpr std::size_t most_words_kept = std::size_t{1} << 16, most_bytes = std::size_t{16} << 20;
  if (const auto found = numbers_.find(word); found != numbers_.end()) return found->second;
  if (words_.size() >= most_words_kept || bytes_ + word.size() > most_bytes) return unseen_word;
  bytes_ += word.size();
  const auto number = static_cast<Cell>(words_.size());
  words_.emplace_back(word);
  numbers_.emplace(word, number);
  return number;
}

// --- encode --------------------------------------------------------------------------------------------------------

namespace {

class TableEncoder {
 public:
  TableEncoder(Table& table, const Profile& profile, const Layout& layout, TargetColumn target,
               const TableOptions& options)
      : table_(table),
        profile_(profile),
        layout_(layout),
        target_(target),
        marks_(missing_marks_of(options)),
        left_out_(profile.left_out.lines()),
        row_(layout.field.size() + 1) {}

  // Returns the number of rows that the profile counted.
  Index read(CsvReader& reader) {
    Index rows = 0;
    auto skip = left_out_.begin();
    while (reader.next()) {
      if (skip != left_out_.end() && reader.line() == *skip) {
        ++skip;
        continue;
      }
      ++rows;
      if (!encode_target(reader)) continue;
      encode_columns(reader.fields());
      table_.cells.append(row_);
    }
    return rows;
  }

 private:
  // The cell of this row's target: its class, or the bits of a float. False if it is missing.
  bool encode_target(const CsvReader& reader) {
    const std::string_view field = reader.fields()[profile_.target];
    try {
      const bool known = target_.encoder.rules().target.classes.empty() ? encode_value(field) : encode_label(field);
      table_.without_target += !known;
      return known;
    } catch (const BadField& error) {
      if (!target_.has_strays) reader.fail(error.what());
      table_.target.add(field, reader.line());
      return false;
    }
  }
  bool encode_value(std::string_view field) {
    const double value = target_.encoder.value(field);
    row_.back() = std::bit_cast<Cell>(static_cast<float>(value));
    return !std::isnan(value);
  }
  bool encode_label(std::string_view field) {
    const std::int32_t label = target_.encoder.label(field);
    row_.back() = static_cast<Cell>(label);
    return label >= 0;
  }

  void encode_columns(std::span<const std::string_view> fields) {
    constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
    const char decimal = profile_.dialect.decimal;
    for (std::size_t c = 0; c < layout_.field.size(); ++c) {
      const std::string_view field = fields[layout_.field[c]];
      if (layout_.content[c] == Content::numbers) {
        double value = 0;
        const bool known = !field.empty() && !(marks_.numeric() && marks_.holds(field)) &&
                           number_of(field, decimal, layout_.offset[c], value) == Number::finite;
        row_[c] = std::bit_cast<Cell>(known ? static_cast<float>(value) : not_a_number);
      } else if (layout_.content[c] == Content::words) {
        row_[c] = marks_.holds(field) ? missing_word : table_.dictionaries[c].number_of(field);
      }
    }
  }

  Table& table_;
  const Profile& profile_;
  const Layout& layout_;
  TargetColumn target_;
  MissingMarks marks_;
  std::vector<Index> left_out_;
  std::vector<Cell> row_;  // columns, then the target
};

}  // namespace

std::unique_ptr<Table> encode(CsvReader& reader, const Profile& profile, const Layout& layout, TargetColumn target,
                              const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  std::unique_ptr<Table> table(new Table{.name = reader.name(), .cells = {columns + 1, options.memory_bytes}});
  table->dictionaries.resize(columns);
  const Index rows = TableEncoder(*table, profile, layout, target, options).read(reader);
  if (rows != profile.rows) reader.fail(fmt::format("expected {} rows as before, found {}", profile.rows, rows));
  table->cells.finish();
  return table;
}

}  // namespace espalier::table
