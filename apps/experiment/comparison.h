// Runs side by side: which of them is good, and what is that goodness paid with?
//
// Runs that differ in their seed alone are one row, with the mean of every number and its standard deviation over the
// seeds. Controls stand in it: the dense networks that the runs were compared with, random patterns, what a linear
// model reaches. A row is on the *front* of a cost if no other row is as good at a lower cost, nor better at the same
// one (Pareto): the rows that are worth choosing among.
//
//   rows  ─►  text  |  Markdown  |  CSV  |  JSON  |  SVG          the same numbers in all of them
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "espalier/experiment/config.h"
#include "espalier/experiment/result_json.h"
#include "espalier/experiment/statistics.h"

namespace espalier {

struct ComparedRun {
  std::filesystem::path folder;
  Result result;
  RunConfig config;
};
// The finished runs of these folders, which are runs or sweeps, each once. Throws FileError, and UsageError unless all
// of them were tested on the same data.
std::vector<ComparedRun> compared_runs(const std::vector<std::filesystem::path>& folders);

struct ComparisonRow {
  // "dense", "random", "rigl", "linear"; structure: empty where nothing is pruned
  std::string method, structure, control, model;
  double density = 1;
  Index epochs = 0;
  // By the keys of `compared_numbers`: of each seed for which it is known.
  std::map<std::string, std::vector<double>> values = {};
  std::vector<std::uint64_t> seeds = {};
  std::vector<std::string> fronts = {};  // keys of the costs on whose front it is
  bool timed = true;
  std::optional<MeanSd> of(const std::string& key) const;
};

// A number of a row.
struct ComparedNumber {
  const char *key, *title;
  std::string (*text)(double);
  bool quality = false, cost = false;
  bool rises = false;   // of qualities: more is better
  bool spread = false;  // people are shown the deviation, too
};
// test_accuracy or test_rmse; nonzeros, forward_flops, train_flops, file_bytes, train_step_seconds, inference_seconds,
// train_step_ratio, inference_ratio.
std::vector<ComparedNumber> compared_numbers(bool classes);

struct Comparison {
  std::string dataset;
  bool classes = true;
  std::vector<ComparisonRow> rows;
  std::vector<std::string> processors;
};
Comparison comparison_of(std::span<const ComparedRun> runs);

// For people. What was not timed yet is said to be so.
std::string comparison_text(const Comparison& comparison);
std::string comparison_markdown(const Comparison& comparison);
// For programs: mean, sd and n of every number.
std::string comparison_csv(const Comparison& comparison);
Json comparison_json(const Comparison& comparison);
// Quality against the weights that are left, a curve for each method, with its deviation; readable on light and dark.
std::string comparison_svg(const Comparison& comparison);

}  // namespace espalier
