#include "espalier/datasets/table/fit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/table/notes.h"

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

// Of a column of three values and more. sample: sorted.
Scaling scaling_of(const NumberStatistics& s, std::vector<float> sample, const ScalingChoice& choice) {
  Scaling scaling;
  if (choice.kind == ScalingKind::standard) {
    scaling.centre = s.mean();
    scaling.scale = s.deviation();
  }
  if (!choice.by_quantiles()) return scaling;
  const auto low = static_cast<float>(s.low), high = static_cast<float>(s.high);
  if (sample.empty()) sample = {low, high};  // the rows drawn miss this number, all of them
  if (choice.kind == ScalingKind::robust || choice.kind == ScalingKind::piecewise) {
    scaling.centre = quantile(sample, 0.5);
    scaling.scale = quantile(sample, 0.75) - quantile(sample, 0.25);
    if (scaling.scale <= 0) scaling.scale = (s.high - s.low) / 2;
    scaling.bounded = true;
  }
  if (choice.kind == ScalingKind::robust) return scaling;
  // Drawn or not, the ends of the range are ends of the encoding.
  if (sample.front() > low) sample.insert(sample.begin(), low);
  if (sample.back() < high) sample.push_back(high);
  if (choice.kind == ScalingKind::quantile) return normal_scores(sample);
  scaling.edges = bin_edges(sample, choice.bins);
  return scaling;
}

// range: of the whole file.
void fit_numbers(ColumnRule& rule, const NumberStatistics& s, const NumberRange& range, std::vector<float> sample,
                 const TableOptions& options) {
  rule.kind = ColumnKind::ignored;
  rule.why = s.count == 0                  ? "no values in the training part"
             : range.low() == range.high() ? "constant"
                                           : "constant in the training part";
  if (s.count == 0 || (!s.two && s.missing == 0)) return;
  rule.kind = ColumnKind::numeric;
  rule.low = s.low;
  rule.high = s.high;
  rule.why.clear();
  rule.missing = s.missing > 0;
  std::erase_if(sample, [](float x) { return std::isnan(x); });
  std::ranges::sort(sample);
  const ScalingChoice choice = scaling_named(options.scaling);
  const bool median = options.impute == "median" || (options.impute == "auto" && choice.by_quantiles());
  rule.fill = median && !sample.empty() ? quantile(sample, 0.5) : s.mean();
  if (!s.more) {
    rule.scaling.centre = s.low;
    rule.scaling.scale = s.two ? s.high - s.low : 1;
  } else {
    rule.scaling = scaling_of(s, std::move(sample), choice);
  }
  if (!(rule.scaling.scale > 0)) rule.scaling.scale = 1;  // values that differ in their last bit only
}

// The rows of the training part that have each of a column's words; a word that has no number; none.
struct WordRows {
  std::vector<Index> of;  // [words]
  Index beyond = 0, missing = 0;
};

// What there is to know of all columns in the training part.
struct Statistics {
  std::vector<NumberStatistics> numbers;    // [columns]
  std::vector<std::vector<float>> samples;  // [columns][rows drawn], for quantiles
  std::vector<WordRows> words;              // [columns]
  NumberStatistics target;                  // of regression
};

// Why a column of words says nothing; empty if it may.
std::string why_ignored(const WordRows& s, Index known, Index different, bool used) {
  if (known == 0) return "no values in the training part";
  if (different == 1 && s.missing == 0) return "constant";
  if (different > most_word_features && 2 * different > known && !used) return "another word in nearly every row";
  return {};
}

// Ranks as numbers. seen: words, in the order of their ranks.
void fit_ranks(ColumnRule& rule, const std::vector<std::size_t>& seen, const WordRows& s, const TableOptions& options) {
  double sum = 0, squares = 0, count = 0, rank = 0;
  for (const std::size_t w : seen) {
    const auto n = static_cast<double>(s.of[w]);
    count += n, sum += n * rank, squares += n * rank * rank;
    ++rank;
  }
  const double mean = sum / count, deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  rule.fill = mean;
  if (scaling_named(options.scaling).kind == ScalingKind::none) return;
  rule.scaling.centre = mean;
  if (deviation > 0) rule.scaling.scale = deviation;
}

// Returns how words are numbered from now on. used: the column was asked for.
std::vector<Cell> fit_words(ColumnRule& rule, const std::vector<std::string>& words, const WordRows& s, bool used,
                            const TableOptions& options) {
  std::vector<Cell> renumber(words.size(), unseen_word);
  std::vector<std::size_t> seen;
  for (std::size_t w = 0; w < words.size(); ++w)
    if (s.of[w] > 0) seen.push_back(w);
  const Index known = std::accumulate(s.of.begin(), s.of.end(), s.beyond);
  rule.kind = ColumnKind::ignored;
  rule.why = why_ignored(s, known, static_cast<Index>(seen.size()) + s.beyond, used);
  if (!rule.why.empty()) return renumber;

  rule.kind = options.encoding == "ordinal" ? ColumnKind::ordinal : ColumnKind::categorical;
  rule.missing = s.missing > 0;
  if (rule.kind == ColumnKind::categorical) {
    std::ranges::sort(seen, [&](std::size_t a, std::size_t b) {
      return s.of[a] != s.of[b] ? s.of[a] > s.of[b] : words[a] < words[b];
    });
    const auto all = seen.size();
    if (all > static_cast<std::size_t>(most_word_features)) seen.resize(static_cast<std::size_t>(most_word_features));
    while (!seen.empty() && s.of[seen.back()] * rare_word < known) seen.pop_back();
    rule.other = seen.size() < all || s.beyond > 0;
  }
  std::ranges::sort(seen, {}, [&](std::size_t w) -> const std::string& { return words[w]; });
  for (const std::size_t w : seen) {
    renumber[w] = static_cast<Cell>(rule.words.size());
    rule.words.push_back(words[w]);
  }
  if (rule.kind == ColumnKind::ordinal)
    fit_ranks(rule, seen, s, options);
  else if (rule.words.size() == 2 && !rule.other && !rule.missing)
    rule.kind = ColumnKind::binary;
  return renumber;
}

Statistics statistics_of(const Table& table, const std::vector<Part>& parts, const Layout& layout, bool regression,
                         const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  Statistics s;
  s.numbers.resize(columns), s.samples.resize(columns), s.words.resize(columns);
  for (std::size_t c = 0; c < columns; ++c) s.words[c].of.resize(table.dictionaries[c].words().size());

  const bool quantiles = scaling_named(options.scaling).by_quantiles() || options.impute == "median";
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
        WordRows& words = s.words[c];
        ++(row[c] == missing_word ? words.missing : row[c] == unseen_word ? words.beyond : words.of[row[c]]);
      }
    }
    if (regression) s.target.add(std::bit_cast<float>(row[columns]));
  });
  return s;
}

}  // namespace

Preprocessing fit(Table& table, const std::vector<Part>& parts, const Profile& profile, const Layout& layout,
                  const Preprocessing& target, const TableOptions& options) {
  const std::size_t columns = layout.field.size();
  Preprocessing result = target;
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
      rule.offset = layout.offset[c];
      fit_numbers(rule, s.numbers[c], profile.columns[layout.field[c]].range, std::move(s.samples[c]), options);
    } else {
      table.renumber[c] = fit_words(rule, table.dictionaries[c].words(), s.words[c], layout.used[c], options);
    }
  }
  table.dictionaries.clear();
  if (result.features() == 0)
    throw FileError(fmt::format("{}: expected a column to learn from, found none; {}", table.name,
                                fmt::join(ignored_columns(result), "; ")));
  if (regression) {
    result.target.mean = s.target.mean();
    result.target.deviation = s.target.deviation();
    if (!(result.target.deviation > 0))
      throw FileError(fmt::format("{}: column {}, the target: expected values that differ, found {} in every row",
                                  table.name, shown(result.target.name), result.target.offset + result.target.mean));
  }
  return result;
}

}  // namespace espalier::table
