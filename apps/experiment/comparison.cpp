#include "espalier/experiment/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/experiment/report.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/sweep.h"
#include "espalier/experiment/text.h"

namespace espalier {

// --- runs ------------------------------------------------------------------------------------------------------------

namespace {

bool has_classes(const Result& result) {
  return result.sparse.test && result.sparse.test->classes > 0;
}

// Throws UsageError unless both were tested on the same data, as far as their results tell.
void require_comparable(const ComparedRun& a, const ComparedRun& b) {
  const Result &x = a.result, &y = b.result;
  require(x.dataset == y.dataset && x.class_names == y.class_names && has_classes(x) == has_classes(y),
          "[runs] expected runs of the same data, got {} in {} and {}{} in {}", shown(x.dataset), a.folder.string(),
          shown(y.dataset), x.dataset == y.dataset ? " of other classes" : "", b.folder.string());
}

}  // namespace

std::vector<ComparedRun> compared_runs(const std::vector<std::filesystem::path>& folders) {
  std::vector<ComparedRun> runs;
  std::set<std::filesystem::path> seen;
  for (const auto& folder : folders)
    for (const auto& run : runs_in(folder)) {
      if (!seen.insert(std::filesystem::weakly_canonical(run)).second) continue;
      ComparedRun compared{.folder = run, .result = *result_in(run), .config = from_toml(run / "config.toml")};
      if (!runs.empty()) require_comparable(runs.front(), compared);
      runs.push_back(std::move(compared));
    }
  return runs;
}

// --- numbers ---------------------------------------------------------------------------------------------------------

namespace {

std::string text_of_ratio(double ratio) {
  if (std::abs(std::log(ratio)) < 0.05) return "as fast";
  return ratio >= 1 ? fmt::format("{:.1f}x faster", ratio) : fmt::format("{:.1f}x slower", 1 / ratio);
}

}  // namespace

std::vector<ComparedNumber> compared_numbers(bool classes) {
  const ComparedNumber accuracy{.key = "test_accuracy",
                                .title = "test accuracy",
                                .text = text_of_percent,
                                .quality = true,
                                .rises = true,
                                .spread = true};
  const ComparedNumber rmse{
      .key = "test_rmse", .title = "test RMSE", .text = text_of_error, .quality = true, .spread = true};
  return {classes ? accuracy : rmse,
          {.key = "nonzeros", .title = "nonzeros", .text = with_commas, .cost = true},
          {.key = "forward_flops", .title = "FLOPs", .text = text_of_count, .cost = true},
          {.key = "file_bytes", .title = "file", .text = text_of_bytes, .cost = true},
          {.key = "train_step_seconds", .title = "training step", .text = text_of_seconds},
          {.key = "train_step_ratio", .title = "than dense", .text = text_of_ratio},
          {.key = "inference_seconds", .title = "inference", .text = text_of_seconds, .cost = true},
          {.key = "inference_ratio", .title = "than dense", .text = text_of_ratio},
          {.key = "train_flops", .title = "training FLOPs", .text = text_of_count}};
}

std::optional<MeanSd> ComparisonRow::of(const std::string& key) const {
  const auto found = values.find(key);
  if (found == values.end() || found->second.empty()) return {};
  return mean_sd(found->second);
}

// --- rows ------------------------------------------------------------------------------------------------------------

namespace {

class RowsBuilder {
 public:
  explicit RowsBuilder(bool classes) : classes_(classes) {}

  void add(const ComparedRun& run) {
    const Result& r = run.result;
    if (r.dense) add_network(dense_row(run), run, *r.dense, nullptr);
    ComparisonRow row = is_dense(run.config) ? dense_row(run) : pruned_row(run);
    add_network(std::move(row), run, r.sparse, is_dense(run.config) || !r.dense ? nullptr : &*r.dense);
    for (const BaselineResult& baseline : r.baselines)
      if (baseline.failed.empty()) add_baseline(baseline, r.seed);
  }

  // Dense first, then the baselines, methods as they came, random patterns last; densities from high to low.
  std::vector<ComparisonRow> rows() {
    const auto rank = [&](const ComparisonRow& row) {
      if (row.method == "dense") return -2;
      if (row.method == "linear" || row.method == "majority" || row.method == "mean") return -1;
      if (row.method == "random") return static_cast<int>(methods_.size());
      return static_cast<int>(std::ranges::find(methods_, row.method) - methods_.begin());
    };
    std::ranges::stable_sort(rows_, [&](const ComparisonRow& a, const ComparisonRow& b) {
      return std::tuple(rank(a), a.structure, a.control, -a.density) <
             std::tuple(rank(b), b.structure, b.control, -b.density);
    });
    return std::move(rows_);
  }

 private:
  static ComparisonRow pruned_row(const ComparedRun& run) {
    return {.method = run.result.method,
            .structure = run.config.structure,
            .control = run.config.control == "none" ? "" : run.config.control,
            .model = run.result.model,
            .density = run.result.density,
            .epochs = run.result.epochs};
  }
  static ComparisonRow dense_row(const ComparedRun& run) {
    return {.method = "dense", .structure = "", .control = "", .model = run.result.model, .epochs = run.result.epochs};
  }

  // The row of that name, made if there is none; null: it has this seed already. The dense network of a seed is the
  // same one in every run.
  ComparisonRow* row_for(ComparisonRow row, std::uint64_t seed, bool once) {
    const auto same = [&](const ComparisonRow& other) {
      return std::tie(row.method, row.structure, row.control, row.model, row.density, row.epochs) ==
             std::tie(other.method, other.structure, other.control, other.model, other.density, other.epochs);
    };
    auto found = std::ranges::find_if(rows_, same);
    if (found == rows_.end()) {
      if (std::ranges::count(methods_, row.method) == 0) methods_.push_back(row.method);
      rows_.push_back(std::move(row));
      found = rows_.end() - 1;
    }
    if (once && std::ranges::count(found->seeds, seed) > 0) return nullptr;
    found->seeds.push_back(seed);
    return &*found;
  }

  void add_network(ComparisonRow as, const ComparedRun& run, const SideResult& side, const SideResult* dense) {
    const bool once = as.method == "dense";
    ComparisonRow* const row = row_for(std::move(as), run.result.seed, once);
    if (!row) return;
    const auto note = [&](const char* key, double value) {
      if (std::isfinite(value)) row->values[key].push_back(value);
    };
    if (side.test) note(classes_ ? "test_accuracy" : "test_rmse", classes_ ? side.test->accuracy : side.test->rmse);
    note("nonzeros", static_cast<double>(side.nonzeros));
    note("forward_flops", static_cast<double>(side.forward_flops.executed));
    note("file_bytes", static_cast<double>(side.file_bytes));
    note("train_flops", static_cast<double>(side.train_flops.executed));
    row->timed = row->timed && side.timed();
    if (!side.timed()) return;
    note("train_step_seconds", side.train_step.median);
    note("inference_seconds", side.inference.median);
    if (!dense || !dense->timed()) return;
    note("train_step_ratio", dense->train_step.median / side.train_step.median);
    note("inference_ratio", dense->inference.median / side.inference.median);
  }

  void add_baseline(const BaselineResult& baseline, std::uint64_t seed) {
    ComparisonRow* const row =
        row_for({.method = baseline.name, .structure = "", .control = "", .model = baseline.name}, seed, /*once=*/true);
    if (!row) return;
    const double quality = classes_ ? baseline.test.accuracy : baseline.test.rmse;
    if (std::isfinite(quality)) row->values[classes_ ? "test_accuracy" : "test_rmse"].push_back(quality);
    if (baseline.passes > 0) row->values["nonzeros"].push_back(static_cast<double>(baseline.parameters));
  }

  bool classes_;
  std::vector<std::string> methods_;
  std::vector<ComparisonRow> rows_;
};

// Which rows no other one beats at this cost.
void mark_front(std::vector<ComparisonRow>& rows, const ComparedNumber& quality, const ComparedNumber& cost) {
  struct Point {
    double quality, cost;  // less is better of both
  };
  const auto point_of = [&](const ComparisonRow& row) -> std::optional<Point> {
    const auto q = row.of(quality.key), c = row.of(cost.key);
    if (!q || !c) return {};
    return Point{quality.rises ? -q->mean : q->mean, c->mean};
  };
  for (ComparisonRow& row : rows) {
    const auto own = point_of(row);
    const bool beaten = !own || std::ranges::any_of(rows, [&](const ComparisonRow& other) {
      const auto p = point_of(other);
      return p && p->quality <= own->quality && p->cost <= own->cost &&
             (p->quality < own->quality || p->cost < own->cost);
    });
    if (!beaten) row.fronts.emplace_back(cost.key);
  }
}

}  // namespace

Comparison comparison_of(std::span<const ComparedRun> runs) {
  Comparison comparison;
  if (runs.empty()) return comparison;
  comparison.dataset = runs.front().result.dataset;
  comparison.classes = has_classes(runs.front().result);
  RowsBuilder builder(comparison.classes);
  for (const ComparedRun& run : runs) {
    builder.add(run);
    const std::string& processor = run.result.processor;
    if (std::ranges::count(comparison.processors, processor) == 0) comparison.processors.push_back(processor);
  }
  comparison.rows = builder.rows();
  const std::vector<ComparedNumber> numbers = compared_numbers(comparison.classes);
  for (const ComparedNumber& number : numbers)
    if (number.cost) mark_front(comparison.rows, numbers.front(), number);
  return comparison;
}

// --- tables ----------------------------------------------------------------------------------------------------------

namespace {

using Cells = std::vector<std::string>;

// Networks only: baselines have a model and epochs of their own.
std::vector<const ComparisonRow*> networks_of(const Comparison& comparison) {
  std::vector<const ComparisonRow*> networks;
  for (const ComparisonRow& row : comparison.rows)
    if (row.values.contains("forward_flops")) networks.push_back(&row);
  return networks;
}

// "nonzeros FLOPs file"
std::string fronts_text(const ComparisonRow& row, std::span<const ComparedNumber> numbers) {
  std::string text;
  for (const ComparedNumber& number : numbers)
    if (std::ranges::count(row.fronts, number.key) > 0) text += (text.empty() ? "" : " ") + std::string(number.title);
  return text;
}

std::string cell_of(const ComparisonRow& row, const ComparedNumber& number, const char* plus_minus) {
  const std::optional<MeanSd> m = row.of(number.key);
  if (!m) return std::string_view(number.key).ends_with("_seconds") && !row.timed ? "not timed" : "";
  if (!number.spread || row.seeds.size() < 2) return number.text(m->mean);
  std::string spread = number.text(m->sd), mean = number.text(m->mean);
  if (mean.ends_with(" %")) mean.resize(mean.size() - 2);
  return fmt::format("{} {} {}", mean, plus_minus, spread);
}

// The header, and a line for each row; columns in which all are equal or empty are left out.
std::vector<Cells> cells_of(const Comparison& comparison, const char* plus_minus) {
  std::vector<const ComparisonRow*> networks = networks_of(comparison);
  const auto several = [&](auto ComparisonRow::*field) {
    return std::ranges::any_of(networks, [&](const ComparisonRow* row) { return row->*field != networks[0]->*field; });
  };
  const bool models = several(&ComparisonRow::model), epochs = several(&ComparisonRow::epochs);
  const bool controls = several(&ComparisonRow::control);
  const std::vector<ComparedNumber> numbers = compared_numbers(comparison.classes);
  Cells header{"method", "density", "structure"};
  if (controls) header.emplace_back("control");
  if (models) header.emplace_back("model");
  if (epochs) header.emplace_back("epochs");
  header.emplace_back("seeds");
  for (const ComparedNumber& number : numbers) header.emplace_back(number.title);
  header.emplace_back("on the front of");
  std::vector<Cells> table{header};
  for (const ComparisonRow& row : comparison.rows) {
    const bool network = row.values.contains("forward_flops");
    Cells cells{row.method, network ? fmt::format("{:g}", row.density) : "", row.structure};
    if (controls) cells.push_back(row.control);
    if (models) cells.push_back(network ? row.model : "");
    if (epochs) cells.push_back(network ? fmt::format("{}", row.epochs) : "");
    cells.push_back(fmt::format("{}", row.seeds.size()));
    for (const ComparedNumber& number : numbers) cells.push_back(cell_of(row, number, plus_minus));
    cells.push_back(fronts_text(row, numbers));
    table.push_back(std::move(cells));
  }
  return table;
}

void leave_out_empty_columns(std::vector<Cells>& table) {
  for (std::size_t c = table.front().size(); c-- > 0;) {
    const bool filled = std::any_of(table.begin() + 1, table.end(), [&](const Cells& row) { return !row[c].empty(); });
    if (filled) continue;
    for (Cells& row : table) row.erase(row.begin() + static_cast<std::ptrdiff_t>(c));
  }
}

std::string heading_of(const Comparison& comparison) {
  std::set<std::string> models;
  for (const ComparisonRow* row : networks_of(comparison)) models.insert(row->model);
  return fmt::format("{} on {}", fmt::join(models, ", "), shown(comparison.dataset));
}

// What has to be known to read the table.
std::vector<std::string> notes_on(const Comparison& comparison) {
  std::vector<std::string> notes{
      "on the front of a cost: no other row is as good and costs less, or better and costs no more"};
  if (std::ranges::any_of(comparison.rows, [](const ComparisonRow& row) { return row.seeds.size() > 1; }))
    notes.emplace_back("+-: one standard deviation over the seeds");
  if (std::ranges::any_of(comparison.rows, [](const ComparisonRow& row) { return !row.timed; }))
    notes.emplace_back("not timed: these runs were trained side by side; a sweep measures times when all are trained");
  notes.push_back(
      fmt::format("times were measured on {}{}", fmt::join(comparison.processors, " and "),
                  comparison.processors.size() > 1 ? ": those of different processors do not compare" : ""));
  return notes;
}

}  // namespace

std::string comparison_text(const Comparison& comparison) {
  std::vector<Cells> table = cells_of(comparison, "+-");
  leave_out_empty_columns(table);
  std::vector<std::size_t> widths(table.front().size());
  for (const Cells& row : table)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text = heading_of(comparison) + "\n\n";
  for (const Cells& row : table) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const bool words = c == 0 || c + 1 == row.size() || table.front()[c] == "structure";
      line += (c ? "  " : "") +
              (words ? fmt::format("{:<{}}", row[c], widths[c]) : fmt::format("{:>{}}", row[c], widths[c]));
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text += "\n";
  for (const std::string& note : notes_on(comparison)) text += note + "\n";
  return text;
}

std::string comparison_markdown(const Comparison& comparison) {
  std::vector<Cells> table = cells_of(comparison, "±");
  leave_out_empty_columns(table);
  std::string text = fmt::format("**{}**\n\n", heading_of(comparison));
  for (std::size_t r = 0; r < table.size(); ++r) {
    text += "|";
    for (std::string cell : table[r]) {
      for (std::size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2) cell.insert(at, "\\");
      text += " " + cell + (cell.empty() ? "|" : " |");
    }
    text += "\n";
    if (r == 0)
      text += "|" + [&] {
        std::string line;
        for (std::size_t c = 0; c < table[0].size(); ++c) line += "---|";
        return line;
      }() + "\n";
  }
  text += "\n";
  for (const std::string& note : notes_on(comparison))
    text += (note.starts_with("+-") ? "±" + note.substr(2) : note) + "  \n";
  return text;
}

std::string comparison_csv(const Comparison& comparison) {
  const std::vector<ComparedNumber> numbers = compared_numbers(comparison.classes);
  std::string text = "method,density,structure,control,model,epochs,seeds,timed";
  for (const ComparedNumber& n : numbers) text += fmt::format(",{0}_mean,{0}_sd,{0}_n", n.key);
  text += ",fronts\n";
  const auto quoted = [](const std::string& cell) {
    if (cell.find_first_of(",\"\n") == std::string::npos) return cell;
    std::string all = "\"";
    for (const char c : cell) all += c == '"' ? std::string("\"\"") : std::string(1, c);
    return all + "\"";
  };
  for (const ComparisonRow& row : comparison.rows) {
    text += fmt::format("{},{},{},{},{},{},{},{}", quoted(row.method), row.density, quoted(row.structure),
                        quoted(row.control), quoted(row.model), row.epochs, row.seeds.size(), row.timed ? "yes" : "no");
    for (const ComparedNumber& number : numbers) {
      const auto found = row.values.find(number.key);
      const auto m = row.of(number.key);
      text += m ? fmt::format(",{},{},{}", m->mean, m->sd, found->second.size()) : ",,,0";
    }
    text += "," + fmt::format("{}\n", fmt::join(row.fronts, " "));
  }
  return text;
}

Json comparison_json(const Comparison& comparison) {
  const std::vector<ComparedNumber> numbers = compared_numbers(comparison.classes);
  Json json = {{"dataset", comparison.dataset}, {"processors", comparison.processors}, {"rows", Json::array()}};
  for (const ComparisonRow& row : comparison.rows) {
    Json line = {{"method", row.method},   {"density", row.density}, {"structure", row.structure},
                 {"control", row.control}, {"model", row.model},     {"epochs", row.epochs},
                 {"seeds", row.seeds},     {"timed", row.timed}};
    for (const ComparedNumber& number : numbers) {
      const auto m = row.of(number.key);
      if (m) line[number.key] = {{"mean", m->mean}, {"sd", m->sd}, {"values", row.values.at(number.key)}};
    }
    line["fronts"] = row.fronts;
    json["rows"].push_back(std::move(line));
  }
  return json;
}

}  // namespace espalier
