#include "espalier/datasets/table/target.h"

#include <algorithm>
#include <map>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"

namespace espalier::table {
namespace {

// The first spelling of a number: 007, 1.0, -0.
struct Spelling {
  Index place = 0;
  const std::string* text = nullptr;
};

class TargetChooser {
 public:
  TargetChooser(const Profile& profile, const TableOptions& options)
      : profile_(profile),
        options_(options),
        column_(profile.columns[profile.target]),
        name_(profile.names[profile.target]),
        as_words_(std::ranges::find(options.categorical, name_) != options.categorical.end()) {
    for (const auto& [text, target] : profile.texts) {
      long double number = 0;
      if (is_none(text)) {
        nones_ += target.rows;
      } else if (read_number(text, profile.dialect.decimal, number) == Number::finite) {
        Spelling& first = numbers_[number];
        if (!first.text || target.place < first.place) first = {target.place, &text};
      }
    }
  }

  TargetChoice choice() const {
    if (column_.known() == 0) fail("expected values, found none");
    const bool numbers = is_numbers();
    if (options_.task == "regression" && !numbers)
      throw FileError(fmt::format("{}: line {}: column {}, the target: expected a number, found {}", profile_.file,
                                  column_.words.line, shown(name_), quoted(column_.words.first)));
    TargetChoice choice{.has_strays = numbers && column_.words.count > 0};
    if (options_.task != "regression" && (options_.task == "classification" || !numbers || looks_like_codes())) {
      choice.classes = numbers && column_.infinite == 0 ? names_of_numbers() : names_of_words();
      check(choice.classes);
    } else {
      if (column_.infinite > 0) fail(fmt::format("expected finite numbers, found {} infinite ones", column_.infinite));
      choice.offset = column_.float_fit().offset;
    }
    if (options_.task == "auto") choice.reason = reason(choice, numbers);
    return choice;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(fmt::format("{}: column {}, the target: {}", profile_.file, shown(name_), what));
  }

  bool looks_like_codes() const {
    return column_.range.whole() && column_.infinite == 0 &&
           looks_like_classes(static_cast<Index>(numbers_.size()), profile_.rows);
  }

  // Whether the target is of numbers: none of its fields is a word, or so few that they are strays. Beside codes a word
  // may be one more class, so there strays are fewer than among other numbers.
  bool is_numbers() const {
    if (as_words_ || column_.numbers == 0) return false;
    const Index words = column_.words.count - nones_;
    if (words == 0) return nones_ <= column_.numbers;
    const bool codes = options_.task != "regression" && looks_like_codes();
    return codes ? words <= std::max<Index>(1, column_.numbers / 100) : 9 * words <= column_.numbers;
  }

  std::vector<std::string> names_of_numbers() const {
    std::vector<std::string> names;
    for (const auto& [number, spelling] : numbers_) names.push_back(*spelling.text);
    return names;
  }

  std::vector<std::string> names_of_words() const {
    std::vector<std::string> names;
    for (const auto& [text, target] : profile_.texts) names.push_back(text);
    std::ranges::sort(names);
    return names;
  }

  void check(const std::vector<std::string>& names) const {
    const auto count = static_cast<Index>(names.size());
    if (count < 2) fail(fmt::format("expected at least two classes, found {} in every row", quoted(names.front())));
    if (count > most_classes)
      fail(fmt::format("expected at most {} classes, found more (another target, or task regression?)", most_classes));
    if (2 * count > column_.known())
      fail(fmt::format("expected classes of two rows and more, found {} in {} rows (another target?)", count,
                       column_.known()));
  }

  std::string reason(const TargetChoice& choice, bool numbers) const {
    const std::size_t different = numbers_.size();
    if (!numbers) return "for it holds words";
    if (!choice.classes.empty()) return fmt::format("for its {} different whole numbers are few", different);
    if (!column_.range.whole() || different > static_cast<std::size_t>(most_classes)) return "for it holds numbers";
    return fmt::format("for its {} different whole numbers are many", different);
  }

  const Profile& profile_;
  const TableOptions& options_;
  const ColumnProfile& column_;
  const std::string& name_;
  bool as_words_;
  std::map<long double, Spelling> numbers_;  // as many as there are texts, at most
  Index nones_ = 0;                          // rows that say None
};

}  // namespace

TargetChoice target_of(const Profile& profile, const TableOptions& options) {
  return TargetChooser(profile, options).choice();
}

}  // namespace espalier::table
