#include "espalier/datasets/synthetic_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numbers>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

constexpr std::size_t numeric_columns = 30, word_columns = 10, relevant_numbers = 7, relevant_words = 3;
constexpr std::size_t all_columns = numeric_columns + word_columns;
constexpr std::array<std::string_view, 4> words{"ash", "birch", "cedar", "oak"};

std::string column_name(std::size_t c) {
  return c < numeric_columns ? fmt::format("x{}", c) : fmt::format("w{}", c - numeric_columns);
}

// Where each column stands.
std::vector<std::size_t> order_of(const SyntheticTable& options) {
  std::vector<std::size_t> order(all_columns);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random(options.seed, "table/order").shuffle(std::span(order));
  return order;
}

struct Row {
  std::array<double, numeric_columns> x;
  std::array<std::size_t, word_columns> w;
};

// Of mean about 0 and deviation about 1; each of the ten columns has a share of its own.
double signal(const Row& row) {
  const auto& [x, w] = row;
  constexpr std::array<double, 4> shift{-1.2, -0.4, 0.4, 1.2};
  const double sign = w[1] < 2 ? 1 : -1;
  return 0.46 * (1.4 * std::sin(1.5 * x[0]) + 1.2 * x[1] * x[2] + 0.8 * (x[3] * x[3] - 1) + sign * x[4] + x[5] +
                 1.2 * std::tanh(2 * x[6]) + shift[w[0]] + (w[2] == 3 ? 1.5 : -0.5));
}

}  // namespace

std::string synthetic_table_csv(const SyntheticTable& options) {
  require(options.rows > 0, "[synthetic-table] expected a positive number of rows, got {}", options.rows);
  const std::vector<std::size_t> order = order_of(options);
  std::string text;
  for (const std::size_t c : order) text += column_name(c) + ",";
  text += "y\n";
  for (Index i = options.first; i < options.first + options.rows; ++i) {
    const auto sample = static_cast<std::uint64_t>(i);
    const Random numbers(options.seed, "table/numbers", 0, sample), chosen(options.seed, "table/words", 0, sample),
        gaps(options.seed, "table/gaps", 0, sample);
    Row row;
    for (std::size_t c = 0; c < numeric_columns; ++c) row.x[c] = std::round(1000 * numbers.normal(c)) / 1000;
    for (std::size_t c = 0; c < word_columns; ++c) row.w[c] = chosen.below(c, words.size());
    for (const std::size_t c : order) {
      const bool word = c >= numeric_columns;
      const bool matters = word ? c - numeric_columns < relevant_words : c < relevant_numbers;
      if (matters || gaps.uniform(c) >= options.missing) {
        if (word)
          text += words[row.w[c - numeric_columns]];
        else
          fmt::format_to(std::back_inserter(text), "{}", row.x[c]);
      }
      text += ',';
    }
    const double y = signal(row) + options.noise * numbers.normal(numeric_columns);
    if (options.regression)
      fmt::format_to(std::back_inserter(text), "{:.4f}\n", y);
    else
      text += y > 0 ? "high\n" : "low\n";
  }
  return text;
}

std::vector<std::string> relevant_columns(const SyntheticTable& options) {
  std::vector<std::string> names;
  for (const std::size_t c : order_of(options))
    if (c < relevant_numbers || (c >= numeric_columns && c < numeric_columns + relevant_words))
      names.push_back(column_name(c));
  return names;
}

}  // namespace espalier
