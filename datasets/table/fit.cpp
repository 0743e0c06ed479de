#include "espalier/datasets/table/fit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier::table {
namespace {

// What there is to know of a column of numbers in the training part.
struct NumberStatistics {
  Index count = 0, missing = 0;
  double first = 0, second = 0;  // of the values; second: the first other one
  bool two = false, more = false;
  double sum = 0, squares = 0;  // about the first value, so that little cancels
  double low = 0, high = 0;

  void add(float value) {
    const auto x = static_cast<double>(value);
    if (std::isnan(x)) {
      ++missing;
      return;
    }
    if (count++ == 0) first = second = low = high = x;
    const double d = x - first;
    sum += d;
    squares += d * d;
    low = std::min(low, x);
    high = std::max(high, x);
    if (d != 0 && x != second) {
      more = two;
      if (!two) second = x;
      two = true;
    }
  }
  double mean() const { return first + sum / static_cast<double>(count); }
  double deviation() const {
    const auto n = static_cast<double>(count);
    return std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
  }
};

// Of sorted numbers, with linear interpolation; q in [0, 1].
double quantile(const std::vector<float>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const double part = at - static_cast<double>(below);
  const auto a = static_cast<double>(sorted[below]);
  return part > 0 ? a + part * (static_cast<double>(sorted[below + 1]) - a) : a;
}

void fit_numbers(ColumnRule& rule, const NumberStatistics& s, std::vector<float> sample, const TableOptions& options) {
  rule.kind = ColumnKind::ignored;
  rule.why = s.count == 0 ? "no values in the training part" : "constant";
  if (s.count == 0 || (!s.two && s.missing == 0)) return;
  rule.kind = ColumnKind::numeric;
  rule.why.clear();
  rule.missing = s.missing > 0;
  std::erase_if(sample, [](float x) { return std::isnan(x); });
  std::ranges::sort(sample);
  const bool median = options.impute == "median" || (options.impute == "auto" && options.scaling == "robust");
  rule.fill = median && !sample.empty() ? quantile(sample, 0.5) : s.mean();
  if (!s.more) {
    rule.centre = s.low;
    rule.scale = s.two ? s.high - s.low : 1;
  } else if (options.scaling == "standard") {
    rule.centre = s.mean();
    rule.scale = s.deviation();
  } else if (options.scaling == "robust") {
    rule.centre = quantile(sample, 0.5);
    rule.scale = quantile(sample, 0.75) - quantile(sample, 0.25);
    if (rule.scale <= 0) rule.scale = (s.high - s.low) / 2;
    rule.bounded = true;
  }
  if (!(rule.scale > 0)) rule.scale = 1;  // values that differ in their last bit only
}

// rows: [words], in the training part. Returns how words are numbered from now on.
std::vector<Cell> fit_words(ColumnRule& rule, const std::vector<std::string>& words, const std::vector<Index>& rows,
                            Index beyond, Index missing, const TableOptions& options) {
  std::vector<Cell> renumber(words.size(), unseen_word);
  std::vector<std::size_t> seen;
  for (std::size_t w = 0; w < words.size(); ++w)
    if (rows[w] > 0) seen.push_back(w);
  const auto known = std::accumulate(rows.begin(), rows.end(), beyond);
  const auto different = static_cast<Index>(seen.size()) + beyond;
  rule.kind = ColumnKind::ignored;
  if (known == 0)
    rule.why = "no values in the training part";
  else if (different == 1 && missing == 0)
    rule.why = "constant";
  else if (different > most_word_features && 2 * different > known)
    rule.why = "another word in nearly every row";
  else
    rule.kind = options.encoding == "ordinal" ? ColumnKind::ordinal : ColumnKind::categorical;
  if (rule.kind == ColumnKind::ignored) return renumber;

  rule.missing = missing > 0;
  if (rule.kind == ColumnKind::categorical) {
    std::ranges::sort(seen, [&](std::size_t a, std::size_t b) {
      return rows[a] != rows[b] ? rows[a] > rows[b] : words[a] < words[b];
    });
    const auto all = seen.size();
    if (all > static_cast<std::size_t>(most_word_features)) seen.resize(static_cast<std::size_t>(most_word_features));
    while (!seen.empty() && rows[seen.back()] * rare_word < known) seen.pop_back();
    rule.other = seen.size() < all || beyond > 0;
  }
  std::ranges::sort(seen, {}, [&](std::size_t w) -> const std::string& { return words[w]; });
  for (const std::size_t w : seen) {
    renumber[w] = static_cast<Cell>(rule.words.size());
    rule.words.push_back(words[w]);
  }
  if (rule.kind == ColumnKind::ordinal) {
    double sum = 0, squares = 0, count = 0;
    for (const std::size_t w : seen) {
      const auto rank = static_cast<double>(renumber[w]), n = static_cast<double>(rows[w]);
      count += n, sum += n * rank, squares += n * rank * rank;
    }
    rule.fill = rule.centre = sum / count;
    const double deviation = std::sqrt(std::max(0.0, squares / count - rule.centre * rule.centre));
    if (options.scaling == "none")
      rule.centre = 0;
    else if (deviation > 0)
      rule.scale = deviation;
  } else if (rule.words.size() == 2 && !rule.other && !rule.missing) {
    rule.kind = ColumnKind::binary;
  }
  return renumber;
}

// What there is to know of all columns in the training part.
struct Statistics {
  std::vector<NumberStatistics> numbers;    // [columns]
  std::vector<std::vector<float>> samples;  // [columns][rows drawn], for quantiles
  std::vector<std::vector<Index>> rows;     // [columns][words]
  std::vector<Index> beyond, missing;       // [columns]: rows with a word that has no number, with none
  NumberStatistics target;                  // of regression
};

Statistics statistics_of(const Table& table, const std::vector<Part>& parts, const Layout& layout, bool regression,
                         const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  Statistics s;
  s.numbers.resize(columns), s.samples.resize(columns), s.rows.resize(columns);
  s.beyond.resize(columns), s.missing.resize(columns);
  for (std::size_t c = 0; c < columns; ++c) s.rows[c].resize(table.dictionaries[c].words().size());

  const bool quantiles = options.scaling == "robust" || options.impute == "median";
  constexpr Index most_sample_cells = Index{1} << 24;
  Index left = std::ranges::count(parts, Part::train);
  const auto most_rows =
      std::min(most_quantile_rows, std::max<Index>(1024, most_sample_cells / static_cast<Index>(columns)));
  Index wanted = quantiles ? std::min(left, most_rows) : 0;
  const Random draw(options.seed, "table/quantiles");
  table.cells.for_each_row([&](Index i, std::span<const Cell> row) {
    if (parts[i] != Part::train) return;
    const bool sampled = wanted > 0 && draw.uniform(static_cast<std::uint64_t>(i)) * static_cast<double>(left) <
                                           static_cast<double>(wanted);
    --left;
    wanted -= sampled;
    for (std::size_t c = 0; c < columns; ++c) {
      if (layout.content[c] == Content::numbers) {
        const auto x = std::bit_cast<float>(row[c]);
        s.numbers[c].add(x);
        if (sampled) s.samples[c].push_back(x);
      } else if (layout.content[c] == Content::words) {
        ++(row[c] == missing_word ? s.missing[c] : row[c] == unseen_word ? s.beyond[c] : s.rows[c][row[c]]);
      }
    }
    if (regression) s.target.add(std::bit_cast<float>(row[columns]));
  });
  return s;
}

}  // namespace

Preprocessing fit(Table& table, const std::vector<Part>& parts, const Profile& profile, const Layout& layout,
                  const Encoder& target, const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  Preprocessing result = target.rules();
  const bool regression = result.target.classes.empty();
  Statistics s = statistics_of(table, parts, layout, regression, options);
  table.renumber.resize(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    ColumnRule& rule = result.columns.emplace_back();
    rule.name = profile.names[layout.field[c]];
    if (layout.content[c] == Content::ignored) {
      rule.kind = ColumnKind::ignored;
      rule.why = layout.why[c];
    } else if (layout.content[c] == Content::numbers) {
      fit_numbers(rule, s.numbers[c], std::move(s.samples[c]), options);
    } else {
      table.renumber[c] = fit_words(rule, table.dictionaries[c].words(), s.rows[c], s.beyond[c], s.missing[c], options);
    }
  }
  table.dictionaries.clear();
  if (result.features() == 0)
    throw FileError(fmt::format("{}: expected a column to learn from, found constants and dates only", table.name));
  if (regression) {
    result.target.mean = s.target.mean();
    result.target.deviation = s.target.deviation();
    if (!(result.target.deviation > 0))
      throw FileError(fmt::format("{}: column {}, the target: expected values that differ, found {} in every row",
                                  table.name, result.target.name, result.target.mean));
  }
  return result;
}

}  // namespace espalier::table
