#include "espalier/datasets/table/reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table/notes.h"
#include "espalier/datasets/table/profile.h"

namespace espalier {
namespace {

// Whether the columns are called c1, c2, ..., as those of a file without a header are.
bool has_made_up_names(const Preprocessing& rules) {
  std::vector<std::string> names{rules.target.name}, made_up;
  for (const ColumnRule& column : rules.columns) names.push_back(column.name);
  for (std::size_t c = 0; c < names.size(); ++c) made_up.push_back(fmt::format("c{}", c + 1));
  return std::ranges::is_permutation(names, made_up);
}

// How the training file was written, but for what is asked for.
CsvOptions options_for(const Preprocessing& rules, CsvOptions options) {
  const Dialect& trained = rules.dialect;
  Dialect& own = options.dialect;
  if (own.delimiter == 0) own.delimiter = trained.delimiter;
  if (own.header == Header::detect) own.header = trained.header;
  if (own.header == Header::detect) own.header = has_made_up_names(rules) ? Header::no : Header::yes;
  if (own.decimal == 0) own.decimal = trained.decimal;
  if (own.charset == Charset::detect) own.charset = trained.charset;
  return options;
}

// An encoder of numbers with this decimal mark.
EncoderPtr with_decimal(EncoderPtr encoder, char decimal) {
  if (decimal == 0 || decimal == encoder->rules().dialect.decimal) return encoder;
  Preprocessing rules = encoder->rules();
  rules.dialect.decimal = decimal;
  return std::make_shared<const Encoder>(std::move(rules));
}

// Why a file may seem to have a single column.
std::string cut_as_in_training(const CsvReader& reader) {
  return fmt::format(" (a single column, cut as the training file was: delimiter {})",
                     name_of_delimiter(reader.delimiter()));
}

}  // namespace

TableReader::TableReader(const std::filesystem::path& file, EncoderPtr encoder, CsvOptions asked)
    : encoder_(with_decimal(std::move(encoder), asked.dialect.decimal)),
      reader_(file, options_for(encoder_->rules(), asked)),
      cells_(encoder_->rules().columns.size()),
      counts_(cells_.size()) {
  const Preprocessing& rules = encoder_->rules();
  const std::vector<std::string>& names = reader_.columns();
  Index used = 0;
  for (const ColumnRule& column : rules.columns) {
    const auto found = std::ranges::find(names, column.name);
    if (column.kind != ColumnKind::ignored && found == names.end())
      reader_.fail(fmt::format("expected a column {}, which the model was trained with, found {}{}", shown(column.name),
                               table::listed_names(names), names.size() == 1 ? cut_as_in_training(reader_) : ""));
    used += found != names.end();
    field_of_.push_back(found == names.end() ? 0 : static_cast<std::size_t>(found - names.begin()));
  }
  if (const auto found = std::ranges::find(names, rules.target.name); found != names.end())
    target_ = found - names.begin();
  extra_ = static_cast<Index>(names.size()) - used - has_target();
}

TableReader::Samples::Samples(TableReader& reader)
    : reader_(reader), rows_(reader.reader_, [&reader](std::size_t field) {
        const auto column = std::ranges::find(reader.field_of_, field);
        const auto& columns = reader.encoder_->rules().columns;
        return column != reader.field_of_.end() &&
               columns[static_cast<std::size_t>(column - reader.field_of_.begin())].kind == ColumnKind::numeric;
      }) {}

bool TableReader::encode(std::span<const std::string_view> fields, Index line) {
  ++counts_.rows;
  counts_.line = line;
  for (std::size_t c = 0; c < cells_.size(); ++c) cells_[c] = encoder_->encode(c, fields[field_of_[c]], counts_);
  target_field_ = has_target() ? fields[static_cast<std::size_t>(target_)] : std::string_view();
  return true;
}

void TableReader::fail(const std::string& what) const {
  throw FileError(fmt::format("{}: line {}: {}", reader_.name(), line(), what));
}

std::int32_t TableReader::label() const {
  try {
    return encoder_->label(target_field_);
  } catch (const BadField& error) {
    fail(error.what());
  }
}

double TableReader::value() const {
  try {
    return encoder_->value(target_field_);
  } catch (const BadField& error) {
    fail(error.what());
  }
}

double TableReader::known_target() {
  const bool classes = !encoder_->rules().target.classes.empty();
  try {
    return classes ? encoder_->label(target_field_) : encoder_->value(target_field_);
  } catch (const BadField&) {
    counts_.target.add(target_field_, line());
    return classes ? -1 : std::numeric_limits<double>::quiet_NaN();
  }
}

std::string TableReader::replaced() const {
  const Preprocessing& rules = encoder_->rules();
  std::vector<std::string> names, texts;
  for (const ColumnRule& column : rules.columns) names.push_back(column.name);
  const auto add = [&](const std::string& what, const std::vector<Index>& counts) {
    std::vector<std::pair<std::string, Index>> columns;
    for (std::size_t c = 0; c < counts.size(); ++c)
      if (counts[c] > 0) columns.emplace_back(names[c], counts[c]);
    if (!columns.empty()) texts.push_back(fmt::format("{}: {}", what, table::counts_text(columns)));
  };
  add("missing values", counts_.missing);
  if (const std::string strays = table::strays_text(counts_.stray, names); !strays.empty())
    texts.push_back("words in columns of numbers, taken for missing: " + strays);
  add("words that are rare in training, or were never seen there", counts_.unseen);
  // What becomes of such numbers is a matter of the column's scaling.
  std::map<std::string_view, std::vector<Index>> outside;
  for (std::size_t c = 0; c < names.size(); ++c) {
    if (counts_.outside[c] == 0) continue;
    std::vector<Index>& counts = outside[rules.columns[c].scaling.beyond()];
    counts.resize(names.size());
    counts[c] = counts_.outside[c];
  }
  for (const auto& [fate, counts] : outside)
    add(fmt::format("numbers outside the range of training, {}", fate), counts);
  add("infinite numbers, taken for missing", counts_.infinite);
  if (const StrayWords& target = counts_.target; target.count > 0)
    texts.push_back(fmt::format("column {}: {} are no {}, the first is {} in line {}", shown(rules.target.name),
                                target.count, rules.target.classes.empty() ? "numbers" : "classes of the model",
                                quoted(target.first), target.line));
  return fmt::format("{}", fmt::join(texts, "; "));
}

}  // namespace espalier
