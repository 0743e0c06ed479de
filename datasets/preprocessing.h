// From a row of text to the numbers a network reads. A Preprocessing is a value: fitted once, on the training part of a
// table (datasets/table.h), saved beside the model as JSON, and applied to any row afterwards.
//
//   column        a field           its features
//   numeric       39                what its scaling makes of it: (39 - centre) / scale, or more (datasets/scaling.h)
//                 missing           the same of `fill`; and 1 in a feature "missing", if the training part had any
//   binary        one of two words  0 or 1; 1/2 if it is missing or another word
//   categorical   Private           1 in the feature of its word, 0 in those of the others
//                 rare or unseen    1 in a feature "other", if the training part had rare words; else all are 0
//                 missing           1 in a feature "missing", if the training part had any; else as an unseen word
//   ordinal       Private           the rank of the word, in alphabetical order, as a number
//   ignored       dates, constants, counters of rows, and words of which nearly every row has another one: no features
//
// A number is kept as a float. Where that would lose what tells a column's numbers apart (seconds since 1970, of one
// day, outliers or not), an offset is subtracted first, with 64 bits of mantissa; scaling, fill, low and high are
// relative to it. Columns of smaller numbers have offset 0.
//
// Numeric columns of two values are put to 0 and 1 (centre: the lower, scale: the difference), whatever the scaling.
#pragma once

#include <bitset>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "espalier/core/tensor.h"
#include "espalier/datasets/dialect.h"
#include "espalier/datasets/numbers.h"
#include "espalier/datasets/scaling.h"

namespace espalier {

// The number that a field holds, less an offset, in a file whose decimal mark is '.' or ','. Plain numbers, which are
// nearly all, take the short way.
inline Number number_of(std::string_view field, char decimal, double offset, double& value) {
  if (offset == 0 && (decimal == '.' || field.find('.') == std::string_view::npos))
    if (const Number plain = parse_number(field, value); plain != Number::none) return plain;
  long double exact = 0;
  const Number number = read_number(field, decimal, exact);
  value = static_cast<double>(exact - static_cast<long double>(offset));
  return number;
}

enum class ColumnKind { numeric, binary, categorical, ordinal, ignored };
std::string_view name_of(ColumnKind kind);

struct ColumnRule {
  std::string name;
  ColumnKind kind = ColumnKind::numeric;
  std::string why;       // ignored: why
  double offset = 0;     // numeric: what is subtracted before a number becomes a float
  Scaling scaling = {};  // numeric, of a number less the offset; ordinal, of a rank
  double fill = 0;       // numeric, ordinal: what stands for a missing one, less the offset
  // numeric: the range of the training part, less the offset
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  std::vector<std::string> words = {};  // binary, categorical, ordinal: in alphabetical order
  bool other = false;                   // categorical: a feature for rare and unseen words
  bool missing = false;                 // a feature for missing ones
  Index features() const;
};

struct TargetRule {
  std::string name;
  std::vector<std::string> classes;  // none: regression
  double mean = 0, deviation = 1;    // regression: the network's output is (value - offset - mean) / deviation
  double offset = 0;
  // Regression: an output of the network in original units, with the digits that tell such values apart.
  std::string text_of(double output) const;
};

struct Preprocessing {
  std::vector<ColumnRule> columns;  // in the order of the training file, without the target
  TargetRule target;
  std::vector<std::string> missing_marks;
  Dialect dialect = {};       // of the training file; nothing is settled: of a run from before it was kept
  Index sparse_features = 0;  // above 0: rows are LIBSVM's, of so many features, and there are no columns

  Index features() const;
  // "age", "age from 25 to 31", "age missing", "sex = Male", "native_country other"
  std::vector<std::string> feature_names() const;
  // Which column each feature is made of: an index into columns, or the feature itself if rows are sparse.
  std::vector<Index> source_columns() const;
  std::string column_name(Index column) const;
  Index source_column_count() const { return sparse_features ? sparse_features : static_cast<Index>(columns.size()); }
};

std::string to_json(const Preprocessing& preprocessing);
// Throws FileError, naming `file`, if the text is anything else or makes no sense.
Preprocessing preprocessing_from_json(const std::string& text, const std::string& file);

// Marks that stand for a missing value, besides the empty field, in any mixture of small and capital letters: those of
// pandas, and "?".
std::vector<std::string> usual_missing_marks();

class MissingMarks {
 public:
  explicit MissingMarks(const std::vector<std::string>& marks);
  bool holds(std::string_view field) const {
    return field.empty() || (begins_[static_cast<unsigned char>(field[0])] && known(field));
  }
  // Whether there are any that could be taken for numbers, such as -999.
  bool numeric() const { return numeric_; }

 private:
  bool known(std::string_view field) const;
  std::vector<std::string> marks_;  // in small letters
  std::bitset<256> begins_;         // with which characters they begin
  bool numeric_ = false;
};

// What a field becomes when rows are kept in memory: the bits of a float, or the number of a word.
using Cell = std::uint32_t;
constexpr Cell missing_word = 0xffffffff, unseen_word = 0xfffffffe;
constexpr Cell most_words = 0xfffffff0;

// Words where a column has numbers, or the target something else than classes.
struct StrayWords {
  Index count = 0, line = 0;  // line: of the first
  std::string first = {};
  void add(std::string_view word, Index at_line) {
    if (count++ == 0) first = word, line = at_line;
  }
};

// What was replaced on the way.
struct EncodingCounts {
  Index rows = 0, line = 0;                               // line: of the row that is being encoded
  std::vector<Index> missing, unseen, infinite, outside;  // [columns]; outside: of the training part's range
  std::vector<StrayWords> stray;                          // [columns]; taken for missing
  StrayWords target;                                      // labels that are no class, targets that are no number
  explicit EncodingCounts(std::size_t columns = 0)
      : missing(columns), unseen(columns), infinite(columns), outside(columns), stray(columns) {}
};

struct WordHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
};
using WordMap = std::unordered_map<std::string, Cell, WordHash, std::equal_to<>>;

// A target that is no class, or no number: what was expected and found. The reader of the file adds file and line.
struct BadField final : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A Preprocessing made ready to be applied. Immutable: one may be used from any thread.
class Encoder {
 public:
  explicit Encoder(Preprocessing rules);
  const Preprocessing& rules() const { return rules_; }
  Index features() const { return features_; }

  // The cell of a field of column c; adds to the counts. A word in a numeric column is a missing number.
  Cell encode(std::size_t c, std::string_view field, EncodingCounts& counts) const;
  // cells: [columns] -> features: [features]
  void expand(std::span<const Cell> cells, std::span<Real> features) const;
  // The class of a field, or the number less the target's offset; -1 and NaN if missing. Throws BadField for anything
  // else. A class is found by its text, or else by its number: 1, 1.0 and +1 are one class, and -0 is 0.
  std::int32_t label(std::string_view field) const;
  double value(std::string_view field) const;

 private:
  Preprocessing rules_;
  char decimal_;
  MissingMarks marks_;
  std::vector<WordMap> words_;  // [columns]
  std::unordered_map<std::string, std::int32_t, WordHash, std::equal_to<>> classes_;
  std::map<long double, std::int32_t> classes_by_number_;
  std::vector<Index> first_;  // [columns], of their features
  Index features_ = 0;
};

using EncoderPtr = std::shared_ptr<const Encoder>;

}  // namespace espalier
