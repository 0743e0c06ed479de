#include "espalier/datasets/table/reader.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/datasets/table/notes.h"

namespace espalier {
namespace {

// Columns of a file without a header are called c1, c2, ...; then others have none, too.
CsvOptions options_for(const Preprocessing& rules) {
  const bool unnamed =
      rules.target.name.starts_with('c') && rules.target.name.find_first_not_of("0123456789", 1) == std::string::npos;
  return {.dialect = {.header = unnamed ? Header::no : Header::yes}};
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
    if (!columns.empty()) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", what, table::counts_text(columns));
  };
  add("missing values", counts_.missing);
  add("words that are rare in training, or were never seen there", counts_.unseen);
  add("infinite numbers, taken for missing", counts_.infinite);
  return text;
}

}  // namespace espalier
