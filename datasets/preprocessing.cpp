#include "espalier/datasets/preprocessing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cmath>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"

namespace espalier {
namespace {

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

// An edge of a bin in original units, in as few digits as tell it from others.
std::string edge_text(const ColumnRule& column, std::size_t k) {
  const float edge = column.scaling.edges[k];
  return column.offset == 0 ? fmt::format("{}", edge) : fmt::format("{}", column.offset + static_cast<double>(edge));
}

}  // namespace

std::string_view name_of(ColumnKind kind) {
  constexpr std::array<std::string_view, 5> names{"numeric", "binary", "categorical", "ordinal", "ignored"};
  return names[static_cast<std::size_t>(kind)];
}

Index ColumnRule::features() const {
  switch (kind) {
    case ColumnKind::numeric:
    case ColumnKind::ordinal:
      return scaling.features() + missing;
    case ColumnKind::binary:
      return 1;
    case ColumnKind::categorical:
      return static_cast<Index>(words.size()) + other + missing;
    case ColumnKind::ignored:
      break;
  }
  return 0;
}

Index Preprocessing::features() const {
  Index sum = sparse_features;
  for (const ColumnRule& column : columns) sum += column.features();
  return sum;
}

std::vector<std::string> Preprocessing::feature_names() const {
  std::vector<std::string> names;
  for (Index f = 0; f < sparse_features; ++f) names.push_back(column_name(f));
  for (const ColumnRule& column : columns) {
    if (column.kind == ColumnKind::numeric || column.kind == ColumnKind::ordinal) names.push_back(column.name);
    if (column.kind == ColumnKind::numeric)
      for (std::size_t k = 1; k < column.scaling.edges.size(); ++k)
        names.push_back(fmt::format("{} from {} to {}", column.name, edge_text(column, k - 1), edge_text(column, k)));
    if (column.kind == ColumnKind::binary) names.push_back(fmt::format("{} = {}", column.name, column.words.back()));
    if (column.kind == ColumnKind::categorical)
      for (const std::string& word : column.words) names.push_back(fmt::format("{} = {}", column.name, word));
    if (column.other) names.push_back(column.name + " other");
    if (column.missing) names.push_back(column.name + " missing");
  }
  return names;
}

std::vector<Index> Preprocessing::source_columns() const {
  std::vector<Index> sources;
  for (Index f = 0; f < sparse_features; ++f) sources.push_back(f);
  for (std::size_t c = 0; c < columns.size(); ++c)
    sources.insert(sources.end(), static_cast<std::size_t>(columns[c].features()), static_cast<Index>(c));
  return sources;
}

std::string Preprocessing::column_name(Index column) const {
  return sparse_features ? std::to_string(column + 1) : columns[static_cast<std::size_t>(column)].name;
}

// --- missing marks -----------------------------------------------------------------------------------------------

std::vector<std::string> usual_missing_marks() {
  return {"?",   "na",   "n/a",      "nan",     "-nan",   "null",     "none",   "<na>",
          "#na", "#n/a", "#n/a n/a", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan"};
}

MissingMarks::MissingMarks(const std::vector<std::string>& marks) {
  for (const std::string& mark : marks) {
    if (mark.empty()) continue;  // an empty field is missing anyway
    std::string& own = marks_.emplace_back(mark);
    std::ranges::transform(own, own.begin(), lower);
    begins_.set(static_cast<unsigned char>(own[0]));
    begins_.set(static_cast<unsigned char>(std::toupper(static_cast<unsigned char>(own[0]))));
    long double value = 0;
    numeric_ = numeric_ || read_number(own, '.', value) != Number::none || read_number(own, ',', value) != Number::none;
  }
}

bool MissingMarks::known(std::string_view field) const {
  return std::ranges::any_of(marks_,
                             [&](const std::string& mark) { return std::ranges::equal(mark, field, {}, {}, lower); });
}

// --- targets -----------------------------------------------------------------------------------------------------

std::string TargetRule::text_of(double output) const {
  const double inner = mean + deviation * output, size = std::abs(offset + mean);
  const long double value = static_cast<long double>(offset) + static_cast<long double>(inner);
  // Nine digits, which tell all floats apart, or so many that four of them are about the deviation.
  constexpr int least = 9, most = 18;
  const auto whole = [](double number) { return static_cast<int>(std::clamp(number, -1000.0, 1000.0)); };
  const double ratio = size > 0 && deviation > 0 ? std::log10(size / deviation) : 0;
  const int digits = std::clamp(whole(std::ceil(ratio)) + 4, least, most);
  if (offset == 0) return fmt::format("{:.{}g}", inner, digits);
  const int before_the_point = whole(std::floor(std::log10(size))) + 1;
  return fmt::format("{:.{}f}", value, std::clamp(digits - before_the_point, 0, most));
}

// --- Encoder -----------------------------------------------------------------------------------------------------

Encoder::Encoder(Preprocessing rules)
    : rules_(std::move(rules)), decimal_(rules_.dialect.decimal == ',' ? ',' : '.'), marks_(rules_.missing_marks) {
  for (const ColumnRule& column : rules_.columns) {
    first_.push_back(features_);
    features_ += column.features();
    WordMap& map = words_.emplace_back();
    for (std::size_t w = 0; w < column.words.size(); ++w) map.emplace(column.words[w], static_cast<Cell>(w));
  }
  features_ += rules_.sparse_features;
  for (std::size_t k = 0; k < rules_.target.classes.size(); ++k) {
    const std::string& name = rules_.target.classes[k];
    const auto label = static_cast<std::int32_t>(k);
    classes_.emplace(name, label);
    if (long double number = 0; read_number(name, decimal_, number) == Number::finite)
      classes_by_number_.emplace(number, label);
  }
}

Cell Encoder::encode(std::size_t c, std::string_view field, EncodingCounts& counts) const {
  const ColumnRule& column = rules_.columns[c];
  const auto missing = [&](auto cell) {
    ++counts.missing[c];
    return cell;
  };
  constexpr Cell no_number = std::bit_cast<Cell>(std::numeric_limits<float>::quiet_NaN());
  if (column.kind == ColumnKind::ignored) return 0;
  if (column.kind == ColumnKind::numeric) {
    if (field.empty() || (marks_.numeric() && marks_.holds(field))) return missing(no_number);
    double value = 0;
    switch (number_of(field, decimal_, column.offset, value)) {
      case Number::finite: {
        const auto number = static_cast<float>(value);
        counts.outside[c] += number < column.low || number > column.high;
        return std::bit_cast<Cell>(number);
      }
      case Number::infinite:
        ++counts.infinite[c];
        return no_number;
      case Number::none:
        break;
    }
    if (marks_.holds(field)) return missing(no_number);
    counts.stray[c].add(field, counts.line);
    return no_number;
  }
  if (marks_.holds(field)) return missing(missing_word);
  const auto found = words_[c].find(field);
  if (found != words_[c].end()) return found->second;
  ++counts.unseen[c];
  return unseen_word;
}

void Encoder::expand(std::span<const Cell> cells, std::span<Real> features) const {
  std::ranges::fill(features, Real{0});
  for (std::size_t c = 0; c < rules_.columns.size(); ++c) {
    const ColumnRule& column = rules_.columns[c];
    const auto f = static_cast<std::size_t>(first_[c]);
    const auto words = static_cast<Cell>(column.words.size());
    const Cell cell = cells[c];
    switch (column.kind) {
      case ColumnKind::numeric:
      case ColumnKind::ordinal: {
        const bool known = column.kind == ColumnKind::ordinal ? cell < words : !std::isnan(std::bit_cast<float>(cell));
        const double number = column.kind == ColumnKind::ordinal ? static_cast<double>(cell)
                                                                 : static_cast<double>(std::bit_cast<float>(cell));
        column.scaling.write(known ? number : column.fill, features.subspan(f));
        const bool missing = column.kind == ColumnKind::ordinal ? cell == missing_word : !known;
        if (column.missing && missing) features[f + column.scaling.features()] = 1;
        break;
      }
      case ColumnKind::binary:
        features[f] = cell < words ? static_cast<Real>(cell) : Real{0.5};
        break;
      case ColumnKind::categorical:
        if (cell < words)
          features[f + cell] = 1;
        else if (cell == missing_word && column.missing)
          features[f + words + column.other] = 1;
        else if (column.other)
          features[f + words] = 1;
        break;
      case ColumnKind::ignored:
        break;
    }
  }
}

std::int32_t Encoder::label(std::string_view field) const {
  if (const auto found = classes_.find(field); found != classes_.end()) return found->second;
  if (marks_.holds(field)) return -1;
  if (long double number = 0; read_number(field, decimal_, number) == Number::finite)
    if (const auto found = classes_by_number_.find(number); found != classes_by_number_.end()) return found->second;
  constexpr std::size_t most = 12;
  const auto& names = rules_.target.classes;
  std::string known;
  for (std::size_t k = 0; k < std::min(names.size(), most); ++k) known += (k ? ", " : "") + shown(names[k]);
  throw BadField(fmt::format("column {}: expected one of the classes {}{}, found {}", shown(rules_.target.name), known,
                             names.size() > most ? ", ..." : "", quoted(field)));
}

double Encoder::value(std::string_view field) const {
  double number = 0;
  if (!(marks_.numeric() && marks_.holds(field)) &&
      number_of(field, decimal_, rules_.target.offset, number) == Number::finite)
    return number;
  if (marks_.holds(field)) return std::numeric_limits<double>::quiet_NaN();
  throw BadField(
      fmt::format("column {}: expected a finite number, found {}", shown(rules_.target.name), quoted(field)));
}

}  // namespace espalier
