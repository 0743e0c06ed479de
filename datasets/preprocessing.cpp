#include "espalier/datasets/preprocessing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "espalier/core/error.h"
#include "espalier/datasets/csv.h"

namespace espalier {
namespace {

constexpr std::array kinds{ColumnKind::numeric, ColumnKind::binary, ColumnKind::categorical, ColumnKind::ordinal,
                           ColumnKind::ignored};
constexpr int format_version = 1;

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

std::string shortened(std::string_view text) {
  constexpr std::size_t most = 40;
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

}  // namespace

std::string_view name_of(ColumnKind kind) {
  constexpr std::array<std::string_view, kinds.size()> names{"numeric", "binary", "categorical", "ordinal", "ignored"};
  return names[static_cast<std::size_t>(kind)];
}

Index ColumnRule::features() const {
  switch (kind) {
    case ColumnKind::numeric:
    case ColumnKind::ordinal:
      return 1 + missing;
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

// --- JSON --------------------------------------------------------------------------------------------------------

std::string to_json(const Preprocessing& p) {
  nlohmann::ordered_json columns = nlohmann::ordered_json::array();
  for (const ColumnRule& c : p.columns) {
    nlohmann::ordered_json column = {{"name", c.name}, {"kind", name_of(c.kind)}};
    if (c.kind == ColumnKind::ignored) {
      column["why"] = c.why;
    } else {
      if (c.kind == ColumnKind::numeric || c.kind == ColumnKind::ordinal)
        column.update({{"centre", c.centre}, {"scale", c.scale}, {"fill", c.fill}, {"bounded", c.bounded}});
      if (c.kind != ColumnKind::numeric) column["words"] = c.words;
      column["other"] = c.other;
      column["missing"] = c.missing;
    }
    columns.push_back(column);
  }
  nlohmann::ordered_json target = {{"name", p.target.name}};
  if (p.target.classes.empty())
    target.update({{"mean", p.target.mean}, {"deviation", p.target.deviation}});
  else
    target["classes"] = p.target.classes;
  const nlohmann::ordered_json json = {{"version", format_version},
                                       {"target", target},
                                       {"missing_marks", p.missing_marks},
                                       {"sparse_features", p.sparse_features},
                                       {"columns", columns}};
  // Words are whatever bytes the file had; those that are no UTF-8 are replaced.
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Preprocessing preprocessing_from_json(const std::string& text, const std::string& file) {
  const auto expect = [&](bool condition, const std::string& what) {
    if (!condition) throw FileError(fmt::format("{}: expected {}", file, what));
  };
  try {
    const auto json = nlohmann::json::parse(text);
    expect(json.at("version") == format_version, "version 1");
    Preprocessing p;
    p.missing_marks = json.at("missing_marks").get<std::vector<std::string>>();
    p.sparse_features = json.at("sparse_features");
    expect(p.sparse_features >= 0 && p.sparse_features <= Index{1} << 31, "0 to 2^31 sparse features");
    const auto& target = json.at("target");
    p.target.name = target.at("name");
    if (target.contains("classes")) {
      p.target.classes = target.at("classes").get<std::vector<std::string>>();
      expect(p.target.classes.size() >= 2, "at least two classes");
    } else {
      p.target.mean = target.at("mean");
      p.target.deviation = target.at("deviation");
      expect(std::isfinite(p.target.mean) && std::isfinite(p.target.deviation) && p.target.deviation > 0,
             "a finite mean and a positive deviation of the target");
    }
    for (const auto& from : json.at("columns")) {
      ColumnRule& c = p.columns.emplace_back();
      c.name = from.at("name");
      const std::string kind = from.at("kind");
      const auto known = std::ranges::find(kinds, kind, [](ColumnKind k) { return name_of(k); });
      expect(known != kinds.end(), fmt::format("a kind of column {}, found \"{}\"", c.name, shortened(kind)));
      c.kind = *known;
      if (c.kind == ColumnKind::ignored) {
        c.why = from.at("why");
        continue;
      }
      c.other = from.at("other");
      c.missing = from.at("missing");
      if (c.kind != ColumnKind::numeric) c.words = from.at("words").get<std::vector<std::string>>();
      expect(c.kind != ColumnKind::binary || c.words.size() == 2, fmt::format("two words of column {}", c.name));
      if (c.kind == ColumnKind::numeric || c.kind == ColumnKind::ordinal) {
        c.centre = from.at("centre");
        c.scale = from.at("scale");
        c.fill = from.at("fill");
        c.bounded = from.at("bounded");
        expect(std::isfinite(c.centre) && std::isfinite(c.scale) && c.scale > 0 && std::isfinite(c.fill),
               fmt::format("finite numbers and a positive scale of column {}", c.name));
      }
    }
    expect((p.sparse_features > 0) == p.columns.empty() && p.features() > 0, "columns or sparse features");
    return p;
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{}: expected a preprocessing, found: {}", file, error.what()));
  }
}

// --- missing marks -----------------------------------------------------------------------------------------------

std::vector<std::string> usual_missing_marks() {
  return {"?", "na", "n/a", "nan", "null", "#n/a"};
}

MissingMarks::MissingMarks(const std::vector<std::string>& marks) {
  for (const std::string& mark : marks) {
    std::string& own = marks_.emplace_back(mark);
    std::ranges::transform(own, own.begin(), lower);
    longest_ = std::max(longest_, own.size());
    double value;
    numeric_ = numeric_ || parse_number(own, value) != Number::none;
  }
}

bool MissingMarks::known(std::string_view field) const {
  return std::ranges::any_of(marks_,
                             [&](const std::string& mark) { return std::ranges::equal(mark, field, {}, {}, lower); });
}

// --- Encoder -----------------------------------------------------------------------------------------------------

Encoder::Encoder(Preprocessing rules) : rules_(std::move(rules)), marks_(rules_.missing_marks) {
  for (const ColumnRule& column : rules_.columns) {
    first_.push_back(features_);
    features_ += column.features();
    WordMap& map = words_.emplace_back();
    for (std::size_t w = 0; w < column.words.size(); ++w) map.emplace(column.words[w], static_cast<Cell>(w));
  }
  features_ += rules_.sparse_features;
  for (std::size_t k = 0; k < rules_.target.classes.size(); ++k)
    classes_.emplace(rules_.target.classes[k], static_cast<std::int32_t>(k));
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
    switch (parse_number(field, value)) {
      case Number::finite:
        return std::bit_cast<Cell>(static_cast<float>(value));
      case Number::infinite:
        ++counts.infinite[c];
        return no_number;
      case Number::none:
        break;
    }
    if (marks_.holds(field)) return missing(no_number);
    throw BadField(fmt::format("column {}: expected a number, found \"{}\"", column.name, shortened(field)));
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
        double x = ((known ? number : column.fill) - column.centre) / column.scale;
        if (column.bounded) x /= std::sqrt(1 + x * x / 9);
        features[f] = static_cast<Real>(x);
        const bool missing = column.kind == ColumnKind::ordinal ? cell == missing_word : !known;
        if (column.missing && missing) features[f + 1] = 1;
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
  // 1, 1.0 and +1 are the same class.
  if (double number; parse_number(field, number) == Number::finite)
    if (const auto found = classes_.find(fmt::format("{}", number)); found != classes_.end()) return found->second;
  constexpr std::size_t most = 12;
  const auto& names = rules_.target.classes;
  throw BadField(fmt::format(
      "column {}: expected one of the classes {}{}, found \"{}\"", rules_.target.name,
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), most)), ", "),
      names.size() > most ? ", ..." : "", shortened(field)));
}

double Encoder::value(std::string_view field) const {
  double number = 0;
  if (!(marks_.numeric() && marks_.holds(field)) && parse_number(field, number) == Number::finite) return number;
  if (marks_.holds(field)) return std::numeric_limits<double>::quiet_NaN();
  throw BadField(
      fmt::format("column {}: expected a finite number, found \"{}\"", rules_.target.name, shortened(field)));
}

}  // namespace espalier
