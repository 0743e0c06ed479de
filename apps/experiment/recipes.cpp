#include "espalier/experiment/recipes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/experiment/config_toml-inl.h"

namespace espalier {

const std::vector<std::string>& recipe_kinds() {
  static const std::vector<std::string> kinds{"image-flat", "image-cnn", "classification-table", "regression-table",
                                              "sequence"};
  return kinds;
}

// Made by CMake from apps/recipes/*.toml.
struct EmbeddedFile {
  const char *file, *text;
};
extern const EmbeddedFile embedded_recipes[];
extern const std::size_t embedded_recipe_count;

namespace {

constexpr std::uintmax_t most_recipe_bytes = 1 << 20;

// What bounds can be set on.
struct BoundedQuantity {
  const char* name;
  double (*of)(const DataProfile&);
};
constexpr std::array bounded_quantities{
    BoundedQuantity{"rows", [](const DataProfile& p) { return static_cast<double>(p.rows); }},
    BoundedQuantity{"features", [](const DataProfile& p) { return static_cast<double>(p.features); }},
    BoundedQuantity{"classes", [](const DataProfile& p) { return static_cast<double>(p.classes); }},
    BoundedQuantity{"zeros", [](const DataProfile& p) { return p.zeros; }}};

// These are the user's, or would make the race unfair.
constexpr std::array not_a_recipes{std::pair{"data", "name"},       std::pair{"data", "folder"},
                                   std::pair{"data", "validation"}, std::pair{"run", "seed"},
                                   std::pair{"run", "threads"},     std::pair{"run", "dense_twin"}};

[[noreturn]] void refuse(const std::string& file, const toml::node& node, const std::string& what) {
  throw FileError(fmt::format("{}: line {}: {}", file, node.source().begin.line, what));
}

std::string string_of(const toml::node& node, const std::string& file, const char* key) {
  if (!node.is_string()) refuse(file, node, fmt::format("expected recipe.{} to be a string", key));
  return **node.as_string();
}

// min_rows = 1000
void read_bound(Recipe& recipe, const std::string& key, const toml::node& node, const std::string& file) {
  for (const BoundedQuantity& q : bounded_quantities) {
    const bool least = key == fmt::format("min_{}", q.name);
    if (!least && key != fmt::format("max_{}", q.name)) continue;
    const auto value = node.value<double>();
    if (!node.is_number() || !value) refuse(file, node, fmt::format("expected recipe.{} to be a number", key));
    Bounds& bounds = recipe.bounds[q.name];
    (least ? bounds.least : bounds.most) = *value;
    return;
  }
  refuse(file, node, fmt::format("unknown key recipe.{}", key));
}

std::vector<Recipe> sorted(std::vector<Recipe> recipes) {
  std::ranges::sort(recipes, {}, &Recipe::name);
  return recipes;
}

}  // namespace

// --- data ------------------------------------------------------------------------------------------------------------

std::vector<std::string> DataProfile::kinds() const {
  const bool signal = shape.rank() == 2 || (shape.rank() == 3 && shape[1] == 1);  // [.., 1, W]: an image of one line
  if (signal) return {"sequence"};
  if (shape.rank() == 3)
    return classes > 0 ? std::vector<std::string>{"image-flat", "image-cnn"} : std::vector<std::string>{};
  return {classes > 0 ? "classification-table" : "regression-table"};
}

DataProfile profile_of(const DataParts& data) {
  const Dataset& set = *data.train;
  DataProfile p{.name = data.name,
                .shape = set.shape(),
                .rows = set.samples(),
                .validation_rows = data.validation->samples(),
                .features = set.shape().features(),
                .classes = set.classes()};
  require(p.rows > 0, "[recommend] {}: expected rows to train on, got none", p.name);
  const auto evenly = [&](Index i, Index of) { return i * p.rows / of; };  // the i-th of so many rows

  if (p.classes > 0) {
    constexpr Index most_labels = 1 << 16;
    const Index labels = std::min(p.rows, most_labels);
    std::vector<Index> counts(p.classes);
    for (Index i = 0; i < labels; ++i) ++counts[set.label(evenly(i, labels))];
    p.largest_class = static_cast<double>(std::ranges::max(counts)) / static_cast<double>(labels);
    p.smallest_class = static_cast<double>(std::ranges::min(counts)) / static_cast<double>(labels);
  }

  // values: [features, rows]
  constexpr Index most_rows = 256, most_values = 1 << 24;
  const Index rows = std::clamp<Index>(most_values / p.features, 1, std::min(p.rows, most_rows));
  std::vector<Real> row(p.features), values(row.size() * static_cast<std::size_t>(rows));
  for (Index i = 0; i < rows; ++i) {
    set.read(evenly(i, rows), row);
    for (std::size_t f = 0; f < row.size(); ++f)
      values[f * static_cast<std::size_t>(rows) + static_cast<std::size_t>(i)] = row[f];
  }
  double commonest = 0;
  for (std::size_t f = 0; f < row.size(); ++f) {
    const auto column = std::span(values).subspan(f * rows, rows);
    std::ranges::sort(column);
    std::ptrdiff_t longest = 0;
    for (auto from = column.begin(); from != column.end();) {
      const auto to = std::upper_bound(from, column.end(), *from);
      longest = std::max(longest, to - from);
      from = to;
    }
    commonest += static_cast<double>(longest);
  }
  p.zeros = commonest / static_cast<double>(values.size());
  return p;
}

std::string text_of(const DataProfile& p) {
  const std::string answer = p.classes > 0 ? fmt::format("{} classes of {:.1f} % to {:.1f} % of the rows", p.classes,
                                                         100 * p.smallest_class, 100 * p.largest_class)
                                           : "a number to predict";
  return fmt::format("{}: {} of shape {}, {} features, {:.0f} % zeros; {}; {} rows to train on, {} to validate", p.name,
                     p.shape.rank() == 3   ? "images"
                     : p.shape.rank() == 2 ? "sequences"
                                           : "a table with rows",
                     p.shape.text(), p.features, 100 * p.zeros, answer, p.rows, p.validation_rows);
}

// --- recipes ---------------------------------------------------------------------------------------------------------

Recipe read_recipe(const std::string& text, const std::string& file) {
  const toml::table root = parse_toml_text(text, file);
  Recipe recipe{.name = std::filesystem::path(file).stem().string(), .text = text};
  const toml::table* own = root["recipe"].as_table();
  if (!own) throw FileError(fmt::format("{}: expected a [recipe] section, found none", file));
  for (const auto& [name, node] : *own) {
    const std::string key(name.str());
    if (key == "kind") {
      recipe.kind = string_of(node, file, "kind");
      if (std::ranges::count(recipe_kinds(), recipe.kind) == 0)
        refuse(file, node,
               fmt::format("expected recipe.kind to be one of {}, found \"{}\"", fmt::join(recipe_kinds(), ", "),
                           recipe.kind));
    } else if (key == "summary") {
      recipe.summary = string_of(node, file, "summary");
    } else if (key == "place") {
      const auto place = node.value<Index>();
      if (!node.is_integer() || !place || *place < 1)
        refuse(file, node, "expected recipe.place to be a number from 1 on");
      recipe.place = *place;
    } else {
      read_bound(recipe, key, node, file);
    }
  }
  if (recipe.kind.empty() || recipe.summary.empty())
    refuse(file, *own, "expected recipe.kind and recipe.summary, found only one of them or none");
  for (const auto& [section, key] : not_a_recipes)
    if (const toml::node* node = root[section][key].node())
      refuse(file, *node, fmt::format("{}.{} is not a recipe's to set", section, key));
  RunConfig unused;
  read_sections(unused, root, file, {"recipe"});
  return recipe;
}

void apply(const Recipe& recipe, RunConfig& config) {
  const std::string file = recipe.name + ".toml";
  read_sections(config, parse_toml_text(recipe.text, file), file, {"recipe"});
}

bool fits(const Recipe& recipe, const DataProfile& profile) {
  const std::vector<std::string> wanted = profile.kinds();
  return std::ranges::count(wanted, recipe.kind) > 0 &&
         std::ranges::all_of(bounded_quantities, [&](const BoundedQuantity& q) {
           const auto bounds = recipe.bounds.find(q.name);
           return bounds == recipe.bounds.end() ||
                  (bounds->second.least <= q.of(profile) && q.of(profile) <= bounds->second.most);
         });
}

const std::vector<Recipe>& shipped_recipes() {
  static const std::vector<Recipe> all = [] {
    std::vector<Recipe> recipes;
    for (const EmbeddedFile& e : std::span(embedded_recipes, embedded_recipe_count))
      recipes.push_back(read_recipe(e.text, e.file));
    return sorted(std::move(recipes));
  }();
  return all;
}

std::vector<Recipe> recipes_in(const std::filesystem::path& folder) {
  std::vector<Recipe> recipes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".toml")
      recipes.push_back(read_recipe(read_file(entry.path(), most_recipe_bytes), entry.path().string()));
  if (recipes.empty())
    throw FileError(fmt::format("{}: expected recipes, files in .toml, found none", folder.string()));
  return sorted(std::move(recipes));
}

Recipe recipe_named(const std::string& name) {
  if (name.ends_with(".toml")) return read_recipe(read_file(name, most_recipe_bytes), name);
  const auto found = std::ranges::find(shipped_recipes(), name, &Recipe::name);
  if (found != shipped_recipes().end()) return *found;
  std::vector<std::string> known;
  for (const Recipe& recipe : shipped_recipes()) known.push_back(recipe.name);
  throw UsageError(fmt::format("[recipe] expected auto, a file that ends in .toml, or one of {}, got \"{}\"{}",
                               fmt::join(known, ", "), name, did_you_mean(name, known)));
}

}  // namespace espalier
