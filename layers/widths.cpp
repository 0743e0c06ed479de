#include "espalier/layers/widths.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "espalier/core/catalogue.h"
#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {
namespace {

constexpr std::string_view weight_suffix = ".weight";

std::string without_weight(const std::string& name) {
  return name.ends_with(weight_suffix) ? name.substr(0, name.size() - weight_suffix.size()) : name;
}

// Sets that are joined until it is known which of their members belong together.
class Joined {
 public:
  // The first of so many new sets of one member.
  std::size_t add(Index count) {
    const std::size_t first = parent_.size();
    parent_.resize(first + static_cast<std::size_t>(count));
    std::iota(parent_.begin() + static_cast<std::ptrdiff_t>(first), parent_.end(), first);
    return first;
  }
  // The member that stands for its set: the one that was added first.
  std::size_t root(std::size_t member) {
    while (parent_[member] != member) member = parent_[member] = parent_[parent_[member]];
    return member;
  }
  void join(std::size_t a, std::size_t b) {
    a = root(a), b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> parent_;
};

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

// Indices of one kind: the units of a node, rows or columns of a parameter, numbers of a state.
struct Indices {
  Place place;
  Index count = 0;
  std::size_t first = nowhere;  // among the members of all; nowhere: tied to nothing so far
  std::string fixed = {};
};

class Couplings {
 public:
  Couplings(const Module& model, const Tape& tape) : tape_(tape) {
    for (const ConstNamedNumbers& state : state_of(model)) state_names_.emplace(state.numbers.data(), state.name);
  }

  std::vector<Width> widths() {
    for (std::size_t n = 0; n < tape_.nodes(); ++n) {
      const Node& node = tape_.node(n);
      all_[number_of(n, tied_value())].place.name = node.operation;
      const Ties ties = ties_of(tape_, node);
      for (const Tie& tie : ties.ties) join(n, tie);
      for (const Fixed& fixed : ties.fixed) fix(number_of(n, fixed.end), fixed.why);
    }
    fix(number_of(0, tied_value()), "they are the network's inputs");
    fix(number_of(tape_.nodes() - 1, tied_value()), "they are the network's outputs");
    std::vector<Width> found;
    for (std::size_t i = 0; i < all_.size(); ++i)
      if (kinds_.root(i) == i)
        if (std::optional<Width> width = width_of(i)) found.push_back(std::move(*width));
    return found;
  }

 private:
  using Key = std::tuple<Place::Of, const void*, std::size_t>;

  void fix(std::size_t number, const std::string& why) {
    if (all_[number].fixed.empty()) all_[number].fixed = why;
  }

  // Of the indices that an end at this node has.
  std::size_t number_of(std::size_t n, const TieEnd& end) {
    const Node& node = tape_.node(n);
    Indices fresh{.count = indices_of(tape_, node, end)};
    Place& place = fresh.place;
    const void* whose = nullptr;
    if (end.of == TieEnd::Of::rows || end.of == TieEnd::Of::columns) {
      place.of = end.of == TieEnd::Of::rows ? Place::Of::rows : Place::Of::columns;
      place.name = end.W->name();
      whose = end.W;
    } else if (end.of == TieEnd::Of::state) {
      place.of = Place::Of::state;
      whose = node.state[end.which].data();
      if (const auto name = state_names_.find(whose); name != state_names_.end()) place.name = name->second;
    } else {
      place.node = end.of == TieEnd::Of::value ? n : static_cast<std::size_t>(node.inputs[end.which]);
    }
    const auto [at, is_new] = numbers_.try_emplace(Key{place.of, whose, place.node}, all_.size());
    if (is_new) {
      kinds_.add(1);
      all_.push_back(std::move(fresh));
    }
    return at->second;
  }

  void join(std::size_t n, const Tie& tie) {
    const std::size_t a = number_of(n, tie.a), b = number_of(n, tie.b);
    kinds_.join(a, b);
    for (Indices* indices : {&all_[a], &all_[b]})
      if (indices->first == nowhere) indices->first = members_.add(indices->count);
    const auto member = [&](const TieEnd& end, std::size_t number, Index i) {
      return all_[number].first + static_cast<std::size_t>(i * end.inner);
    };
    const auto gather = [&](const TieEnd& end, std::size_t number) {  // each onto the first of its kind
      for (Index i = 0; i < all_[number].count; ++i)
        members_.join(member(end, number, i / end.inner % tie.count), all_[number].first + static_cast<std::size_t>(i));
    };
    gather(tie.a, a), gather(tie.b, b);
    for (Index i = 0; i < tie.count; ++i) members_.join(member(tie.a, a, i), member(tie.b, b, i));
    say(tape_.node(n), all_[a].place, tie.a, tie.b);
    say(tape_.node(n), all_[b].place, tie.b, tie.a);
  }

  // What this place does to the units of the other end.
  static void say(const Node& node, Place& place, const TieEnd& end, const TieEnd& other) {
    if (!place.does.empty()) return;
    if (end.of == TieEnd::Of::state) place.does = "is known of it";
    if (!end.W) return;
    if (end.W->role() == Role::bias) place.does = "is added to it";
    if (end.W->role() == Role::scale) place.does = "scales it";
    if (!end.W->prunable()) return;
    const bool of_states = std::ranges::any_of(
        node.reads, [&](const Reads& r) { return r.W == end.W && std::holds_alternative<States>(r.kind); });
    const bool makes =
        end.of == TieEnd::Of::rows ? other.of != TieEnd::Of::input : other.of == TieEnd::Of::value && !of_states;
    place.does = makes ? "makes it" : "reads it";
    place.makes = makes;
  }

  std::optional<Width> width_of(std::size_t root) {
    if (all_[root].first == nowhere) return {};  // tied to nothing: a vocabulary, which may be large
    Width width;
    std::map<std::size_t, Index> group_of;  // by the member that stands for it
    bool has_parameters = false;
    for (std::size_t i = root; i < all_.size(); ++i) {
      if (kinds_.root(i) != root) continue;
      Indices& indices = all_[i];
      Place& place = indices.place;
      for (Index m = 0; m < indices.count; ++m)
        place.group.push_back(
            group_of.try_emplace(members_.root(indices.first + static_cast<std::size_t>(m)), std::ssize(group_of))
                .first->second);
      if (width.fixed.empty()) width.fixed = indices.fixed;
      if (place.of == Place::Of::state && place.name.empty()) width.fixed = "a state of theirs has no name";
      const bool of_parameter = place.of == Place::Of::rows || place.of == Place::Of::columns;
      if (width.name.empty() && place.of == Place::Of::rows) width.name = without_weight(place.name);
      has_parameters |= of_parameter;
      width.places.push_back(std::move(place));
    }
    if (!has_parameters) return {};
    if (width.name.empty()) width.name = width.places.front().name + "s";  // "inputs"
    width.groups = std::ssize(group_of);
    if (width.fixed.empty() && !regular(width)) width.fixed = "they do not come in equal groups";
    return width;
  }

  // Invariant 3.
  static bool regular(const Width& width) {
    return std::ranges::all_of(width.places, [&](const Place& place) {
      std::vector<Index> counts(static_cast<std::size_t>(width.groups), 0);
      for (const Index group : place.group) ++counts[group];
      return std::ranges::all_of(counts, [&](Index count) { return count == counts[0]; });
    });
  }

  const Tape& tape_;
  std::map<const void*, std::string> state_names_;
  std::map<Key, std::size_t> numbers_;
  std::vector<Indices> all_;
  Joined kinds_, members_;
};

// Which indices of a place stay.
std::vector<Index> staying(const Place& place, const std::vector<Index>& kept) {
  std::vector<Index> indices;
  for (std::size_t i = 0; i < place.group.size(); ++i)
    if (std::ranges::binary_search(kept, place.group[i])) indices.push_back(static_cast<Index>(i));
  return indices;
}

void require_narrower(const Width& width, const std::vector<Index>& kept) {
  require(!kept.empty(), "[narrow] {}: expected at least 1 of its {} to stay, got none: the layer would be cut",
          width.name, width.groups);
  for (std::size_t i = 0; i < kept.size(); ++i)
    require(kept[i] >= 0 && kept[i] < width.groups && (i == 0 || kept[i - 1] < kept[i]),
            "[narrow] {}: expected ascending groups below {}, got {}", width.name, width.groups, kept[i]);
  require(width.fixed.empty() || std::ssize(kept) == width.groups,
          "[narrow] {}: expected all of its {} to stay, for {}", width.name, width.groups, width.fixed);
}

std::vector<Index> counted(Index count) {
  std::vector<Index> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), Index{0});
  return all;
}

// "3, 17-19"
std::string ranges_of(const std::vector<Index>& ascending) {
  std::string text;
  for (std::size_t i = 0; i < ascending.size();) {
    std::size_t last = i;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", ascending[i]);
    if (last > i) text += fmt::format("-{}", ascending[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace

std::vector<Index> Place::indices_of(Index which) const {
  return staying(*this, {which});
}

std::vector<Width> recorded_widths(const Module& model, const Tape& tape) {
  return Couplings(model, tape).widths();
}

std::vector<Width> widths_of(const Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  return recorded_widths(model, tape);
}

const Width& width_named(const std::vector<Width>& widths, const std::string& name, const char* what) {
  const auto found = std::ranges::find(widths, name, &Width::name);
  std::vector<std::string> names;
  for (const Width& width : widths) names.push_back(width.name);
  require(found != widths.end(), "[{}] expected {}, got \"{}\"{}", what, listed(names), name,
          did_you_mean(name, names));
  return *found;
}

Kept all_of(const std::vector<Width>& widths) {
  Kept kept;
  for (const Width& width : widths) kept.push_back(counted(width.groups));
  return kept;
}

void narrow(Module& model, const std::vector<Width>& widths, const Kept& kept) {
  struct Staying {
    std::optional<std::vector<Index>> rows, columns;
  };
  std::map<std::string, Staying> of_parameters;
  std::map<std::string, std::vector<Index>> of_states;
  require(kept.size() == widths.size(), "[narrow] expected groups of {} widths, got {}", widths.size(), kept.size());
  for (std::size_t w = 0; w < widths.size(); ++w) {
    require_narrower(widths[w], kept[w]);
    if (std::ssize(kept[w]) == widths[w].groups) continue;
    for (const Place& place : widths[w].places) {
      if (place.of == Place::Of::rows) of_parameters[place.name].rows = staying(place, kept[w]);
      if (place.of == Place::Of::columns) of_parameters[place.name].columns = staying(place, kept[w]);
      if (place.of == Place::Of::state) of_states[place.name] = staying(place, kept[w]);
    }
  }
  // Everything that can throw happens to copies.
  std::vector<std::pair<Parameter*, Parameter>> parameters;
  std::vector<std::pair<std::vector<Real>*, std::vector<Real>>> states;
  model.visit_parameters([&](Parameter& W) {
    const auto found = of_parameters.find(W.name());
    if (found == of_parameters.end()) return;
    Parameter& fresh = parameters.emplace_back(&W, W).second;
    const Staying& s = found->second;
    fresh.select(s.rows ? *s.rows : counted(W.rows()), s.columns ? *s.columns : counted(W.cols()));
  });
  model.visit_state([&](const std::string& name, std::vector<Real>& numbers) {
    const auto found = of_states.find(name);
    if (found == of_states.end()) return;
    std::vector<Real>& fresh = states.emplace_back(&numbers, std::vector<Real>()).second;
    for (const Index i : found->second) fresh.push_back(numbers[i]);
  });
  for (auto& [target, fresh] : parameters) *target = std::move(fresh);
  for (auto& [target, fresh] : states) *target = std::move(fresh);
}

std::string text_of(const Width& width, Index group) {
  std::size_t longest = 0;
  for (const Place& place : width.places)
    if (place.of != Place::Of::units) longest = std::max(longest, place.name.size());
  std::string text;
  for (const Place& place : width.places) {
    if (place.of == Place::Of::units) continue;
    const std::vector<Index> indices = place.indices_of(group);
    const char* what = place.of == Place::Of::rows ? "row" : place.of == Place::Of::columns ? "column" : "number";
    text += fmt::format("  {:{}}  {:24}  {}\n", place.name, longest,
                        fmt::format("{}{} {}", what, indices.size() == 1 ? "" : "s", ranges_of(indices)), place.does);
  }
  return text;
}

}  // namespace espalier
