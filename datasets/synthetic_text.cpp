#include "espalier/datasets/synthetic_text.h"

#include <array>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/core/random.h"

namespace espalier {
namespace {

constexpr std::array<std::string_view, 12> nouns{"bird", "tree", "fox",  "stone",  "river", "farmer",
                                                 "hill", "boat", "lamp", "garden", "cloud", "wall"};
constexpr std::array<std::string_view, 8> adjectives{"old",  "green",  "quiet", "small",
                                                     "late", "bright", "cold",  "wide"};
constexpr std::array<std::string_view, 8> verbs{"hide", "see", "follow", "shade", "cross", "warm", "find", "leave"};

// The choices of one sentence, one after the other.
class Choices {
 public:
  Choices(std::uint64_t seed, Index sentence)
      : random_(seed, "synthetic-text", 0, static_cast<std::uint64_t>(sentence)) {}
  bool one_in(std::uint64_t n) { return random_.below(drawn_++, n) == 0; }
  template <std::size_t N>
  std::string_view of(const std::array<std::string_view, N>& words) {
    return words[random_.below(drawn_++, N)];
  }

 private:
  Random random_;
  std::uint64_t drawn_ = 0;
};

// "es" behind a hiss, else "s": foxes, sees, crosses.
std::string with_s(std::string_view word) {
  std::string text(word);
  return text.append(word.ends_with('x') || word.ends_with("ss") ? "es" : "s");
}

std::string noun_phrase(Choices& choices, bool plural) {
  std::string text = plural && choices.one_in(2) ? "" : "the ";
  if (choices.one_in(3)) text.append(choices.of(adjectives)).append(" ");
  const std::string_view noun = choices.of(nouns);
  return text.append(plural ? with_s(noun) : std::string(noun));
}

std::string clause(Choices& choices) {
  const bool plural = choices.one_in(2);
  std::string text = noun_phrase(choices, plural);
  const std::string_view verb = choices.of(verbs);
  text.append(" ").append(plural ? std::string(verb) : with_s(verb)).append(" ");
  const bool plural_object = choices.one_in(2);
  return text.append(noun_phrase(choices, plural_object));
}

}  // namespace

std::string synthetic_text(Index characters, std::uint64_t seed) {
  require(characters > 0, "[synthetic-text] expected at least 1 character, got {}", characters);
  std::string text;
  for (Index sentence = 0; static_cast<Index>(text.size()) < characters; ++sentence) {
    Choices choices(seed, sentence);
    text += clause(choices);
    if (choices.one_in(3)) text += ", and " + clause(choices);
    text += ".\n";
  }
  text.resize(characters);
  return text;
}

}  // namespace espalier
