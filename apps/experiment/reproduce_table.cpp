// The table of `espalier reproduce`: from rows and results to Markdown.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/experiment/reproduce.h"
#include "espalier/experiment/statistics.h"

namespace espalier {
namespace {

// What is known of a row: one number per finished seed. errors: of classes in %, of regression the RMSE. gains: of
// classes percentage points of accuracy, of regression % of the dense network's RMSE.
struct Finished {
  std::vector<double> errors, kept, nonzeros, flops, core_seconds, inference_us, gains, flops_ratio;
  std::uint64_t failed = 0;
};

// By its results; a row without any is thought to be of classes.
bool is_regression(const ReproduceRow& row, const ReproduceResults& results) {
  for (std::uint64_t seed = 1; seed <= row.seeds; ++seed)
    if (const auto found = results.find(row.key(seed)); found != results.end())
      if (found->second.failed.empty() && found->second.regression()) return true;
  return false;
}

const ReproduceRow* twin_of(const ReproduceRow& row, const std::vector<ReproduceRow>& rows) {
  const auto twin = std::ranges::find_if(rows, [&](const ReproduceRow& r) { return r.dense && r.digest == row.twin; });
  return twin == rows.end() ? nullptr : &*twin;
}

// The row whose FLOPs count as 1: the twin; or, for a row with a budget of its own, the first dense row of the same
// model and data.
const ReproduceRow* flops_unit_of(const ReproduceRow& row, const std::vector<ReproduceRow>& rows) {
  if (const ReproduceRow* twin = twin_of(row, rows)) return twin;
  const auto dense = std::ranges::find_if(rows, [&](const ReproduceRow& r) {
    return r.dense && !r.linear && r.config.model == row.config.model && r.config.data == row.config.data;
  });
  return dense == rows.end() ? nullptr : &*dense;
}

Finished finished_of(const ReproduceRow& row, const std::vector<ReproduceRow>& rows, const ReproduceResults& results) {
  Finished all;
  const ReproduceRow *twin = twin_of(row, rows), *flops_unit = flops_unit_of(row, rows);
  for (std::uint64_t seed = 1; seed <= row.seeds; ++seed) {
    const auto found = results.find(row.key(seed));
    if (found == results.end()) continue;
    const ReproduceResult& result = found->second;
    if (!result.failed.empty()) {
      ++all.failed;
      continue;
    }
    all.errors.push_back(result.regression() ? result.test.rmse : 100 * (1 - result.test.accuracy));
    all.kept.push_back(100 * result.kept);
    all.flops.push_back(static_cast<double>(result.train_flops));
    // Rows may have been run on different numbers of threads: what is comparable is what they kept busy.
    all.core_seconds.push_back(result.train_seconds * result.threads);
    if (result.nonzeros) all.nonzeros.push_back(static_cast<double>(*result.nonzeros));
    if (result.inference_seconds) all.inference_us.push_back(1e6 * *result.inference_seconds);
    // The same seed of another row, if that is finished.
    const auto beside = [&](const ReproduceRow* other) -> const ReproduceResult* {
      const auto its = other ? results.find(other->key(seed)) : results.end();
      return its == results.end() || !its->second.failed.empty() ? nullptr : &its->second;
    };
    if (const ReproduceResult* dense = beside(twin))
      all.gains.push_back(result.regression() ? 100 * (result.test.rmse / dense->test.rmse - 1)
                                              : 100 * (result.test.accuracy - dense->test.accuracy));
    if (const ReproduceResult* unit = beside(flops_unit))
      all.flops_ratio.push_back(static_cast<double>(result.train_flops) / static_cast<double>(unit->train_flops));
  }
  return all;
}

std::string text_of_error(const ReproduceRow& row, const Finished& f, bool regression) {
  std::string text = "–";
  if (!f.errors.empty()) {
    const MeanSd error = mean_sd(f.errors);
    text = regression ? fmt::format("{:.4g}", error.mean) : fmt::format("{:.2f}", error.mean);
    if (f.errors.size() > 1)
      text += regression ? fmt::format(" ± {:.2g}", error.sd) : fmt::format(" ± {:.2f}", error.sd);
  }
  if (!f.errors.empty() && f.errors.size() < row.seeds)
    text += fmt::format(" ({} of {} seeds)", f.errors.size(), row.seeds);
  if (f.failed) text += fmt::format(" ({} failed)", f.failed);
  return text;
}

std::string text_of_mean(const std::vector<double>& values, const char* format) {
  return values.empty() ? "–" : fmt::format(fmt::runtime(format), mean_sd(values).mean);
}

// Times: those of the fastest seed. All did about the same work, and what else ran on the machine can only have added.
std::string text_of_least(const std::vector<double>& values, const char* format) {
  return values.empty() ? "–" : fmt::format(fmt::runtime(format), std::ranges::min(values));
}

std::string row_of(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}
std::string header_of(const std::vector<std::string>& cells) {
  return row_of(cells) + row_of(std::vector<std::string>(cells.size(), "---"));
}

// Method x density, `cell` in each place.
template <typename Cell>
std::string columns_table(const std::vector<const ReproduceRow*>& rows, Cell&& cell) {
  std::set<double, std::greater<>> densities;
  std::vector<std::string> names;
  for (const ReproduceRow* row : rows) {
    densities.insert(row->config.schedule.density);
    if (std::ranges::count(names, row->name) == 0) names.push_back(row->name);
  }
  std::vector<std::string> header{"method"};
  for (const double density : densities) header.push_back(fmt::format("{:g} %", 100 * density));
  std::string text = header_of(header);
  for (const std::string& name : names) {
    std::vector<std::string> cells{name};
    for (const double density : densities) {
      const auto at = std::ranges::find_if(
          rows, [&](const ReproduceRow* row) { return row->name == name && row->config.schedule.density == density; });
      cells.push_back(at == rows.end() ? "" : cell(**at));
    }
    text += row_of(cells);
  }
  return text;
}

// Data set x experiment, `cell` in each place.
template <typename Cell>
std::string datasets_table(const std::vector<ReproduceRow>& rows, Cell&& cell) {
  std::vector<std::string> datasets, experiments;
  const auto add = [](std::vector<std::string>& names, const std::string& name) {
    if (std::ranges::count(names, name) == 0) names.push_back(name);
  };
  for (const ReproduceRow& row : rows) add(datasets, row.dataset), add(experiments, row.with_density(row.experiment));
  std::vector<std::string> header{""};
  header.insert(header.end(), experiments.begin(), experiments.end());
  std::string text = header_of(header);
  for (const std::string& dataset : datasets) {
    std::vector<std::string> cells{dataset};
    for (const std::string& experiment : experiments) {
      const auto at = std::ranges::find_if(rows, [&](const ReproduceRow& row) {
        return row.dataset == dataset && row.with_density(row.experiment) == experiment;
      });
      cells.push_back(at == rows.end() ? "" : cell(*at));
    }
    text += row_of(cells);
  }
  return text + "\n";
}

std::string all_datasets_tables(const std::vector<ReproduceRow>& rows, const ReproduceResults& results) {
  const auto of = [&](const ReproduceRow& row) { return finished_of(row, rows, results); };
  const auto error = [&](const ReproduceRow& row) { return text_of_error(row, of(row), is_regression(row, results)); };
  const auto gain = [&](const ReproduceRow& row) -> std::string {
    const Finished f = of(row);
    if (f.gains.empty() || row.dense) return "–";
    const MeanSd m = mean_sd(f.gains);
    return fmt::format("{:+.2f} ± {:.2f}{}", m.mean, m.sd, is_regression(row, results) ? " %" : "");
  };
  const auto cost = [&](const ReproduceRow& row) -> std::string {
    const Finished f = of(row);
    if (f.nonzeros.empty()) return "–";
    return fmt::format("{}, {} s, {} µs", text_of_mean(f.nonzeros, "{:.0f}"), text_of_least(f.core_seconds, "{:.1f}"),
                       text_of_least(f.inference_us, "{:.0f}"));
  };
  return "Test error in %, or test RMSE: mean ± sd over seeds, final epoch.\n\n" + datasets_table(rows, error) +
         "Against the dense network of the same seed and budget: its accuracy subtracted, in percentage points, more "
         "is "
         "better; or RMSE over its RMSE, in %, less is better.\n\n" +
         datasets_table(rows, gain) +
         "Parameters left; of the fastest seed, core-seconds of training and microseconds of inference for a "
         "batch.\n\n" +
         datasets_table(rows, cost);
}

std::string published_of(const ReproduceRow& row) {
  std::string text;
  if (row.published_error) text = fmt::format("{:.2f}", *row.published_error);
  if (row.published_gain) text += fmt::format("{}{:+.2f} pp over dense", text.empty() ? "" : ", ", *row.published_gain);
  return text;
}

// How far behind what is published a result may be and still be said to reproduce it.
constexpr double tolerance_points = 0.2, tolerance_rmse = 2;  // percentage points; % of the RMSE

std::string allowance(bool regression) {
  return regression ? fmt::format("{:g} %", tolerance_rmse) : fmt::format("{:g}", tolerance_points);
}

// Whether what is published came out, or better.
std::string reproduced(const ReproduceRow& row, const Finished& f, bool regression) {
  const double tolerance = regression ? tolerance_rmse : tolerance_points;
  double behind = 0;
  if (row.published_error && !f.errors.empty() && regression)
    behind = 100 * (mean_sd(f.errors).mean / *row.published_error - 1);
  else if (row.published_error && !f.errors.empty())
    behind = mean_sd(f.errors).mean - *row.published_error;
  else if (row.published_gain && !f.gains.empty())
    behind = *row.published_gain - mean_sd(f.gains).mean;
  else
    return "";
  if (behind <= tolerance) return "yes";
  return fmt::format("no, {:.2f}{} behind{}{}", behind, regression ? " %" : "", row.reason.empty() ? "" : ": ",
                     row.reason);
}

}  // namespace

std::string reproduce_table(const std::vector<ReproduceRow>& rows, const ReproduceResults& results) {
  const auto of = [&](const ReproduceRow& row) { return finished_of(row, rows, results); };
  const auto stands_in_columns = [&](const ReproduceRow& row) {
    return row.column || (row.dense && std::ranges::any_of(rows, [&](const ReproduceRow& other) {
                            return other.column && other.twin == row.digest;
                          }));
  };
  std::string text;
  const bool datasets = std::ranges::any_of(rows, [](const ReproduceRow& row) { return !row.dataset.empty(); });
  if (datasets) text = all_datasets_tables(rows, results);
  // A pair of tables for each model and data set that has columns.
  std::vector<std::pair<std::string, std::vector<const ReproduceRow*>>> groups;
  for (const ReproduceRow& row : rows) {
    if (datasets || !stands_in_columns(row)) continue;
    const std::string title = fmt::format("{} on {}", row.config.model, row.config.data);
    auto group = std::ranges::find(groups, title, [](const auto& g) { return g.first; });
    if (group == groups.end()) group = groups.insert(groups.end(), {title, {}});
    group->second.push_back(&row);
  }
  const auto error_of = [&](const ReproduceRow& row) {
    return text_of_error(row, of(row), is_regression(row, results));
  };
  for (const auto& [title, group] : groups) {
    const bool regression =
        std::ranges::any_of(group, [&](const ReproduceRow* row) { return is_regression(*row, results); });
    text += fmt::format("{}, {}, by weights kept (mean ± sd over seeds, final epoch):\n\n{}\n",
                        regression ? "Test RMSE" : "Test error in %", title, columns_table(group, error_of));
    text +=
        "Weights kept in %, training FLOPs relative to dense, training in core-seconds (seconds x threads) of the "
        "fastest seed:\n\n" +
        columns_table(group,
                      [&](const ReproduceRow& row) {
                        const Finished f = of(row);
                        if (f.kept.empty()) return std::string("–");
                        return fmt::format("{}, {}, {}", text_of_mean(f.kept, "{:.2f}"),
                                           text_of_mean(f.flops_ratio, "{:.2f}"),
                                           text_of_least(f.core_seconds, "{:.0f}"));
                      }) +
        "\n";
    std::string published;
    for (const ReproduceRow* row : group)
      if (!published_of(*row).empty())
        published += row_of({row->name, fmt::format("{:g} %", 100 * row->config.schedule.density), published_of(*row),
                             error_of(*row), reproduced(*row, of(*row), regression), row->source});
    if (!published.empty())
      text += fmt::format("{} as published, and here; reproduced: at most {} behind:\n\n",
                          regression ? "Test RMSE" : "Test error in %", allowance(regression)) +
              header_of({"method", "kept", "published", "here", "reproduced", "source"}) + published + "\n";
  }

  for (const bool regression : {false, true}) {
    std::string others;
    for (const ReproduceRow& row : rows) {
      if (datasets || stands_in_columns(row) || is_regression(row, results) != regression) continue;
      const Finished f = of(row);
      const MeanSd gain = mean_sd(f.gains);
      others += row_of({row.name, fmt::format("{}, {}", row.config.model, row.config.data),
                        text_of_mean(f.kept, "{:.2f} %"), error_of(row),
                        f.gains.empty() || row.dense ? "–"
                        : f.gains.size() < 2
                            ? fmt::format("{:+.2f}", gain.mean)
                            : fmt::format("{:+.2f} ± {:.2f} ({:.2f})", gain.mean, gain.sd, gain.standard_error),
                        text_of_mean(f.flops_ratio, "{:.2f}"), text_of_least(f.core_seconds, "{:.0f}"),
                        published_of(row), reproduced(row, f, regression), row.source});
    }
    if (others.empty()) continue;
    text += fmt::format("{}: mean ± sd (standard error). Reproduced: at most {} behind.\n\n",
                        regression ? "RMSE over that of the dense network of the same seed and budget, in %"
                                   : "Accuracy minus that of the dense network of the same seed and budget, in "
                                     "percentage points",
                        allowance(regression)) +
            header_of({"experiment", "model, data", "kept", regression ? "test RMSE" : "test error %",
                       regression ? "over dense, %" : "minus dense, pp", "training FLOPs / dense", "core-seconds",
                       "published", "reproduced", "source"}) +
            others + "\n";
  }

  std::uint64_t asked = 0, done = 0;
  for (const ReproduceRow& row : rows)
    for (std::uint64_t seed = 1; seed <= row.seeds; ++seed) ++asked, done += results.contains(row.key(seed));
  if (done < asked) text += fmt::format("Not finished: {} of {} trainings are done.\n", done, asked);
  return text;
}

void write_between_markers(const std::filesystem::path& file, const std::string& name, const std::string& table) {
  constexpr std::string_view end = "<!-- reproduce:end -->";
  constexpr std::uintmax_t limit_bytes = 1 << 24;
  std::string text = read_file(file, limit_bytes), begin = fmt::format("<!-- reproduce:begin {} -->", name);
  if (text.find(begin) == std::string::npos) begin = "<!-- reproduce:begin -->";
  const std::size_t from = text.find(begin), to = from == std::string::npos ? from : text.find(end, from);
  if (to == std::string::npos)
    throw FileError(fmt::format("{}: expected the lines {} and {}, found none", file.string(), begin, end));
  text.replace(from + begin.size(), to - from - begin.size(), "\n\n" + table + "\n");
  write_file_atomically(file, text);
}

}  // namespace espalier
