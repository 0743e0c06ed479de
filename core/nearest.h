// Which of some names was meant by one that is none of them.
//
// A function of a page and not a library: what the distribution has compares millions of strings, and would be one more
// package to install for a sentence in an error message.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {

// "a, b or c"; "a" for one name, "" for none.
std::string listed(const std::vector<std::string>& names);

// How many letters have to be inserted, deleted, replaced or swapped with their neighbours to make one word of the
// other, no letter twice (Damerau 1964; the "optimal string alignment"). Case counts for nothing.
std::size_t edits_between(std::string_view a, std::string_view b);

// The names that are nearest to what was given, at most three, in their order: those with the fewest edits, if these
// are one for every three letters or less, and one letter at least is right; else those that begin with it. A name that
// ends in ':' is the beginning of many: it is compared with the given one up to its ':', and comes with what stands
// behind.
std::vector<std::string> nearest_names(std::string_view given, const std::vector<std::string>& names);

// "; did you mean rigl?", to be put behind an error; "" if nothing is near.
std::string did_you_mean(std::string_view given, const std::vector<std::string>& names);

// [what] expected a, b or c, got "given"; did you mean b?
UsageError not_among(const std::vector<std::string>& names, std::string_view what, std::string_view given);

}  // namespace espalier
