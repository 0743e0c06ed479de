#include "espalier/experiment/reproduce.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/config_toml-inl.h"
#include "espalier/experiment/recipes.h"

namespace espalier {
namespace {

constexpr std::uintmax_t most_lines_bytes = 1 << 28;

// --- experiments -----------------------------------------------------------------------------------------------------

// What decides the bits of a training without pruning.
RunConfig without_pruning(const RunConfig& c) {
  return {.data = c.data,
          .validation = c.validation,
          .augment = c.augment,
          .table = {.scaling = c.table.scaling},
          .model = c.model,
          .members = c.members,
          .lanes = c.lanes,
          .epochs = c.epochs,
          .patience = c.patience,
          .batch = c.batch,
          .optimizer = c.optimizer,
          .rate = c.rate,
          .clip_norm = c.clip_norm,
          .loss = c.loss,
          .huber_delta = c.huber_delta,
          .quantile = c.quantile,
          .class_weights = c.class_weights};
}

std::string digest_of(RunConfig c) {
  const RunConfig plain;
  c.data_dir = plain.data_dir;
  c.seed = plain.seed;
  c.threads = plain.threads;
  c.dense_twin = plain.dense_twin;
  c.baselines = plain.baselines;
  return fmt::format("{:016x}", Random(0, to_toml(c)).bits(0));
}

// What decides the linear baseline: the data alone.
std::string linear_digest(const RunConfig& c) {
  return fmt::format("{:016x}", Random(0, fmt::format("linear, solved: {}, {}", c.data, c.validation)).bits(0));
}

// root[key], of the kind that is wanted, or nothing.
template <typename T>
std::optional<T> value_of(const toml::table& root, const char* key) {
  const auto node = root[key];
  if (!node) return {};
  const auto value = node.value<T>();
  if (!value)
    throw FileError(fmt::format("line {}: {} has a value of the wrong kind", node.node()->source().begin.line, key));
  return value;
}

std::vector<double> densities_of(const toml::table& root, double otherwise) {
  if (const toml::array* list = root["density"].as_array()) {
    std::vector<double> densities;
    for (const toml::node& node : *list) densities.push_back(node.value<double>().value_or(0));
    return densities;
  }
  return {value_of<double>(root, "density").value_or(otherwise)};
}

std::optional<double> published_at(const toml::table& root, double density) {
  const toml::table* by_density = root["published"].as_table();
  if (!by_density) return value_of<double>(root, "published");
  return value_of<double>(*by_density, fmt::format("{:g}", density).c_str());
}

void apply_recipe(const toml::table& of, RunConfig& config) {
  if (const auto recipe = value_of<std::string>(of, "recipe")) apply(recipe_named(*recipe), config);
}

// Appends the rows of one experiment, on one of the data sets if there are any.
void add_rows(std::vector<ReproduceRow>& rows, const toml::table& defaults, const toml::table* dataset,
              const toml::table& own) {
  ReproduceRow row;
  apply_recipe(defaults, row.config);
  read_sections(row.config, defaults, "defaults", {"seeds", "recipe"});
  if (dataset) {
    apply_recipe(*dataset, row.config);
    read_sections(row.config, *dataset, "dataset", {"name", "recipe"});
  }
  apply_recipe(own, row.config);
  read_sections(row.config, own, "experiment",
                {"name", "recipe", "method", "density", "seeds", "published", "published_gain", "source", "reason"});
  row.name = value_of<std::string>(own, "name").value_or("");
  require(!row.name.empty(), "expected a name");
  if (dataset) {
    row.dataset = value_of<std::string>(*dataset, "name").value_or("(without a name)");
    row.experiment = row.name;
    row.name = row.dataset + ": " + row.experiment;
  }
  const auto method = value_of<std::string>(own, "method").value_or(row.config.method);
  row.linear = method == "linear";
  row.dense = row.linear || method == "dense";
  if (!row.dense) row.config.method = method;
  row.column = own["density"].is_array();
  const std::int64_t seeds =
      value_of<std::int64_t>(own, "seeds").value_or(value_of<std::int64_t>(defaults, "seeds").value_or(1));
  require(seeds >= 1 && seeds <= static_cast<std::int64_t>(most_seeds), "expected 1 to {} seeds, got {}", most_seeds,
          seeds);
  row.seeds = static_cast<std::uint64_t>(seeds);
  row.published_gain = value_of<double>(own, "published_gain");
  row.source = value_of<std::string>(own, "source").value_or("");
  row.reason = value_of<std::string>(own, "reason").value_or("");
  for (const double density : row.dense ? std::vector<double>{1} : densities_of(own, row.config.schedule.density)) {
    require(density > 0 && density <= 1, "expected densities in (0, 1], got {}", density);
    ReproduceRow& added = rows.emplace_back(row);
    added.config.schedule.density = density;
    added.published_error = published_at(own, density);
    added.config = settled(added.config);
    added.twin = row.linear ? linear_digest(added.config) : digest_of(without_pruning(added.config));
    added.digest = row.dense ? added.twin : digest_of(added.config);
    RunConfig found = added.config;
    found.control = "none";
    added.found = row.dense ? added.twin : digest_of(found);
  }
}

}  // namespace

std::vector<ReproduceRow> read_experiments(const std::filesystem::path& file) {
  const toml::table root = parse_toml(file);
  const toml::table none;
  const toml::table& defaults = root["defaults"].is_table() ? *root["defaults"].as_table() : none;
  const toml::array* experiments = root["experiment"].as_array();
  for (const auto& [key, value] : root)
    if (key != "defaults" && key != "experiment" && key != "dataset")
      throw FileError(fmt::format("{}: line {}: expected [defaults], [[dataset]] and [[experiment]], found \"{}\"",
                                  file.string(), value.source().begin.line, std::string(key.str())));
  if (!experiments || experiments->empty())
    throw FileError(fmt::format("{}: expected at least one [[experiment]], found none", file.string()));
  std::vector<const toml::table*> datasets;  // null: of none
  if (const toml::array* list = root["dataset"].as_array())
    for (const toml::node& node : *list) datasets.push_back(node.is_table() ? node.as_table() : &none);
  if (datasets.empty()) datasets.push_back(nullptr);
  std::vector<ReproduceRow> rows;
  for (const toml::table* dataset : datasets)
    for (const toml::node& node : *experiments) {
      const toml::table* own = node.as_table();
      const std::string name = own ? (*own)["name"].value_or("(without a name)") : "";
      try {
        if (!own) throw FileError("expected a table");
        add_rows(rows, defaults, dataset, *own);
      } catch (const Error& error) {
        throw FileError(fmt::format("{}: line {}: experiment \"{}\": {}", file.string(), node.source().begin.line, name,
                                    error.what()));
      }
    }
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (rows[i].label() == rows[j].label())
        throw FileError(fmt::format("{}: experiment \"{}\" is defined twice", file.string(), rows[i].label()));
  return rows;
}

ReproduceResults read_results(const std::filesystem::path& file) {
  ReproduceResults results;
  if (!std::filesystem::exists(file)) return results;
  const std::string text = read_file(file, most_lines_bytes);
  std::size_t number = 0;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    ++number;
    try {
      ReproduceResult result = result_of_line(text.substr(at, end - at));
      const std::string key = result.key;
      results[key] = std::move(result);
    } catch (const nlohmann::json::exception& error) {
      throw FileError(fmt::format("{}: line {}: expected a result, found: {}", file.string(), number, error.what()));
    }
  }
  return results;
}

}  // namespace espalier
