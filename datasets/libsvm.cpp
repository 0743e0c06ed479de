#include "espalier/datasets/libsvm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/datasets/table/profile.h"
#include "espalier/datasets/table/split.h"

namespace espalier {
namespace {

// Lines are rows of a single field: no text has the delimiter.
constexpr CsvOptions lines_only{.dialect = {.delimiter = '\x1f', .header = Header::no},
                                .longest_row_bytes = std::size_t{1} << 26,
                                .longest_field_bytes = std::size_t{1} << 26};

std::string shortened(std::string_view text) {
  constexpr std::size_t most = 40;
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

// The next word of a line, which it is cut off.
std::string_view take_word(std::string_view& line) {
  constexpr std::string_view spaces = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(spaces));
  line.remove_prefix(word.size());
  return word;
}

struct SparseRows {
  std::string name;
  std::vector<std::size_t> begin{0};  // [rows + 1]
  std::vector<SparseEntry> entries;
  std::vector<double> targets;  // [rows], as in the file
  Index features = 0, qids = 0;

  void append(const LibsvmReader& reader, std::span<const SparseEntry> row) {
    entries.insert(entries.end(), row.begin(), row.end());
    begin.push_back(entries.size());
    targets.push_back(reader.target());
    if (!row.empty()) features = std::max(features, Index{row.back().index} + 1);
    qids = reader.qids();
  }
};

class SparsePart final : public Dataset {
 public:
  SparsePart(std::shared_ptr<const SparseRows> data, std::shared_ptr<const Preprocessing> rules,
             std::vector<std::uint32_t> rows)
      : data_(std::move(data)), rules_(std::move(rules)), rows_(std::move(rows)) {
    for (const std::uint32_t row : rows_)
      if (classes() > 0) labels_.push_back(class_of(rules_->target, data_->targets[row]));
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
  for (const auto& [number, with] : numbers) names.push_back(fmt::format("{}", number));
  return names;
}

}  // namespace

LibsvmReader::LibsvmReader(const std::filesystem::path& file) : lines_(file, lines_only) {}

bool LibsvmReader::next() {
  while (lines_.next()) {
    std::string_view line = lines_.fields()[0];
    line = line.substr(0, line.find('#'));
    const std::string_view label = take_word(line);
    if (label.empty()) continue;  // a comment
    if (parse_number(label, target_) != Number::finite)
      lines_.fail(fmt::format("expected a number as the target, found \"{}\"", shortened(label)));
    entries_.clear();
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
      if (word.starts_with("qid:"))
        ++qids_;
      else
        entries_.push_back(entry_of(word));
    }
    return true;
  }
  return false;
}

// index:value, behind the entries of this row so far.
SparseEntry LibsvmReader::entry_of(std::string_view word) const {
  const std::size_t colon = word.find(':');
  Index index = 0;
  const char* const stop = word.data() + std::min(colon, word.size());
  const auto [end, error] = std::from_chars(word.data(), stop, index);
  if (colon == std::string_view::npos || end != stop || error == std::errc::invalid_argument)
    fail(fmt::format("expected index:value, found \"{}\"", shortened(word)));
  if (error != std::errc() || index < 1 || index > most_sparse_features)
    fail(fmt::format("expected an index from 1 to {}, found {}", most_sparse_features,
                     shortened(word.substr(0, colon))));
  if (!entries_.empty() && index <= Index{entries_.back().index} + 1)
    fail(fmt::format("expected ascending indices, found {} after {}{}", index, entries_.back().index + 1,
                     index == Index{entries_.back().index} + 1 ? " (repeated)" : ""));
  double value = 0;
  if (parse_number(word.substr(colon + 1), value) != Number::finite)
    fail(fmt::format("expected a finite number for index {}, found \"{}\"", index, shortened(word.substr(colon + 1))));
  return {static_cast<std::uint32_t>(index - 1), static_cast<float>(value)};
}

std::int32_t class_of(const TargetRule& rule, double target) {
  const auto found = std::ranges::find(rule.classes, fmt::format("{}", target));
  return found == rule.classes.end() ? -1 : static_cast<std::int32_t>(found - rule.classes.begin());
}

namespace {

SparseRows read_rows(const std::filesystem::path& file) {
  SparseRows rows;
  for (LibsvmReader reader(file); reader.next();) rows.append(reader, reader.entries());
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
  const auto stratum = [&](double value) { return target.classes.empty() ? 0 : class_of(target, value); };
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

std::vector<std::string> notes_of(const SparseRows& data, const TargetRule& target, const PartRows& parts) {
  std::vector<std::string> notes;
  notes.push_back(fmt::format(
      "{}: {} rows, {} features, {:.2g} % of them not zero; {}", data.name, data.targets.size(), data.features,
      100 * static_cast<double>(data.entries.size()) /
          (static_cast<double>(data.features) * static_cast<double>(data.targets.size())),
      target.classes.empty() ? "regression" : fmt::format("{} classes", target.classes.size())));
  notes.push_back(fmt::format("{} rows for training, {} for validation, {} for testing",
                              rows_of(parts, Part::train).size(), rows_of(parts, Part::validation).size(),
                              rows_of(parts, Part::test).size()));
  if (data.qids > 0) notes.push_back(fmt::format("ignored {} qid", data.qids));
  return notes;
}

// The rows of a test file; features beyond those of the training file are left out, and counted in `notes`.
SparseRows read_test_rows(const std::filesystem::path& file, const Preprocessing& rules,
                          std::vector<std::string>& notes) {
  SparseRows test;
  Index beyond = 0;
  LibsvmReader reader(file);
  while (reader.next()) {
    if (!rules.target.classes.empty() && class_of(rules.target, reader.target()) < 0)
      reader.fail(fmt::format("expected one of the classes {}, found {}", fmt::join(rules.target.classes, ", "),
                              reader.target()));
    const auto all = reader.entries();
    const auto known = std::ranges::count_if(
        all, [&](const SparseEntry& e) { return Index{e.index} < rules.sparse_features; });  // they are in order
    beyond += static_cast<Index>(all.size()) - known;
    test.append(reader, all.first(known));
  }
  test.name = file.string();
  if (test.targets.empty()) throw FileError(fmt::format("{}: expected rows, found none", test.name));
  notes.push_back(fmt::format("{}: {} rows for testing", test.name, test.targets.size()));
  if (beyond > 0) notes.push_back(fmt::format("ignored {} numbers of features absent from the training file", beyond));
  return test;
}

}  // namespace

DataParts load_libsvm(const std::filesystem::path& file, const std::filesystem::path& test_file,
                      const TableOptions& options) {
  check(options);
  const auto data = std::make_shared<const SparseRows>(read_rows(file));
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
                   .notes = notes_of(*data, rules->target, parts)};
  if (test_file.empty()) {
    result.provenance += fmt::format(", {:g} % of them drawn for testing", 100 * options.test_fraction);
    return result;
  }
  const auto test = std::make_shared<const SparseRows>(read_test_rows(test_file, *rules, result.notes));
  std::vector<std::uint32_t> all(test->targets.size());
  std::iota(all.begin(), all.end(), 0u);
  result.test = std::make_shared<SparsePart>(test, rules, std::move(all));
  result.provenance += fmt::format(", tested on {} ({} rows)", test->name, test->targets.size());
  return result;
}

}  // namespace espalier
