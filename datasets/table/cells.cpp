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

// The cell of this row's target: its class, or the bits of a float. False if it is missing.
bool encode_target(const CsvReader& reader, const Encoder& target, std::size_t column, Cell& cell) {
  const std::string_view field = reader.fields()[column];
  try {
    if (target.rules().target.classes.empty()) {
      const double value = target.value(field);
      cell = std::bit_cast<Cell>(static_cast<float>(value));
      return !std::isnan(value);
    }
    const std::int32_t label = target.label(field);
    cell = static_cast<Cell>(label);
    return label >= 0;
  } catch (const BadField& error) {
    reader.fail(error.what());
  }
}

}  // namespace

std::unique_ptr<Table> encode(CsvReader& reader, const Profile& profile, const Layout& layout, const Encoder& target,
                              const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  std::unique_ptr<Table> table(new Table{.name = reader.name(), .cells = {columns + 1, options.memory_bytes}});
  table->dictionaries.resize(columns);
  const MissingMarks marks(options.missing_marks);
  constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
  std::vector<Cell> row(columns + 1);
  Index rows = 0;
  while (reader.next()) {
    ++rows;
    const auto fields = reader.fields();
    if (!encode_target(reader, target, profile.target, row.back())) {
      ++table->without_target;
      continue;
    }
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string_view field = fields[layout.field[c]];
      if (layout.content[c] == Content::numbers) {
        double value = 0;
        const bool known = !(marks.numeric() && marks.holds(field)) && parse_number(field, value) == Number::finite;
        row[c] = std::bit_cast<Cell>(known ? static_cast<float>(value) : not_a_number);
      } else if (layout.content[c] == Content::words) {
        row[c] = marks.holds(field) ? missing_word : table->dictionaries[c].number_of(field);
      }
    }
    table->cells.append(row);
  }
  if (rows != profile.rows) reader.fail(fmt::format("expected {} rows as before, found {}", profile.rows, rows));
  table->cells.finish();
  return table;
}

}  // namespace espalier::table
