#include "espalier/experiment/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "espalier/datasets/quoted.h"
#include "espalier/experiment/class_table.h"
#include "espalier/experiment/statistics.h"

namespace espalier {

// --- numbers ---------------------------------------------------------------------------------------------------------

std::string text_of_seconds(double seconds) {
  if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
  return seconds >= 1e-3 ? fmt::format("{:.2f} ms", seconds * 1e3) : fmt::format("{:.1f} us", seconds * 1e6);
}
std::string text_of_bytes(double bytes) {
  if (bytes >= 1e6) return fmt::format("{:.2f} MB", bytes * 1e-6);
  return bytes >= 1e3 ? fmt::format("{:.1f} KB", bytes * 1e-3) : fmt::format("{:.0f} B", bytes);
}
std::string text_of_count(double count) {
  if (count >= 1e12) return fmt::format("{:.2f} T", count * 1e-12);
  if (count >= 1e9) return fmt::format("{:.2f} G", count * 1e-9);
  if (count >= 1e6) return fmt::format("{:.2f} M", count * 1e-6);
  return count >= 1e4 ? fmt::format("{:.1f} k", count * 1e-3) : fmt::format("{:.0f}", count);
}
std::string with_commas(double count) {
  std::string digits = fmt::format("{:.0f}", count);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}
std::string text_of_percent(double fraction) {
  return fmt::format("{:.2f} %", 100 * fraction);
}
std::string text_of_fraction(double fraction) {
  return fmt::format("{:.4f}", fraction);
}
std::string text_of_error(double error) {
  return fmt::format("{:.4g}", error);
}
std::string text_of(const Evaluation& e) {
  return e.classes > 0 ? text_of_percent(e.accuracy) : "RMSE " + text_of_error(e.rmse);
}

std::string metrics_line_of(const Metrics& m, const std::string& target, const std::string& rows) {
  const std::string of = fmt::format("of {} {} whose {} is known: ", m.samples, rows, target);
  if (m.classes == 0) return of + fmt::format("RMSE {:.5g}, MAE {:.5g}, R2 {:.4f}\n", m.rmse, m.mae, m.r2);
  return of + fmt::format("accuracy {:.2f} %, balanced {:.2f} %, AUC {:.4f}, log-loss {:.4f}\n", 100 * m.accuracy,
                          100 * m.balanced_accuracy, m.auc, m.log_loss);
}

// --- one run ---------------------------------------------------------------------------------------------------------

// "3.7x faster", "2.5x slower", "-0.45 points"
std::string comparison_of(const Quantity& q, const Result& result) {
  if (const auto r = q.ratio_of(result))
    return *r >= 1 ? fmt::format("{:.1f}x {}", *r, q.better) : fmt::format("{:.1f}x {}", 1 / *r, q.worse);
  if (!q.difference || !result.dense) return "";
  const std::optional<double> dense = q.dense(*result.dense), sparse = q.sparse(result.sparse);
  return dense && sparse ? q.difference(*dense, *sparse) : "";
}

std::string table_of(const Result& result) {
  std::string text = fmt::format("{:<28}{:>14}{:>14}{:>12}\n", "", result.dense ? "dense" : "", "sparse", "");
  for (const Quantity& q : quantities()) {
    const auto cell = [&](std::optional<double> number) { return number ? q.text(*number) : std::string(); };
    const std::string dense = result.dense ? cell(q.dense(*result.dense)) : "", sparse = cell(q.sparse(result.sparse));
    if (dense.empty() && sparse.empty()) continue;
    text += fmt::format("{:<28}{:>14}{:>14}   {}\n", q.title, dense, sparse, comparison_of(q, result));
  }
  return text;
}

// What the words of these layers mean: those that occur.
std::string legend_of(const std::vector<LayerResult>& layers) {
  struct Word {
    std::string LayerResult::*where;
    std::string_view begins, meaning;
  };
  static constexpr Word words[] = {
      {&LayerResult::storage, "dense", "storage dense: every weight is there"},
      {&LayerResult::storage, "masked", "storage masked: an array of all weights, zeros where they are gone"},
      {&LayerResult::storage, "csr", "storage csr: only what is kept, row by row, with its column"},
      {&LayerResult::kernel, "csr panels", "csr panels: products with csr, a stretch of columns at a time"},
      {&LayerResult::kernel, "csr streams",
       "csr streams: the same, in the order in which the kernel meets the weights"},
      {&LayerResult::kernel, "csr slices", "csr slices: the same for one sample, 16 rows at a time"},
      {&LayerResult::kernel, "csr dots", "csr dots: the same for one sample, row by row"},
      {&LayerResult::kernel, "lookup", "lookup: rows of a table, picked and not multiplied"},
      {&LayerResult::file_form, "delta8", "in file delta8: values, and a byte from each to the next"},
      {&LayerResult::file_form, "bitmap", "in file bitmap: values, and a bit for each position"},
      {&LayerResult::file_form, "csr", "in file csr: values, columns, and where rows begin"},
      {&LayerResult::file_form, "seed", "in file seed: what the values were drawn from"}};
  std::string text;
  for (const Word& word : words)
    if (std::ranges::any_of(layers,
                            [&](const LayerResult& layer) { return (layer.*word.where).starts_with(word.begins); }))
      text += fmt::format("  {}\n", word.meaning);
  for (const std::string_view target : {"avx3", "avx2", "sse2"})
    if (std::ranges::any_of(layers, [&](const LayerResult& l) { return l.kernel.find(target) != std::string::npos; }))
      text += fmt::format("  {}: the processor's vector instructions{}\n", target, target == "avx3" ? ", AVX-512" : "");
  return text;
}

std::string layer_table_of(const Result& result) {
  std::size_t widest = 16;
  for (const LayerResult& layer : result.layers) widest = std::max(widest, layer.name.size());
  const auto row = [&](const auto& name, const auto&... rest) {
    return fmt::format("{:<{}}", name, widest) + fmt::format("{:>14}{:>24}{:>10}  {:<8}{:<18}{:<12}{:>8}\n", rest...);
  };
  std::string text = row("layer", "shape", "weights kept", "density", "storage", "kernel", "in file", "forward");
  for (const LayerResult& layer : result.layers) {
    const auto all = static_cast<double>(layer.rows) * static_cast<double>(layer.cols);
    text += row(layer.name, fmt::format("{} x {}", layer.rows, layer.cols),
                fmt::format("{} of {}", with_commas(std::round(layer.density * all)), with_commas(all)),
                fmt::format("{:.4f}", layer.density), layer.storage, layer.kernel, layer.file_form,
                layer.seconds > 0 ? text_of_seconds(layer.seconds) : "–");
  }
  return text + legend_of(result.layers);
}

std::string baseline_table_of(const Result& result) {
  if (result.baselines.empty()) return "";
  struct Column {
    const char* title;
    double Metrics::*metric;
    std::string (*text)(double);
  };
  constexpr Column of_classes[] = {{"accuracy", &Metrics::accuracy, text_of_percent},
                                   {"balanced", &Metrics::balanced_accuracy, text_of_percent},
                                   {"AUC", &Metrics::auc, text_of_fraction},
                                   {"log-loss", &Metrics::log_loss, text_of_fraction}};
  constexpr Column of_regression[] = {{"RMSE", &Metrics::rmse, text_of_error},
                                      {"MAE", &Metrics::mae, text_of_error},
                                      {"R2", &Metrics::r2, text_of_fraction}};
  const std::span<const Column> columns = result.baselines.front().test.classes > 0
                                              ? std::span<const Column>(of_classes)
                                              : std::span<const Column>(of_regression);
  std::string text = fmt::format("{:<28}", "baselines, test set");
  for (const Column& column : columns) text += fmt::format("{:>14}", column.title);
  text += "\n";
  for (const BaselineResult& b : result.baselines) {
    std::string row = b.name == "majority" ? "majority class" : b.name == "mean" ? "mean target" : b.name;
    if (b.passes > 0) row += b.solved ? ", solved" : fmt::format(", {} passes", b.passes);
    text += fmt::format("{:<28}", row);
    if (!b.failed.empty()) text += "   " + b.failed;
    for (const Column& column : columns)
      if (b.failed.empty()) {
        const double number = b.test.*column.metric;
        text += fmt::format("{:>14}", std::isfinite(number) ? column.text(number) : "–");
      }
    text += "\n";
  }
  return text;
}

// What is to be said if the data are simpler than the network.
std::string verdict_on_linear(const Result& result) {
  const auto linear = std::ranges::find(result.baselines, "linear", &BaselineResult::name);
  if (linear == result.baselines.end() || !linear->validation || !result.sparse.validation) return "";
  const bool classes = linear->test.classes > 0;
  const double own = *result.sparse.validation, other = *linear->validation;
  if (classes ? other <= own : other >= own) return "";
  const auto text = [&](double number) { return classes ? text_of_percent(number) : text_of_error(number); };
  return fmt::format("on validation rows the linear model is better than this network: {} {} against {}\n",
                     classes ? "accuracy" : "RMSE", text(other), text(own));
}

std::string units_line_of(const Result& result) {
  return result.sparse.units ? "left are " + text_of(*result.sparse.units) + "\n" : "";
}

std::string inputs_line_of(const Result& result) {
  if (!result.surviving_inputs) return "";
  constexpr std::size_t most = 20;
  const std::vector<std::string>& left = *result.surviving_inputs;
  std::string names;
  for (std::size_t i = 0; i < std::min(most, left.size()); ++i) names += (i ? ", " : ": ") + shown(left[i]);
  if (left.size() > most) names += ", ...";
  return fmt::format("inputs: {} of {} columns left{}\n", left.size(), result.input_columns, names);
}

// How sure the headline's number is, how it was trained, and what that took.
std::string training_lines_of(const Result& result) {
  std::string text;
  const SideResult& sparse = result.sparse;
  if (sparse.test && std::isfinite(sparse.test->standard_error)) {
    const double error = sparse.test->standard_error;
    text += sparse.test->classes > 0
                ? fmt::format("standard error of the test accuracy: {:.2f} percentage points\n", 100 * error)
                : fmt::format("standard error of the test RMSE: {:.2g}\n", error);
  }
  text += result.epochs == 0 ? std::string("pruned as it was, and not trained")
                             : fmt::format("trained for {} epoch{}", result.epochs, result.epochs == 1 ? "" : "s");
  if (result.members > 1) text += fmt::format(", {} networks, of which the average is measured", result.members);
  if (sparse.best_epoch > 0)
    text += fmt::format("; epoch {} is kept: the best on validation samples", sparse.best_epoch);
  if (sparse.beside > 1) text += fmt::format("; {} trainings at a time", sparse.beside);
  if (!sparse.timed()) text += "; not timed";
  if (sparse.checkpoint_seconds > 0 && sparse.train_seconds > 0 && result.epochs > 0)
    text += fmt::format("; checkpoints took {}, {:.2f} % of the training", text_of_seconds(sparse.checkpoint_seconds),
                        100 * sparse.checkpoint_seconds / sparse.train_seconds);
  if (sparse.event_seconds > 0 && sparse.train_seconds > 0 && result.epochs > 0)
    text += fmt::format("; metrics and masks took {}, {:.2f} % of the training", text_of_seconds(sparse.event_seconds),
                        100 * sparse.event_seconds / sparse.train_seconds);
  if (result.race_seconds > 0) text += fmt::format("; the race before took {:.1f} s", result.race_seconds);
  return text + "\n";
}

// Which times are to be taken with care: their quartiles lie far apart.
std::string noise_line_of(const Result& result) {
  constexpr double quiet = 1.2;  // upper quartile over lower
  struct Timed {
    const char* what;
    Timing SideResult::*timing;
  };
  std::string noisy;
  for (const auto& [what, timing] :
       {Timed{"training step", &SideResult::train_step}, Timed{"inference", &SideResult::inference},
        Timed{"latency", &SideResult::latency}})
    for (const SideResult* side : {result.dense ? &*result.dense : nullptr, &result.sparse})
      if (side && (side->*timing).upper > quiet * (side->*timing).lower)
        noisy +=
            fmt::format("{}{} {} from {} to {}", noisy.empty() ? "" : ", ", side == &result.sparse ? "sparse" : "dense",
                        what, text_of_seconds((side->*timing).lower), text_of_seconds((side->*timing).upper));
  return noisy.empty() ? "" : fmt::format("noisy, by the quartiles: {}; measure in a quieter moment\n", noisy);
}

std::string page_of(const Result& result) {
  const std::string method = result.method + (result.control != "none" ? ", control " + result.control : "");
  const std::string headline =
      fmt::format("{} on {}: {}, {:.1f} % of the weights gone, seed {}, {} thread{}, {}\n{}\n", result.model,
                  result.dataset, method, 100 * (1 - result.sparse.density), result.seed, result.threads,
                  result.threads == 1 ? "" : "s", result.processor, result.provenance);
  std::string text = headline, notes;
  for (const std::string& note : result.notes) notes += note + "\n";
  const std::string classes = class_table_of(result.confusion, result.class_names, {.classes = 5, .mistakes = 5});
  for (const std::string& part : {table_of(result) + training_lines_of(result) + noise_line_of(result),
                                  baseline_table_of(result) + verdict_on_linear(result), classes,
                                  layer_table_of(result), units_line_of(result) + inputs_line_of(result), notes})
    if (!part.empty()) text += "\n" + part;
  return text;
}

// --- several runs ----------------------------------------------------------------------------------------------------

namespace {

// How a table over seeds says how good a network is.
struct Headline {
  double Metrics::*metric;
  const char* title;
  double (*number)(double);
  const char* format;
  // of sparse and dense, seed by seed
  const char* gain_title;
  double (*gain)(double sparse, double dense);
};
constexpr Headline classes_headline{&Metrics::accuracy,
                                    "test error %",
                                    [](double accuracy) { return 100 * (1 - accuracy); },
                                    "{:.2f} +- {:.2f}",
                                    "sparse - dense, test accuracy in percentage points, seed by seed",
                                    [](double sparse, double dense) { return 100 * (sparse - dense); }};
constexpr Headline regression_headline{&Metrics::rmse,
                                       "test RMSE",
                                       [](double rmse) { return rmse; },
                                       "{:.4g} +- {:.2g}",
                                       "sparse over dense, test RMSE in %, seed by seed (below 0: sparse is better)",
                                       [](double sparse, double dense) { return 100 * (sparse / dense - 1); }};

// The numbers of one row of that table, one for each seed; those that are not known are left out.
struct SeedsRow {
  std::vector<double> quality, nonzeros, file_bytes, train_step, inference;

  void add(const SideResult& side, const Headline& headline) {
    if (side.test) add_quality((*side.test).*headline.metric, headline);
    nonzeros.push_back(static_cast<double>(side.nonzeros));
    file_bytes.push_back(static_cast<double>(side.file_bytes));
    if (!side.timed()) return;
    train_step.push_back(side.train_step.median);
    inference.push_back(side.inference.median);
  }
  void add_quality(double number, const Headline& headline) {
    if (std::isfinite(number)) quality.push_back(headline.number(number));
  }
  std::string text(const std::string& name, const Headline& headline) const {
    const auto cell = [](const std::vector<double>& numbers, std::string (*text_of_number)(double)) {
      return numbers.empty() ? std::string() : text_of_number(mean_sd(numbers).mean);
    };
    const MeanSd m = mean_sd(quality);
    return fmt::format("{:<16}{:>6}{:>18}{:>14}{:>12}{:>14}{:>14}\n", name, quality.size(),
                       quality.empty() ? "–" : fmt::format(fmt::runtime(headline.format), m.mean, m.sd),
                       cell(nonzeros, text_of_count), cell(file_bytes, text_of_bytes),
                       cell(train_step, text_of_seconds), cell(inference, text_of_seconds));
  }
};

using ResultsOfSeeds = std::vector<const Result*>;

std::string baseline_rows(const ResultsOfSeeds& seeds, const Headline& headline) {
  std::string text;
  for (std::size_t b = 0; b < seeds.front()->baselines.size(); ++b) {
    SeedsRow row;
    for (const Result* result : seeds) {
      const BaselineResult& baseline = result->baselines[b];
      if (!baseline.failed.empty()) continue;
      row.add_quality(baseline.test.*headline.metric, headline);
      if (baseline.passes > 0) row.nonzeros.push_back(static_cast<double>(baseline.parameters));
    }
    text += row.text(seeds.front()->baselines[b].name, headline);
  }
  return text;
}

// The same seed gives both networks the same initial values and the same batches: what varies with the seed cancels.
std::string gains_of(const std::map<double, ResultsOfSeeds, std::greater<>>& by_density, const Headline& headline) {
  std::string gains;
  for (const auto& [density, seeds] : by_density) {
    std::vector<double> points;
    for (const Result* result : seeds)
      if (result->dense)
        points.push_back(
            headline.gain((*result->sparse.test).*headline.metric, (*result->dense->test).*headline.metric));
    if (points.size() < 2) continue;
    const MeanSd gain = mean_sd(points);
    gains += fmt::format("density {:<8g}{:>6}{:>+10.2f} +- {:.2f} (standard error {:.2f})\n", density, points.size(),
                         gain.mean, gain.sd, gain.standard_error);
  }
  return gains.empty() ? "" : fmt::format("\n{}\n", headline.gain_title) + gains;
}

}  // namespace

std::string seeds_table_of(const std::vector<Result>& results) {
  const Headline& headline = results.front().sparse.test->classes > 0 ? classes_headline : regression_headline;
  // Rows: baselines, dense, then each density; numbers over the seeds of that row.
  std::map<double, ResultsOfSeeds, std::greater<>> by_density;
  for (const Result& result : results) by_density[result.density].push_back(&result);
  const ResultsOfSeeds& first = by_density.begin()->second;
  const Result& one = results.front();
  std::string text = fmt::format("{} on {}: {}\n", one.model, one.dataset, one.method);
  text += fmt::format("{:<16}{:>6}{:>18}{:>14}{:>12}{:>14}{:>14}\n", "", "seeds", headline.title, "parameters", "file",
                      "train step", "inference");
  text += baseline_rows(first, headline);
  if (first.front()->dense) {
    SeedsRow dense;
    for (const Result* result : first) dense.add(*result->dense, headline);
    text += dense.text("dense", headline);
  }
  for (const auto& [density, seeds] : by_density) {
    SeedsRow row;
    for (const Result* result : seeds) row.add(result->sparse, headline);
    text += row.text(fmt::format("density {:g}", density), headline);
  }
  std::vector<std::string> notes;  // each once
  for (const Result& result : results)
    for (const std::string& note : result.notes)
      if (std::ranges::count(notes, note) == 0) notes.push_back(note);
  text += gains_of(by_density, headline);
  for (const std::string& note : notes) text += (&note == notes.data() ? "\n" : "") + note + "\n";
  return text;
}

}  // namespace espalier
