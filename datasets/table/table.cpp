#include "espalier/datasets/table.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table/cells.h"
#include "espalier/datasets/table/fit.h"
#include "espalier/datasets/table/notes.h"
#include "espalier/datasets/table/profile.h"
#include "espalier/datasets/table/reader.h"
#include "espalier/datasets/table/split.h"
#include "espalier/datasets/table/target.h"

namespace espalier {
namespace {

using namespace table;

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
    const TargetRule& rule = target_rule();
    return classes() > 0 ? TargetScale{} : TargetScale{.mean = rule.offset + rule.mean, .deviation = rule.deviation};
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

// Draws the part of each row.
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
                    "a test file)",
                    table.name, table.cells.rows()));
  return parts;
}

DatasetPtr load_test(const std::filesystem::path& file, const EncoderPtr& encoder, const TableOptions& options,
                     std::vector<std::string>& notes) {
  TableReader reader(file, encoder, options.csv);
  TableReader::Samples samples(reader);
  const TargetRule& target = encoder->rules().target;
  if (!reader.has_target())
    throw FileError(fmt::format("{}: expected the target, a column {}, found none", file.string(), shown(target.name)));
  const std::size_t columns = encoder->rules().columns.size();
  std::unique_ptr<Table> table(new Table{.name = file.string(), .cells = {columns + 1, options.memory_bytes}});
  const bool classes = !target.classes.empty();
  std::vector<Cell> row(columns + 1);
  while (samples.next()) {
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
  for (const std::string& note : notes_of(reader.rows().skipped())) notes.push_back(file.string() + ": " + note);
  for (const std::string& note : notes_of(samples.left_out())) notes.push_back(file.string() + ": " + note);
  if (const std::string text = reader.replaced(); !text.empty()) notes.push_back(text);
  if (reader.extra_columns() > 0)
    notes.push_back(fmt::format("ignored {} columns absent from the training file", reader.extra_columns()));
  std::vector<Part> parts(static_cast<std::size_t>(table->cells.rows()), Part::test);
  return part_of(std::move(table), encoder, parts, Part::test);
}

DataParts load(const OpenTable& open, const std::filesystem::path& test_file, const TableOptions& options) {
  check(options);
  const Profile profile = profile_of(open, options);
  const TargetChoice choice = target_of(profile, options);
  const Layout layout = layout_of(profile, options);
  const Preprocessing target{
      .columns = {},
      .target = {.name = profile.names[profile.target], .classes = choice.classes, .offset = choice.offset},
      .missing_marks = missing_marks_of(options),
      .dialect = profile.dialect};
  const Encoder target_encoder(target);
  std::shared_ptr<Table> table =
      encode(*open(), profile, layout, {.encoder = target_encoder, .has_strays = choice.has_strays}, options);
  const std::vector<Part> parts =
      split_rows(*table, static_cast<Index>(choice.classes.size()), !test_file.empty(), options);
  const auto encoder = std::make_shared<const Encoder>(fit(*table, parts, profile, layout, target, options));
  DataParts result{.name = table->name};
  result.preprocessing = std::shared_ptr<const Preprocessing>(encoder, &encoder->rules());
  result.notes = notes_of(*table, profile, layout, choice, encoder->rules(), parts, options);
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

DataParts load_table(const std::filesystem::path& file, const std::filesystem::path& test_file,
                     const TableOptions& options) {
  return load([&] { return std::make_unique<CsvReader>(file, options.csv); }, test_file, options);
}

DataParts load_table_text(const std::string& name, const std::string& text, const TableOptions& options) {
  return load([&] { return std::make_unique<CsvReader>(name, text, options.csv); }, {}, options);
}

}  // namespace espalier
