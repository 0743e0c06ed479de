#include "espalier/datasets/table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

constexpr std::size_t most_dictionary_words = std::size_t{1} << 16, most_dictionary_bytes = std::size_t{16} << 20;

// --- 1: profile --------------------------------------------------------------------------------------------------

// 2024-01-31, 31.1.24, 1/31/2024 12:00, 2024-01-31T12:00:00Z, 12:30: digits in two or three groups, one separator.
bool looks_like_date(std::string_view field) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (field.size() < 4 || field.size() > 40 || !digit(field[0])) return false;
  const std::size_t first = field.find_first_not_of("0123456789");
  if (first == std::string_view::npos || first > 4) return false;
  const char separator = field[first];
  const bool time = separator == ':';
  if (!time && separator != '-' && separator != '/' && separator != '.') return false;
  std::size_t groups = 1, at = first;
  while (at < field.size() && field[at] == separator && at + 1 < field.size() && digit(field[at + 1])) {
    const std::size_t begin = ++at;
    while (at < field.size() && digit(field[at])) ++at;
    if (at - begin > 4) return false;
    ++groups;
  }
  if (time ? groups < 2 : groups != 3) return false;
  if (at == field.size()) return true;
  return (field[at] == ' ' || field[at] == 'T' || (time && field[at] == '.')) &&
         field.find_first_not_of("0123456789:.+-TZ APMapm", at) == std::string_view::npos;
}

struct ColumnProfile {
  Index missing = 0, numbers = 0, infinite = 0, words = 0, dates = 0;
  std::string first_word;
  Index first_word_line = 0;

  Index known() const { return numbers + infinite + words; }
};

struct TargetProfile {
  std::map<double, Index> numbers;  // up to most_classes + 1 different ones
  bool integers = true;
  std::unordered_map<std::string, Index, WordHash, std::equal_to<>> texts;  // the same
};

template <typename Map, typename Key>
void count_few(Map& map, const Key& key) {
  if (map.size() > static_cast<std::size_t>(most_classes)) return;
  if (const auto found = map.find(key); found != map.end())
    ++found->second;
  else
    map.emplace(key, 1);
}

struct Profile {
  std::vector<std::string> names;
  std::vector<ColumnProfile> columns;  // [names]
  std::size_t target = 0;
  TargetProfile values;
  Index rows = 0;
};

std::size_t column_named(const std::vector<std::string>& names, const std::string& name, const char* flag,
                         const std::string& file) {
  const auto found = std::ranges::find(names, name);
  require(found != names.end(), "[{}] {}: expected one of the columns {}, got \"{}\"", flag, file,
          fmt::join(names, ", "), name);
  return static_cast<std::size_t>(found - names.begin());
}

Profile profile_of(CsvReader& reader, const TableOptions& options) {
  Profile profile{.names = reader.columns(), .columns = {}, .values = {}};
  if (profile.names.size() < 2)
    reader.fail(fmt::format("expected at least two columns (comma, semicolon, tab or pipe between them), found {}",
                            profile.names.size()));
  profile.target = options.target.empty() ? profile.names.size() - 1
                                          : column_named(profile.names, options.target, "--target", reader.name());
  profile.columns.resize(profile.names.size());
  const MissingMarks marks(options.missing_marks);
  while (reader.next()) {
    ++profile.rows;
    const auto fields = reader.fields();
    for (std::size_t c = 0; c < fields.size(); ++c) {
      const std::string_view field = fields[c];
      ColumnProfile& column = profile.columns[c];
      double value = 0;
      if (field.empty() || (marks.numeric() && marks.holds(field))) {
        ++column.missing;
        continue;
      }
      const Number number = parse_number(field, value);
      if (number == Number::finite) {
        ++column.numbers;
      } else if (marks.holds(field)) {
        ++column.missing;
        continue;
      } else if (number == Number::infinite) {
        ++column.infinite;
      } else {
        if (column.words++ == 0) column.first_word = field, column.first_word_line = reader.line();
        if (column.dates + 1 == column.words) column.dates += looks_like_date(field);
      }
      if (c == profile.target) {
        if (number == Number::finite) {
          count_few(profile.values.numbers, value);
          profile.values.integers = profile.values.integers && value == std::floor(value);
        }
        count_few(profile.values.texts, field);
      }
    }
  }
  if (profile.rows == 0) reader.fail("expected rows behind the header, found the end of the file");
  return profile;
}

// Classes in the order of their numbers or the alphabet; none: regression.
std::vector<std::string> classes_of(const CsvReader& reader, const Profile& profile, const TableOptions& options) {
  const ColumnProfile& column = profile.columns[profile.target];
  const std::string& name = profile.names[profile.target];
  const auto fail = [&](const std::string& what) {
    throw FileError(fmt::format("{}: column {}, the target: {}", reader.name(), name, what));
  };
  if (column.known() == 0) fail("expected values, found none");
  const bool numeric = column.words == 0;
  if (options.task == "regression" && !numeric)
    throw FileError(fmt::format("{}: line {}: column {}, the target: expected a number, found \"{}\"", reader.name(),
                                column.first_word_line, name, column.first_word));
  const bool classes =
      options.task == "classification" ||
      (options.task == "auto" && (!numeric || (profile.values.integers && column.infinite == 0 &&
                                               looks_like_classes(profile.values.numbers, profile.rows))));
  if (!classes) {
    if (column.infinite > 0) fail(fmt::format("expected finite numbers, found {} infinite ones", column.infinite));
    return {};
  }
  std::vector<std::string> names;
  if (numeric && column.infinite == 0) {
    for (const auto& [value, rows] : profile.values.numbers) names.push_back(fmt::format("{}", value));
  } else {
    for (const auto& [text, rows] : profile.values.texts) names.push_back(text);
    std::ranges::sort(names);
  }
  const auto count = static_cast<Index>(names.size());
  if (count < 2) fail(fmt::format("expected at least two classes, found \"{}\" in every row", names.front()));
  if (count > most_classes)
    fail(
        fmt::format("expected at most {} classes, found more (another --target, or --task regression?)", most_classes));
  if (2 * count > column.known())
    fail(fmt::format("expected classes of two rows and more, found {} in {} rows (another --target?)", count,
                     column.known()));
  return names;
}

// --- 2: cells ----------------------------------------------------------------------------------------------------

// [rows, width] cells, appended row by row; in memory, or beyond a limit in a temporary file without a name.
class CellStore {
 public:
  CellStore(std::size_t width, std::size_t memory_bytes) : width_(width), memory_bytes_(memory_bytes) {}
  ~CellStore() {
    if (mapped_) ::munmap(mapped_, file_cells_ * sizeof(Cell));
    if (file_ >= 0) ::close(file_);
  }
  CellStore(const CellStore&) = delete;
  CellStore& operator=(const CellStore&) = delete;

  void append(std::span<const Cell> row) {
    if (rows_ >= std::numeric_limits<std::uint32_t>::max()) fail("expected fewer than 2^32 rows, found more");
    buffer_.insert(buffer_.end(), row.begin(), row.end());
    ++rows_;
    constexpr std::size_t write_bytes = std::size_t{1} << 20;
    if (buffer_.size() * sizeof(Cell) > (file_ >= 0 ? write_bytes : memory_bytes_)) write();
  }
  // No more rows.
  void finish() {
    if (file_ < 0) return;
    write();
    buffer_ = {};
    void* const map = ::mmap(nullptr, file_cells_ * sizeof(Cell), PROT_READ, MAP_SHARED, file_, 0);
    if (map == MAP_FAILED) fail(fmt::format("could not be mapped ({})", std::strerror(errno)));
    mapped_ = static_cast<Cell*>(map);
  }
  Index rows() const { return static_cast<Index>(rows_); }
  std::size_t width() const { return width_; }
  std::span<const Cell> row(Index i) const {
    return {(mapped_ ? mapped_ : buffer_.data()) + static_cast<std::size_t>(i) * width_, width_};
  }
  // body(row number, cells) for all rows in order; a mapped file does not stay in memory.
  template <typename Body>
  void for_each_row(Body&& body) const {
    constexpr std::size_t page_cells = 4096 / sizeof(Cell), forget_cells = std::size_t{1} << 22;
    std::size_t forgotten = 0;
    for (Index i = 0; i < rows(); ++i) {
      body(i, row(i));
      const std::size_t done = static_cast<std::size_t>(i) * width_ / page_cells * page_cells;
      if (mapped_ && done - forgotten >= forget_cells) {
        ::madvise(mapped_ + forgotten, (done - forgotten) * sizeof(Cell), MADV_DONTNEED);
        forgotten = done;
      }
    }
    if (mapped_ && rows() > 0) ::madvise(mapped_ + forgotten, (file_cells_ - forgotten) * sizeof(Cell), MADV_DONTNEED);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(fmt::format("{}: temporary file of {} rows: {}", folder_.string(), rows_, what));
  }
  void write() {
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

  std::size_t width_, memory_bytes_, rows_ = 0, file_cells_ = 0;
  std::filesystem::path folder_ = std::filesystem::temp_directory_path();
  std::vector<Cell> buffer_;
  int file_ = -1;
  Cell* mapped_ = nullptr;
};

// The words of a column, numbered as they came. Beyond a limit new ones get no number.
class Dictionary {
 public:
  Cell number_of(std::string_view word) {
    if (const auto found = numbers_.find(word); found != numbers_.end()) return found->second;
    if (words_.size() >= most_dictionary_words || bytes_ + word.size() > most_dictionary_bytes) return unseen_word;
    bytes_ += word.size();
    const auto number = static_cast<Cell>(words_.size());
    words_.emplace_back(word);
    numbers_.emplace(word, number);
    return number;
  }
  const std::vector<std::string>& words() const { return words_; }

 private:
  WordMap numbers_;
  std::vector<std::string> words_;
  std::size_t bytes_ = 0;
};

// A table as cells: columns, then the target (the class, or the bits of a float).
struct Table {
  std::string name;
  CellStore cells;
  std::vector<Dictionary> dictionaries = {};     // [columns]
  std::vector<std::vector<Cell>> renumber = {};  // [columns]: a word's number here -> in the preprocessing; or empty
  Index without_target = 0;
};

enum class Content { numbers, words, ignored };

// The columns besides the target, in order.
struct Layout {
  std::vector<std::size_t> field;  // [columns] -> field of the file
  std::vector<Content> content;    // [columns]
  std::vector<std::string> why;    // [columns], of the ignored
};

Layout layout_of(const CsvReader& reader, const Profile& profile, const TableOptions& options) {
  std::set<std::size_t> ignore, categorical;
  for (const std::string& name : options.ignore)
    ignore.insert(column_named(profile.names, name, "--ignore", reader.name()));
  for (const std::string& name : options.categorical)
    categorical.insert(column_named(profile.names, name, "--categorical", reader.name()));
  Layout layout;
  for (std::size_t f = 0; f < profile.names.size(); ++f) {
    if (f == profile.target) continue;
    const ColumnProfile& c = profile.columns[f];
    layout.field.push_back(f);
    layout.content.push_back(Content::ignored);
    std::string& why = layout.why.emplace_back();
    if (ignore.contains(f))
      why = "asked for";
    else if (c.known() == 0)
      why = "no values";
    else if (c.words > 0 && c.dates == c.words && c.numbers == 0)
      why = "dates";
    else
      layout.content.back() = c.words > 0 || categorical.contains(f) ? Content::words : Content::numbers;
  }
  return layout;
}

std::unique_ptr<Table> encode(CsvReader& reader, const Profile& profile, const Layout& layout, const Encoder& target,
                              const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  std::unique_ptr<Table> table(new Table{.name = reader.name(), .cells = {columns + 1, options.memory_bytes}});
  table->dictionaries.resize(columns);
  const MissingMarks marks(options.missing_marks);
  const bool regression = target.rules().target.classes.empty();
  constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
  std::vector<Cell> row(columns + 1);
  Index rows = 0;
  while (reader.next()) {
    ++rows;
    const auto fields = reader.fields();
    try {
      if (regression) {
        const double value = target.value(fields[profile.target]);
        row[columns] = std::bit_cast<Cell>(static_cast<float>(value));
        if (std::isnan(value) && ++table->without_target) continue;
      } else {
        const std::int32_t label = target.label(fields[profile.target]);
        row[columns] = static_cast<Cell>(label);
        if (label < 0 && ++table->without_target) continue;
      }
    } catch (const BadField& error) {
      reader.fail(error.what());
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

// --- 4: fit ------------------------------------------------------------------------------------------------------

// What there is to know of a column of numbers in the training part.
struct NumberStatistics {
  Index count = 0, missing = 0;
  double first = 0, second = 0;  // of the values; second: the first other one
  bool two = false, more = false;
  double sum = 0, squares = 0;  // about the first value, so that little cancels
  double low = 0, high = 0;

  void add(float value) {
    const auto x = static_cast<double>(value);
    if (std::isnan(x)) {
      ++missing;
      return;
    }
    if (count++ == 0) first = second = low = high = x;
    const double d = x - first;
    sum += d;
    squares += d * d;
    low = std::min(low, x);
    high = std::max(high, x);
    if (d != 0 && x != second) {
      more = two;
      if (!two) second = x;
      two = true;
    }
  }
  double mean() const { return first + sum / static_cast<double>(count); }
  double deviation() const {
    const auto n = static_cast<double>(count);
    return std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
  }
};

// Of sorted numbers, with linear interpolation; q in [0, 1].
double quantile(const std::vector<float>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(below);
  const auto a = static_cast<double>(sorted[below]);
  return part > 0 ? a + part * (static_cast<double>(sorted[below + 1]) - a) : a;
}

void fit_numbers(ColumnRule& rule, const NumberStatistics& s, std::vector<float> sample, const TableOptions& options) {
  rule.kind = ColumnKind::ignored;
  rule.why = s.count == 0 ? "no values in the training part" : "constant";
  if (s.count == 0 || (!s.two && s.missing == 0)) return;
  rule.kind = ColumnKind::numeric;
  rule.why.clear();
  rule.missing = s.missing > 0;
  std::erase_if(sample, [](float x) { return std::isnan(x); });
  std::ranges::sort(sample);
  const bool median = options.impute == "median" || (options.impute == "auto" && options.scaling == "robust");
  rule.fill = median && !sample.empty() ? quantile(sample, 0.5) : s.mean();
  if (!s.more) {
    rule.centre = s.low;
    rule.scale = s.two ? s.high - s.low : 1;
  } else if (options.scaling == "standard") {
    rule.centre = s.mean();
    rule.scale = s.deviation();
  } else if (options.scaling == "robust") {
    rule.centre = quantile(sample, 0.5);
    rule.scale = quantile(sample, 0.75) - quantile(sample, 0.25);
    if (rule.scale <= 0) rule.scale = (s.high - s.low) / 2;
    rule.bounded = true;
  }
  if (!(rule.scale > 0)) rule.scale = 1;  // values that differ in their last bit only
}

// rows: [words], in the training part. Returns how words are numbered from now on.
std::vector<Cell> fit_words(ColumnRule& rule, const std::vector<std::string>& words, const std::vector<Index>& rows,
                            Index beyond, Index missing, const TableOptions& options) {
  std::vector<Cell> renumber(words.size(), unseen_word);
  std::vector<std::size_t> seen;
  for (std::size_t w = 0; w < words.size(); ++w)
    if (rows[w] > 0) seen.push_back(w);
  const auto known = std::accumulate(rows.begin(), rows.end(), beyond);
  const auto different = static_cast<Index>(seen.size()) + beyond;
  rule.kind = ColumnKind::ignored;
  if (known == 0)
    rule.why = "no values in the training part";
  else if (different == 1 && missing == 0)
    rule.why = "constant";
  else if (different > most_word_features && 2 * different > known)
    rule.why = "another word in nearly every row";
  else
    rule.kind = options.encoding == "ordinal" ? ColumnKind::ordinal : ColumnKind::categorical;
  if (rule.kind == ColumnKind::ignored) return renumber;

  rule.missing = missing > 0;
  if (rule.kind == ColumnKind::categorical) {
    std::ranges::sort(seen, [&](std::size_t a, std::size_t b) {
      return rows[a] != rows[b] ? rows[a] > rows[b] : words[a] < words[b];
    });
    const auto all = seen.size();
    if (all > static_cast<std::size_t>(most_word_features)) seen.resize(static_cast<std::size_t>(most_word_features));
    while (!seen.empty() && rows[seen.back()] * rare_word < known) seen.pop_back();
    rule.other = seen.size() < all || beyond > 0;
  }
  std::ranges::sort(seen, {}, [&](std::size_t w) -> const std::string& { return words[w]; });
  for (const std::size_t w : seen) {
    renumber[w] = static_cast<Cell>(rule.words.size());
    rule.words.push_back(words[w]);
  }
  if (rule.kind == ColumnKind::ordinal) {
    double sum = 0, squares = 0, count = 0;
    for (const std::size_t w : seen) {
      const auto rank = static_cast<double>(renumber[w]), n = static_cast<double>(rows[w]);
      count += n, sum += n * rank, squares += n * rank * rank;
    }
    rule.fill = rule.centre = sum / count;
    const double deviation = std::sqrt(std::max(0.0, squares / count - rule.centre * rule.centre));
    if (options.scaling == "none")
      rule.centre = 0;
    else if (deviation > 0)
      rule.scale = deviation;
  } else if (rule.words.size() == 2 && !rule.other && !rule.missing) {
    rule.kind = ColumnKind::binary;
  }
  return renumber;
}

Preprocessing fit(Table& table, const std::vector<Part>& parts, const Profile& profile, const Layout& layout,
                  const Encoder& target, const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  Preprocessing result = target.rules();
  std::vector<NumberStatistics> numbers(columns + 1);
  std::vector<std::vector<float>> samples(columns);
  std::vector<std::vector<Index>> rows(columns);
  std::vector<Index> beyond(columns), missing(columns);
  for (std::size_t c = 0; c < columns; ++c) rows[c].resize(table.dictionaries[c].words().size());

  const bool quantiles = options.scaling == "robust" || options.impute == "median";
  constexpr Index most_sample_cells = Index{1} << 24;
  Index left = std::ranges::count(parts, Part::train);
  const auto most_rows =
      std::min(most_quantile_rows, std::max<Index>(1024, most_sample_cells / static_cast<Index>(columns)));
  Index wanted = quantiles ? std::min(left, most_rows) : 0;
  const Random draw(options.seed, "table/quantiles");
  const bool regression = result.target.classes.empty();
  table.cells.for_each_row([&](Index i, std::span<const Cell> row) {
    if (parts[static_cast<std::size_t>(i)] != Part::train) return;
    const bool sampled = wanted > 0 && draw.uniform(static_cast<std::uint64_t>(i)) * static_cast<double>(left) <
                                           static_cast<double>(wanted);
    --left;
    wanted -= sampled;
    for (std::size_t c = 0; c < columns; ++c) {
      if (layout.content[c] == Content::numbers) {
        const auto x = std::bit_cast<float>(row[c]);
        numbers[c].add(x);
        if (sampled) samples[c].push_back(x);
      } else if (layout.content[c] == Content::words) {
        ++(row[c] == missing_word ? missing[c] : row[c] == unseen_word ? beyond[c] : rows[c][row[c]]);
      }
    }
    if (regression) numbers[columns].add(std::bit_cast<float>(row[columns]));
  });

  table.renumber.resize(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    ColumnRule& rule = result.columns.emplace_back();
    rule.name = profile.names[layout.field[c]];
    if (layout.content[c] == Content::ignored) {
      rule.kind = ColumnKind::ignored;
      rule.why = layout.why[c];
    } else if (layout.content[c] == Content::numbers) {
      fit_numbers(rule, numbers[c], std::move(samples[c]), options);
    } else {
      table.renumber[c] = fit_words(rule, table.dictionaries[c].words(), rows[c], beyond[c], missing[c], options);
    }
  }
  table.dictionaries.clear();
  if (result.features() == 0)
    throw FileError(fmt::format("{}: expected a column to learn from, found constants and dates only", table.name));
  if (regression) {
    result.target.mean = numbers[columns].mean();
    result.target.deviation = numbers[columns].deviation();
    if (!(result.target.deviation > 0))
      throw FileError(fmt::format("{}: column {}, the target: expected values that differ, found {} in every row",
                                  table.name, result.target.name, result.target.mean));
  }
  return result;
}

// --- data sets ---------------------------------------------------------------------------------------------------

class TablePart final : public Dataset {
 public:
  TablePart(std::shared_ptr<const Table> table, EncoderPtr encoder, std::vector<std::uint32_t> rows)
      : table_(std::move(table)), encoder_(std::move(encoder)), rows_(std::move(rows)) {}

  std::string name() const override { return table_->name; }
  Index samples() const override { return static_cast<Index>(rows_.size()); }
  Shape shape() const override { return {encoder_->features()}; }
  Index classes() const override { return static_cast<Index>(target_rule().classes.size()); }
  Index outputs() const override { return classes() > 0 ? 0 : 1; }
  TargetScale target_scale() const override {
    return classes() > 0 ? TargetScale{}
                         : TargetScale{.mean = target_rule().mean, .deviation = target_rule().deviation};
  }

  void read(Index i, std::span<Real> features) const override {
    const auto row = cells(i).first(table_->cells.width() - 1);
    if (table_->renumber.empty()) return encoder_->expand(row, features);
    thread_local std::vector<Cell> renumbered;
    renumbered.assign(row.begin(), row.end());
    for (std::size_t c = 0; c < row.size(); ++c)
      if (const auto& numbers = table_->renumber[c]; row[c] < numbers.size()) renumbered[c] = numbers[row[c]];
    encoder_->expand(renumbered, features);
  }
  std::int32_t label(Index i) const override {
    return classes() > 0 ? static_cast<std::int32_t>(cells(i).back()) : Dataset::label(i);
  }
  void target(Index i, std::span<Real> values) const override {
    if (classes() > 0) return Dataset::target(i, values);
    const auto value = static_cast<double>(std::bit_cast<float>(cells(i).back()));
    values[0] = static_cast<Real>((value - target_rule().mean) / target_rule().deviation);
  }

 private:
  const TargetRule& target_rule() const { return encoder_->rules().target; }
  std::span<const Cell> cells(Index i) const { return table_->cells.row(rows_[static_cast<std::size_t>(i)]); }
  std::shared_ptr<const Table> table_;
  EncoderPtr encoder_;
  std::vector<std::uint32_t> rows_;
};

DatasetPtr part_of(const std::shared_ptr<const Table>& table, const EncoderPtr& encoder, const std::vector<Part>& parts,
                   Part wanted) {
  std::vector<std::uint32_t> rows;
  rows.reserve(static_cast<std::size_t>(std::ranges::count(parts, wanted)));
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i] == wanted) rows.push_back(static_cast<std::uint32_t>(i));
  return std::make_shared<TablePart>(table, encoder, std::move(rows));
}

// Step 3.
std::vector<Part> split_rows(const Table& table, Index classes, bool test_file, const TableOptions& options) {
  const auto class_of = [&](std::span<const Cell> row) { return classes > 0 ? row.back() : 0; };
  std::vector<Index> rows(static_cast<std::size_t>(std::max<Index>(classes, 1)));
  table.cells.for_each_row([&](Index, std::span<const Cell> row) { ++rows[class_of(row)]; });
  StratifiedSplit draw(rows, test_file ? 0 : options.test_fraction, options.validation, options.seed);
  std::vector<Part> parts;
  parts.reserve(static_cast<std::size_t>(table.cells.rows()));
  table.cells.for_each_row([&](Index, std::span<const Cell> row) { parts.push_back(draw.next(class_of(row))); });
  const auto train = std::ranges::count(parts, Part::train), test = std::ranges::count(parts, Part::test);
  if (train < 2 || (!test_file && test == 0))
    throw FileError(
        fmt::format("{}: expected enough rows to train and to test, found {} rows with a target (or give "
                    "--test-data)",
                    table.name, table.cells.rows()));
  return parts;
}

std::string counts_text(const std::vector<std::pair<std::string, Index>>& counts) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, counts.size()); ++i)
    text += fmt::format("{}{} {}", i ? ", " : "", counts[i].first, counts[i].second);
  if (counts.size() > most) text += fmt::format(", and {} more columns", counts.size() - most);
  return text;
}

// The table read from a file, for people.
void describe(const Table& table, const Profile& profile, const Layout& layout, const Preprocessing& p,
              const std::vector<Part>& parts, std::vector<std::string>& notes) {
  notes.push_back(fmt::format(
      "{}: {} rows, {} columns, {} features; target {}: {}", table.name, profile.rows, p.columns.size(), p.features(),
      p.target.name,
      p.target.classes.empty() ? std::string("regression") : fmt::format("{} classes", p.target.classes.size())));
  const auto testing = std::ranges::count(parts, Part::test);  // none: they are in a file of their own
  notes.push_back(fmt::format("{} rows for training, {} for validation{}", std::ranges::count(parts, Part::train),
                              std::ranges::count(parts, Part::validation),
                              testing ? fmt::format(", {} for testing", testing) : std::string()));
  if (table.without_target > 0)
    notes.push_back(
        fmt::format("{} rows without a target (column {}) were left out", table.without_target, p.target.name));
  std::vector<std::pair<std::string, Index>> missing, infinite;
  std::map<std::string, std::vector<std::string>> ignored;
  for (std::size_t c = 0; c < p.columns.size(); ++c) {
    const ColumnProfile& column = profile.columns[layout.field[c]];
    const ColumnRule& rule = p.columns[c];
    if (rule.kind == ColumnKind::ignored) {
      ignored[rule.why].push_back(rule.name);
      continue;
    }
    if (column.missing > 0) missing.emplace_back(rule.name, column.missing);
    if (column.infinite > 0) infinite.emplace_back(rule.name, column.infinite);
    if (column.words > 0 && column.words * 9 < column.numbers)
      notes.push_back(
          fmt::format("column {} was read as words: {} of {} fields are no numbers, the first is \"{}\" in line "
                      "{} (a --missing mark?)",
                      rule.name, column.words, column.known(), column.first_word, column.first_word_line));
  }
  if (!missing.empty()) notes.push_back("missing values: " + counts_text(missing));
  if (!infinite.empty()) notes.push_back("infinite numbers, taken for missing: " + counts_text(infinite));
  for (const auto& [why, names] : ignored) {
    constexpr std::size_t most = 8;
    const auto shown = static_cast<std::ptrdiff_t>(std::min(names.size(), most));
    notes.push_back(fmt::format("ignored ({}): {}{}", why, fmt::join(names.begin(), names.begin() + shown, ", "),
                                names.size() > most ? fmt::format(" and {} more", names.size() - most) : ""));
  }
}

DatasetPtr load_test(const std::filesystem::path& file, const EncoderPtr& encoder, const TableOptions& options,
                     std::vector<std::string>& notes) {
  TableReader reader(file, encoder);
  if (!reader.has_target())
    throw FileError(
        fmt::format("{}: expected the target, a column {}, found none", file.string(), encoder->rules().target.name));
  const std::size_t columns = encoder->rules().columns.size();
  std::unique_ptr<Table> table(new Table{.name = file.string(), .cells = {columns + 1, options.memory_bytes}});
  const bool classes = !encoder->rules().target.classes.empty();
  std::vector<Cell> row(columns + 1);
  while (reader.next()) {
    const double value = classes ? reader.label() : reader.value();
    if ((classes ? value < 0 : std::isnan(value)) && ++table->without_target) continue;
    std::ranges::copy(reader.cells(), row.begin());
    row[columns] = classes ? static_cast<Cell>(value) : std::bit_cast<Cell>(static_cast<float>(value));
    table->cells.append(row);
  }
  table->cells.finish();
  if (table->cells.rows() == 0) throw FileError(fmt::format("{}: expected rows, found none", file.string()));
  notes.push_back(fmt::format("{}: {} rows for testing{}", file.string(), table->cells.rows(),
                              table->without_target
                                  ? fmt::format("; {} without a target were left out", table->without_target)
                                  : std::string()));
  if (const std::string text = reader.replaced(); !text.empty()) notes.push_back(text);
  if (reader.extra_columns() > 0)
    notes.push_back(fmt::format("{} columns that the training file has not were ignored", reader.extra_columns()));
  std::vector<Part> parts(static_cast<std::size_t>(table->cells.rows()), Part::test);
  return part_of(std::move(table), encoder, parts, Part::test);
}

template <typename Open>
TableParts load(Open&& open, const std::filesystem::path& test_file, const TableOptions& options) {
  check(options);
  const auto first_pass = open();
  const Profile profile = profile_of(*first_pass, options);
  Preprocessing target;
  target.missing_marks = options.missing_marks;
  target.target = {.name = profile.names[profile.target], .classes = classes_of(*first_pass, profile, options)};
  const Encoder target_encoder(target);
  const Layout layout = layout_of(*first_pass, profile, options);
  std::shared_ptr<Table> table = encode(*open(), profile, layout, target_encoder, options);
  const auto classes = static_cast<Index>(target.target.classes.size());
  const std::vector<Part> parts = split_rows(*table, classes, !test_file.empty(), options);
  const auto encoder = std::make_shared<const Encoder>(fit(*table, parts, profile, layout, target_encoder, options));
  TableParts result;
  result.preprocessing = std::shared_ptr<const Preprocessing>(encoder, &encoder->rules());
  describe(*table, profile, layout, encoder->rules(), parts, result.notes);
  result.train = part_of(table, encoder, parts, Part::train);
  result.validation = part_of(table, encoder, parts, Part::validation);
  result.test = test_file.empty() ? part_of(table, encoder, parts, Part::test)
                                  : load_test(test_file, encoder, options, result.notes);
  result.provenance = fmt::format(
      "{} ({} rows){}", table->name, profile.rows,
      test_file.empty() ? fmt::format(", {:g} % of them drawn for testing", 100 * options.test_fraction)
                        : fmt::format(", tested on {} ({} rows)", test_file.string(), result.test->samples()));
  return result;
}

}  // namespace

// --- what others use ---------------------------------------------------------------------------------------------

void check(const TableOptions& o) {
  const auto one_of = [](const char* flag, const std::string& value, std::initializer_list<std::string_view> known) {
    require(std::ranges::find(known, value) != known.end(), "[{}] expected {}, got \"{}\"", flag,
            fmt::join(known, " or "), value);
  };
  one_of("--task", o.task, {"auto", "classification", "regression"});
  one_of("--scaling", o.scaling, {"standard", "robust", "none"});
  one_of("--encoding", o.encoding, {"one-hot", "ordinal"});
  one_of("--impute", o.impute, {"auto", "mean", "median"});
  require(o.validation >= 0, "[--validation] expected at least 0 rows, got {}", o.validation);
  require(o.test_fraction > 0 && o.test_fraction < 1, "[--test-fraction] expected a fraction in (0, 1), got {}",
          o.test_fraction);
}

bool looks_like_classes(const std::map<double, Index>& numbers, Index rows) {
  const auto different = static_cast<Index>(numbers.size());
  return different <= most_integer_classes && 2 * different <= rows;
}

StratifiedSplit::StratifiedSplit(std::vector<Index> rows, double test_fraction, Index validation, std::uint64_t seed)
    : seed_(seed) {
  const auto share = [](Index count, double fraction) { return std::llround(static_cast<double>(count) * fraction); };
  Index rest = 0;
  for (const Index count : rows) {
    strata_.push_back({.left = count, .test = share(count, test_fraction)});
    rest += count - strata_.back().test;
  }
  const double held_out = rest ? static_cast<double>(std::min(validation, rest / 10)) / static_cast<double>(rest) : 0;
  for (Stratum& s : strata_) s.validation = share(s.left - s.test, held_out);
}

Part StratifiedSplit::next(std::size_t klass) {
  Stratum& s = strata_[klass];
  const double u = Random(seed_, "table/split").uniform(row_++) * static_cast<double>(s.left--);
  if (u < static_cast<double>(s.test)) {
    --s.test;
    return Part::test;
  }
  if (u < static_cast<double>(s.test + s.validation)) {
    --s.validation;
    return Part::validation;
  }
  return Part::train;
}

TableParts load_table(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options) {
  return load([&] { return std::make_unique<CsvReader>(file, options.csv); }, test_file, options);
}

TableParts load_table_text(const std::string& name, const std::string& text, const TableOptions& options) {
  return load([&] { return std::make_unique<CsvReader>(name, text, options.csv); }, {}, options);
}

namespace {

// Columns of a file without a header are called c1, c2, ...; then others have none, too.
CsvOptions options_for(const Preprocessing& rules) {
  const bool unnamed =
      rules.target.name.starts_with('c') && rules.target.name.find_first_not_of("0123456789", 1) == std::string::npos;
  return {.header = unnamed ? CsvOptions::Header::no : CsvOptions::Header::yes};
}

}  // namespace

TableReader::TableReader(const std::filesystem::path& file, EncoderPtr encoder)
    : encoder_(std::move(encoder)), reader_(file, options_for(encoder_->rules())) {
  const Preprocessing& rules = encoder_->rules();
  const std::vector<std::string>& names = reader_.columns();
  Index used = 0;
  for (const ColumnRule& column : rules.columns) {
    const auto found = std::ranges::find(names, column.name);
    if (column.kind != ColumnKind::ignored && found == names.end())
      throw FileError(fmt::format(
          "{}: line 1: expected a column {}, which the model was trained with, found {}{}", file.string(), column.name,
          fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(names.size(), 8)),
                    ", "),
          names.size() > 8 ? ", ..." : ""));
    used += found != names.end();
    field_of_.push_back(found == names.end() ? 0 : static_cast<std::size_t>(found - names.begin()));
  }
  if (const auto found = std::ranges::find(names, rules.target.name); found != names.end())
    target_ = found - names.begin();
  extra_ = static_cast<Index>(names.size()) - used - has_target();
  cells_.resize(rules.columns.size());
  counts_.missing.resize(cells_.size());
  counts_.unseen.resize(cells_.size());
  counts_.infinite.resize(cells_.size());
}

bool TableReader::next() {
  if (!reader_.next()) return false;
  ++counts_.rows;
  const auto fields = reader_.fields();
  try {
    for (std::size_t c = 0; c < cells_.size(); ++c) cells_[c] = encoder_->encode(c, fields[field_of_[c]], counts_);
  } catch (const BadField& error) {
    reader_.fail(error.what());
  }
  return true;
}

std::int32_t TableReader::label() const {
  try {
    return encoder_->label(target_field());
  } catch (const BadField& error) {
    reader_.fail(error.what());
  }
}

double TableReader::value() const {
  try {
    return encoder_->value(target_field());
  } catch (const BadField& error) {
    reader_.fail(error.what());
  }
}

std::string TableReader::replaced() const {
  std::string text;
  const auto add = [&](const char* what, const std::vector<Index>& counts) {
    std::vector<std::pair<std::string, Index>> columns;
    for (std::size_t c = 0; c < counts.size(); ++c)
      if (counts[c] > 0) columns.emplace_back(encoder_->rules().columns[c].name, counts[c]);
    if (!columns.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", what, counts_text(columns));
  };
  add("missing values", counts_.missing);
  add("words that are rare in training, or were never seen there", counts_.unseen);
  add("infinite numbers, taken for missing", counts_.infinite);
  return text;
}

}  // namespace espalier
