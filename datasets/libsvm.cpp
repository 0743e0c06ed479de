#include "espalier/datasets/libsvm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/datasets/numbers.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table/profile.h"
#include "espalier/datasets/table/split.h"

namespace espalier {
namespace {

// Lines are rows of a single field: no text has the delimiter.
constexpr CsvOptions lines_only{.dialect = {.delimiter = '\x1f', .header = Header::no},
                                .longest_row_bytes = std::size_t{1} << 26,
                                .longest_field_bytes = std::size_t{1} << 26};

// The next word of a line, which it is cut off.
std::string_view take_word(std::string_view& line) {
  constexpr std::string_view spaces = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(spaces));
  line.remove_prefix(word.size());
  return word;
}

std::string class_name(std::string_view as_written, double number) {
  constexpr std::size_t longest = 40;
  return as_written.size() <= longest ? std::string(as_written) : fmt::format("{}", number);
}

struct SparseRows {
  std::string name;
  std::vector<std::size_t> begin{0};  // [rows + 1]
  std::vector<SparseEntry> entries;
  std::vector<double> targets;              // [rows], as in the file
  std::map<double, std::string> spellings;  // of the different targets, up to most_classes + 1: the first one
  Index features = 0;

  void append(const LibsvmReader& reader, std::span<const SparseEntry> row) {
    constexpr std::size_t most_rows = std::numeric_limits<std::uint32_t>::max();
    if (targets.size() == most_rows) reader.fail(fmt::format("expected at most {} rows, found more", most_rows));
    const double target = reader.target();
    if (std::isnan(target))
      reader.fail(fmt::format("expected a number as the target, found {}",
                              reader.target_text().empty() ? "none" : quoted(reader.target_text())));
    entries.insert(entries.end(), row.begin(), row.end());
    begin.push_back(entries.size());
    targets.push_back(target);
    if (spellings.size() <= static_cast<std::size_t>(most_classes) && !spellings.contains(target))
      spellings.emplace(target, class_name(reader.target_text(), target));
    if (!row.empty()) features = std::max(features, Index{row.back().index} + 1);
  }
};

// Throws FileError rather than give a label that is none.
std::int32_t label_in(const SparseClasses& classes, double target, const std::string& file) {
  const std::int32_t label = classes.of(target);
  if (label < 0) throw FileError(fmt::format("{}: expected targets that are classes, found {}", file, target));
  return label;
}

class SparsePart final : public Dataset {
 public:
  SparsePart(std::shared_ptr<const SparseRows> data, std::shared_ptr<const Preprocessing> rules,
             std::vector<std::uint32_t> rows)
      : data_(std::move(data)), rules_(std::move(rules)), rows_(std::move(rows)) {
    if (classes() == 0) return;
    const SparseClasses known(rules_->target.classes);
    labels_.reserve(rows_.size());
    for (const std::uint32_t row : rows_) labels_.push_back(label_in(known, data_->targets[row], data_->name));
  }

  std::string name() const override { return data_->name; }
  Index samples() const override { return static_cast<Index>(rows_.size()); }
  Shape shape() const override { return {rules_->sparse_features}; }
  Index classes() const override { return static_cast<Index>(rules_->target.classes.size()); }
  Index outputs() const override { return classes() > 0 ? 0 : 1; }
  TargetScale target_scale() const override {
    return classes() > 0 ? TargetScale{}
                         : TargetScale{.mean = rules_->target.mean, .deviation = rules_->target.deviation};
  }
  void read(Index i, std::span<Real> features) const override {
    std::ranges::fill(features, Real{0});
    const std::size_t row = rows_[static_cast<std::size_t>(i)];
    for (std::size_t e = data_->begin[row]; e < data_->begin[row + 1]; ++e)
      features[data_->entries[e].index] = static_cast<Real>(data_->entries[e].value);
  }
  std::int32_t label(Index i) const override {
    return classes() > 0 ? labels_[static_cast<std::size_t>(i)] : Dataset::label(i);
  }
  void target(Index i, std::span<Real> values) const override {
    if (classes() > 0) return Dataset::target(i, values);
    values[0] = static_cast<Real>((data_->targets[rows_[static_cast<std::size_t>(i)]] - rules_->target.mean) /
                                  rules_->target.deviation);
  }

 private:
  std::shared_ptr<const SparseRows> data_;
  std::shared_ptr<const Preprocessing> rules_;
  std::vector<std::uint32_t> rows_;
  std::vector<std::int32_t> labels_;
};

// Of classification: the names of the classes, in the order of their numbers.
std::vector<std::string> classes_of(const SparseRows& data, const TableOptions& options) {
  std::map<double, Index> numbers;
  bool integers = true;
  for (const double target : data.targets) {
    if (numbers.size() <= static_cast<std::size_t>(most_classes)) ++numbers[target];
    integers = integers && target == std::floor(target);
  }
  const auto rows = static_cast<Index>(data.targets.size()), count = static_cast<Index>(numbers.size());
  if (options.task == "regression" || (options.task == "auto" && !(integers && table::looks_like_classes(count, rows))))
    return {};
  if (count < 2 || count > most_classes)
    throw FileError(fmt::format("{}: expected 2 to {} classes, found {}", data.name, most_classes,
                                count > most_classes ? "more" : "one and the same target in every row"));
  std::vector<std::string> names;
  for (const auto& [number, with] : numbers) names.push_back(data.spellings.at(number));
  return names;
}

}  // namespace

LibsvmReader::LibsvmReader(const std::filesystem::path& file, Index most_bad_rows)
    : lines_(file, lines_only), most_bad_rows_(most_bad_rows) {}

bool LibsvmReader::next() {
  while (lines_.next()) {
    std::string_view line = lines_.fields()[0];
    line = line.substr(0, line.find('#'));
    try {
      read_row(line);
    } catch (const BadField& error) {
      leave_out(error.what());
      continue;
    }
    if (!target_text_.empty() || !entries_.empty()) return true;  // else a comment
  }
  return false;
}

void LibsvmReader::read_row(std::string_view line) {
  entries_.clear();
  std::string_view rest = line;
  target_text_ = take_word(rest);
  if (target_text_.find(':') != std::string_view::npos) {  // the first entry already
    target_text_ = {};
    rest = line;
  }
  target_ = 0;  // not -0, whatever is written
  double number = 0;
  if (parse_number(target_text_, number) != Number::finite)
    target_ = std::numeric_limits<double>::quiet_NaN();
  else if (number != 0)
    target_ = number;
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
    if (word.starts_with("qid:"))
      ++qids_;
    else
      entries_.push_back(entry_of(word));
  }
}

// index:value, behind the entries of this row so far. Throws BadField.
SparseEntry LibsvmReader::entry_of(std::string_view word) {
  const std::size_t colon = word.find(':');
  Index index = 0;
  const char* const stop = word.data() + std::min(colon, word.size());
  const auto [end, error] = std::from_chars(word.data(), stop, index);
  if (colon == std::string_view::npos || end != stop || error == std::errc::invalid_argument)
    throw BadField(fmt::format("expected index:value, found {}", quoted(word)));
  if (error != std::errc() || index < 1 || index > most_sparse_features)
    throw BadField(
        fmt::format("expected an index from 1 to {}, found {}", most_sparse_features, shown(word.substr(0, colon))));
  if (!entries_.empty() && index <= Index{entries_.back().index} + 1)
    throw BadField(fmt::format("expected ascending indices, found {} after {}{}", index, entries_.back().index + 1,
                               index == Index{entries_.back().index} + 1 ? " (repeated)" : ""));
  double value = 0;
  constexpr double most = std::numeric_limits<float>::max();
  if (parse_number(word.substr(colon + 1), value) != Number::finite || std::abs(value) > most)
    throw BadField(
        fmt::format("expected a finite number for index {}, found {}", index, quoted(word.substr(colon + 1))));
  const auto kept = static_cast<float>(value);
  if (value == std::floor(value) && static_cast<double>(kept) != value && rounded_++ == 0)
    first_rounded_ = fmt::format("index {}: {} as {:.0f}", index, quoted(word.substr(colon + 1)), kept);
  return {static_cast<std::uint32_t>(index - 1), kept};
}

void LibsvmReader::leave_out(const std::string& why) {
  if (bad_rows_ == most_bad_rows_) fail(why);
  if (bad_rows_++ == 0) first_bad_row_ = fmt::format("line {}: {}", line(), why);
}

SparseClasses::SparseClasses(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (double number = 0; parse_number(name, number) == Number::finite)
      numbers_.emplace(number, static_cast<std::int32_t>(&name - names.data()));
}

std::int32_t SparseClasses::of(double target) const {
  const auto found = std::isnan(target) ? numbers_.end() : numbers_.find(target);
  return found == numbers_.end() ? -1 : found->second;
}

namespace {

// What is said of rows beside their number; empty if there is nothing.
std::vector<std::string> notes_of(const LibsvmReader& reader) {
  std::vector<std::string> notes;
  if (reader.qids() > 0) notes.push_back(fmt::format("ignored {} qid", reader.qids()));
  if (reader.bad_rows() > 0)
    notes.push_back(fmt::format("left out {} rows that could not be read; the first: {}", reader.bad_rows(),
                                reader.first_bad_row()));
  if (reader.rounded() > 0)
    notes.push_back(
        fmt::format("rounded {} whole numbers to the 7 digits of a single-precision number, for those of "
                    "sparse rows are taken as they are; the first: {}",
                    reader.rounded(), reader.first_rounded()));
  return notes;
}

SparseRows read_rows(const std::filesystem::path& file, const TableOptions& options, std::vector<std::string>& notes) {
  SparseRows rows;
  LibsvmReader reader(file, options.csv.skip_bad_rows);
  while (reader.next()) rows.append(reader, reader.entries());
  notes = notes_of(reader);
  rows.name = file.string();
  if (rows.features == 0) throw FileError(fmt::format("{}: expected rows with features, found none", rows.name));
  return rows;
}

// The rows of each part.
using PartRows = std::array<std::vector<std::uint32_t>, 3>;
const std::vector<std::uint32_t>& rows_of(const PartRows& parts, Part part) {
  return parts[static_cast<std::size_t>(part)];
}

PartRows split_rows(const SparseRows& data, const TargetRule& target, bool test_file, const TableOptions& options) {
  std::vector<Index> strata(std::max<std::size_t>(target.classes.size(), 1));
  const SparseClasses classes(target.classes);
  const auto stratum = [&](double value) {
    return static_cast<std::size_t>(target.classes.empty() ? 0 : label_in(classes, value, data.name));
  };
  for (const double value : data.targets) ++strata[stratum(value)];
  StratifiedSplit draw(strata, test_file ? 0 : options.test_fraction, options.validation, options.seed);
  PartRows parts;
  for (std::size_t i = 0; i < data.targets.size(); ++i)
    parts[static_cast<std::size_t>(draw.next(stratum(data.targets[i])))].push_back(static_cast<std::uint32_t>(i));
  if (rows_of(parts, Part::train).size() < 2 || (!test_file && rows_of(parts, Part::test).empty()))
    throw FileError(
        fmt::format("{}: expected enough rows to train and to test, found {}", data.name, data.targets.size()));
  return parts;
}

// Of regression: mean and deviation of the targets trained on.
void fit_target(TargetRule& target, const SparseRows& data, const std::vector<std::uint32_t>& train) {
  double sum = 0, squares = 0;
  for (const std::uint32_t row : train) {
    const double x = data.targets[row] - data.targets[0];  // about the first, so that little cancels
    sum += x, squares += x * x;
  }
  const auto n = static_cast<double>(train.size());
  target.mean = data.targets[0] + sum / n;
  target.deviation = std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
  if (!(target.deviation > 0))
    throw FileError(fmt::format("{}: expected targets that differ, found {} in every row", data.name, data.targets[0]));
}

std::vector<std::string> notes_of(const SparseRows& data, const TargetRule& target, const PartRows& parts,
                                  const TableOptions& options) {
  std::vector<std::string> notes;
  const bool regression = target.classes.empty();
  const char* const change = options.task != "auto" ? "" : regression ? " [task classification]" : " [task regression]";
  notes.push_back(fmt::format("{}: {} rows, {} features, {:.3g} % of them not zero; {}{}", data.name,
                              data.targets.size(), data.features,
                              100 * static_cast<double>(data.entries.size()) /
                                  (static_cast<double>(data.features) * static_cast<double>(data.targets.size())),
                              regression ? "regression" : fmt::format("{} classes", target.classes.size()), change));
  notes.push_back(fmt::format("{} rows for training, {} for validation, {} for testing",
                              rows_of(parts, Part::train).size(), rows_of(parts, Part::validation).size(),
                              rows_of(parts, Part::test).size()));
  return notes;
}

// The rows of a test file; features beyond those of the training file are left out, and counted in `notes`.
SparseRows read_test_rows(const std::filesystem::path& file, const Preprocessing& rules, const TableOptions& options,
                          std::vector<std::string>& notes) {
  SparseRows test;
  Index beyond = 0;
  LibsvmReader reader(file, options.csv.skip_bad_rows);
  const SparseClasses classes(rules.target.classes);
  while (reader.next()) {
    if (!rules.target.classes.empty() && classes.of(reader.target()) < 0)
      reader.fail(fmt::format("expected one of the classes {}, found {}", fmt::join(rules.target.classes, ", "),
                              shown(reader.target_text())));
    const auto all = reader.entries();
    const auto known = std::ranges::count_if(
        all, [&](const SparseEntry& e) { return Index{e.index} < rules.sparse_features; });  // they are in order
    beyond += static_cast<Index>(all.size()) - known;
    test.append(reader, all.first(known));
  }
  test.name = file.string();
  if (test.targets.empty()) throw FileError(fmt::format("{}: expected rows, found none", test.name));
  notes.push_back(fmt::format("{}: {} rows for testing", test.name, test.targets.size()));
  std::ranges::move(notes_of(reader), std::back_inserter(notes));
  if (beyond > 0) notes.push_back(fmt::format("ignored {} numbers of features absent from the training file", beyond));
  return test;
}

}  // namespace

DataParts load_libsvm(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options) {
  check(options);
  std::vector<std::string> beside;
  const auto data = std::make_shared<const SparseRows>(read_rows(file, options, beside));
  const auto rules = std::make_shared<Preprocessing>();
  rules->sparse_features = data->features;
  rules->target = {.name = "target", .classes = classes_of(*data, options)};
  const PartRows parts = split_rows(*data, rules->target, !test_file.empty(), options);
  if (rules->target.classes.empty()) fit_target(rules->target, *data, rows_of(parts, Part::train));

  const auto part = [&](Part p) { return std::make_shared<SparsePart>(data, rules, rows_of(parts, p)); };
  DataParts result{.name = data->name,
                   .train = part(Part::train),
                   .validation = part(Part::validation),
                   .test = part(Part::test),
                   .provenance = fmt::format("{} ({} rows)", data->name, data->targets.size()),
                   .preprocessing = rules,
                   .notes = notes_of(*data, rules->target, parts, options)};
  std::ranges::move(beside, std::back_inserter(result.notes));
  if (test_file.empty()) {
    result.provenance += fmt::format(", {:g} % of them drawn for testing", 100 * options.test_fraction);
    return result;
  }
  const auto test = std::make_shared<const SparseRows>(read_test_rows(test_file, *rules, options, result.notes));
  std::vector<std::uint32_t> all(test->targets.size());
  std::iota(all.begin(), all.end(), 0u);
  result.test = std::make_shared<SparsePart>(test, rules, std::move(all));
  result.provenance += fmt::format(", tested on {} ({} rows)", test->name, test->targets.size());
  return result;
}

}  // namespace espalier
