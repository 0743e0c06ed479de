// Results for people: tables of text.
#pragma once

#include <string>
#include <vector>

#include "espalier/experiment/result.h"

namespace espalier {

std::string text_of_seconds(double seconds);   // "1.20 ms"
std::string text_of_bytes(double bytes);       // "42.1 KB"
std::string text_of_count(double count);       // "1.20 M"
std::string with_commas(double count);         // "235,200"
std::string text_of_percent(double fraction);  // "97.31 %"
std::string text_of_fraction(double fraction);
std::string text_of_error(double error);
std::string text_of(const Evaluation& evaluation);  // "97.31 %", "RMSE 0.4711"
// "of 200 rows whose income is known: accuracy 85.92 %, ...": a line.
std::string metrics_line_of(const Metrics& metrics, const std::string& target, const std::string& rows = "rows");

// dense | sparse | ratio
std::string table_of(const Result& result);
std::string layer_table_of(const Result& result);
// Empty if there are no baselines.
std::string baseline_table_of(const Result& result);
// "inputs: 3 of 40 columns left: x1, w0, x7"; empty for results without tables.
std::string inputs_line_of(const Result& result);
// What a run prints: a headline, the tables, and what there is to note.
std::string page_of(const Result& result);
// Rows of mean +- sd over seeds, and, where there are dense twins, what pruning gained seed by seed.
std::string seeds_table_of(const std::vector<Result>& results);

}  // namespace espalier
