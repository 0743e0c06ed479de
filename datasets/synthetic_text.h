// Text written by a program, for trying models of text where no file is at hand: sentences of a small grammar.
//
//   sentence   subject verb object [, and subject verb object] .
//   subject    the [adjective] noun, or several of them: "the old tree", "trees"
//
// A verb agrees with its subject in number ("the old tree hides a bird", "trees hide a bird"), so that what comes next
// depends on a letter that stands several words back. An accuracy reached on it says nothing about any language.
#pragma once

#include <cstdint>
#include <string>

#include "espalier/core/tensor.h"

namespace espalier {

// So many characters. A function of the seed; more characters only append. Throws UsageError unless there is one.
std::string synthetic_text(Index characters = 200000, std::uint64_t seed = 1);

}  // namespace espalier
