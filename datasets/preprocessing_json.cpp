// A Preprocessing as JSON: preprocessing.json, beside the model.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "espalier/core/error.h"
#include "espalier/datasets/json-inl.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/datasets/quoted.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;
constexpr int format_version = 1;
constexpr std::array kinds{ColumnKind::numeric, ColumnKind::binary, ColumnKind::categorical, ColumnKind::ordinal,
                           ColumnKind::ignored};

// What is not in files of earlier versions is written only where it says something.
void add_offset(Json& json, double offset) {
  if (offset != 0) json["offset"] = offset;
}

Json json_of(const ColumnRule& c) {
  Json json = {{"name", c.name}, {"kind", name_of(c.kind)}};
  if (c.kind == ColumnKind::ignored) {
    json["why"] = c.why;
    return json;
  }
  if (c.kind == ColumnKind::numeric) add_offset(json, c.offset);
  if (c.kind == ColumnKind::numeric || c.kind == ColumnKind::ordinal)
    json.update(
        {{"centre", c.scaling.centre}, {"scale", c.scaling.scale}, {"fill", c.fill}, {"bounded", c.scaling.bounded}});
  if (!c.scaling.knots.empty()) json.update({{"knots", c.scaling.knots}, {"scores", c.scaling.scores}});
  if (!c.scaling.edges.empty()) json["edges"] = c.scaling.edges;
  if (c.kind == ColumnKind::numeric && std::isfinite(c.low) && std::isfinite(c.high))
    json.update({{"low", c.low}, {"high", c.high}});
  if (c.kind != ColumnKind::numeric) json["words"] = c.words;
  json["other"] = c.other;
  json["missing"] = c.missing;
  return json;
}

Json json_of(const TargetRule& target) {
  Json json = {{"name", target.name}};
  if (!target.classes.empty()) {
    json["classes"] = target.classes;
    return json;
  }
  add_offset(json, target.offset);
  json.update({{"mean", target.mean}, {"deviation", target.deviation}});
  return json;
}

Json json_of(const Dialect& dialect) {
  return {{"delimiter", name_of_delimiter(dialect.delimiter)},
          {"header", name_of(dialect.header)},
          {"decimal", name_of_decimal(dialect.decimal)},
          {"charset", name_of(dialect.charset)}};
}

// Reads what json_of wrote. Throws nlohmann's exceptions and FileError.
class JsonReader {
 public:
  explicit JsonReader(const std::string& file) : file_(file) {}

  void expect(bool condition, const std::string& what) const {
    if (!condition) throw FileError(fmt::format("{}: expected {}", file_, what));
  }

  ColumnRule column(const nlohmann::json& from) const {
    ColumnRule c;
    c.name = from.at("name");
    const std::string kind = from.at("kind");
    const auto known = std::ranges::find(kinds, kind, [](ColumnKind k) { return name_of(k); });
    expect(known != kinds.end(), fmt::format("a kind of column {}, found {}", shown(c.name), quoted(kind)));
    c.kind = *known;
    if (c.kind == ColumnKind::ignored) {
      c.why = from.at("why");
      return c;
    }
    c.other = from.at("other");
    c.missing = from.at("missing");
    if (c.kind != ColumnKind::numeric) c.words = from.at("words").get<std::vector<std::string>>();
    expect(c.kind != ColumnKind::binary || c.words.size() == 2, fmt::format("two words of column {}", shown(c.name)));
    if (c.kind == ColumnKind::numeric || c.kind == ColumnKind::ordinal) {
      c.scaling.centre = from.at("centre");
      c.scaling.scale = from.at("scale");
      c.scaling.bounded = from.at("bounded");
      c.fill = from.at("fill");
      c.offset = from.value("offset", c.offset);
      c.low = from.value("low", c.low);
      c.high = from.value("high", c.high);
      expect(std::isfinite(c.scaling.centre) && std::isfinite(c.scaling.scale) && c.scaling.scale > 0 &&
                 std::isfinite(c.fill) && std::isfinite(c.offset) && c.low <= c.high,
             fmt::format("finite numbers and a positive scale of column {}", shown(c.name)));
    }
    if (c.kind == ColumnKind::numeric) read_points(from, c);
    return c;
  }

  TargetRule target(const nlohmann::json& from) const {
    TargetRule target{.name = from.at("name"), .classes = {}};
    if (from.contains("classes")) {
      target.classes = from.at("classes").get<std::vector<std::string>>();
      expect(target.classes.size() >= 2, "at least two classes");
      return target;
    }
    target.mean = from.at("mean");
    target.deviation = from.at("deviation");
    target.offset = from.value("offset", target.offset);
    expect(std::isfinite(target.mean) && std::isfinite(target.deviation) && target.deviation > 0 &&
               std::isfinite(target.offset),
           "a finite mean and a positive deviation of the target");
    return target;
  }

  Dialect dialect(const nlohmann::json& from) const {
    try {
      return {.delimiter = delimiter_named(from.at("delimiter").get<std::string>()),
              .header = header_named(from.at("header").get<std::string>()),
              .decimal = decimal_named(from.at("decimal").get<std::string>()),
              .charset = charset_named(from.at("charset").get<std::string>())};
    } catch (const UsageError& error) {  // a word that is none of those known
      throw FileError(fmt::format("{}: {}", file_, error.what()));
    }
  }

 private:
  // The points of a scaling that has some.
  void read_points(const nlohmann::json& from, ColumnRule& c) const {
    constexpr double most_number = std::numeric_limits<float>::max();
    const std::string column = shown(c.name);
    Scaling& s = c.scaling;
    s.knots = numbers(from, "knots", column, most_knots, most_number);
    s.scores = numbers(from, "scores", column, most_knots, most_score);
    s.edges = numbers(from, "edges", column, most_bins + 1, most_number);
    for (const auto& points : {s.knots, s.edges})
      expect(std::ranges::adjacent_find(points, std::ranges::greater_equal()) == points.end(),
             fmt::format("knots and edges of column {} in strictly increasing order", column));
    expect(std::ranges::is_sorted(s.scores), fmt::format("scores of column {} in increasing order", column));
    expect(s.knots.size() == s.scores.size(), fmt::format("as many scores as knots of column {}, found {} and {}",
                                                          column, s.scores.size(), s.knots.size()));
    expect(s.knots.empty() || s.edges.empty(), fmt::format("either knots or edges of column {}", column));
  }

  // The list of that key, at least two numbers of at most `greatest`; none if there is no such key.
  std::vector<float> numbers(const nlohmann::json& from, const char* key, const std::string& column, Index most,
                             double greatest) const {
    std::vector<float> read;
    if (!from.contains(key)) return read;
    const nlohmann::json& list = from.at(key);
    const auto good = [&](const nlohmann::json& number) {
      return number.is_number() && std::abs(number.get<double>()) <= greatest;
    };
    expect(
        list.is_array() && list.size() >= 2 && list.size() <= static_cast<std::size_t>(most) &&
            std::ranges::all_of(list, good),
        fmt::format("\"{}\" of column {}: 2 to {} numbers from {:g} to {:g}", key, column, most, -greatest, greatest));
    for (const nlohmann::json& number : list) read.push_back(static_cast<float>(number.get<double>()));
    return read;
  }

  const std::string& file_;
};

}  // namespace

std::string to_json(const Preprocessing& p) {
  Json columns = Json::array();
  for (const ColumnRule& column : p.columns) columns.push_back(json_of(column));
  Json json = {{"version", format_version}, {"target", json_of(p.target)}};
  if (p.dialect != Dialect{}) json["dialect"] = json_of(p.dialect);
  json.update({{"missing_marks", p.missing_marks}, {"sparse_features", p.sparse_features}, {"columns", columns}});
  // Words are whatever bytes the file had; those that are no UTF-8 are replaced.
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Preprocessing preprocessing_from_json(const std::string& text, const std::string& file) {
  const JsonReader reader(file);
  try {
    const auto json = json_in<nlohmann::json>(text, file);
    reader.expect(json.at("version") == format_version, "version 1");
    Preprocessing p;
    p.missing_marks = json.at("missing_marks").get<std::vector<std::string>>();
    const nlohmann::json& sparse = json.at("sparse_features");
    reader.expect(sparse.is_number_integer() && sparse.get<Index>() >= 0 && sparse.get<Index>() <= Index{1} << 31,
                  "0 to 2^31 sparse features");
    p.sparse_features = sparse;
    p.target = reader.target(json.at("target"));
    if (json.contains("dialect")) p.dialect = reader.dialect(json.at("dialect"));
    for (const auto& column : json.at("columns")) p.columns.push_back(reader.column(column));
    reader.expect((p.sparse_features > 0) == p.columns.empty() && p.features() > 0, "columns or sparse features");
    return p;
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{}: expected a preprocessing, found: {}", file, error.what()));
  }
}

}  // namespace espalier
