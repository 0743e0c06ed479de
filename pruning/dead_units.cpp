#include "espalier/pruning/dead_units.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {
namespace {

using Units = std::vector<std::uint8_t>;  // 0 or 1 for each unit of a node

bool any(const Units& units) {
  return std::ranges::count(units, 0) < std::ssize(units);
}

const Node& input_of(const Tape& tape, const Node& node, std::size_t input) {
  return tape.node(static_cast<std::size_t>(node.inputs[input]));
}

// Whether weights of the node read what it made itself: the units of a recurrent layer read each other.
bool reads_itself(const Node& node) {
  return std::ranges::any_of(node.reads, &Reads::inside);
}

// In how many groups the units of this input are mixed; 0: in none.
Index groups_mixed(const Node& node, std::size_t input) {
  if (reads_itself(node)) return 1;
  const auto found = std::ranges::find(node.mixes, static_cast<int>(input), &Mixing::input);
  return found == node.mixes.end() ? 0 : found->groups;
}

// edge(unit of the node, unit of the input) for every weight.
template <typename Visit>
void for_each_weight_edge(const Tape& tape, const Node& node, const Reads& reads, Index in, Visit&& edge) {
  const Edges edges(tape, node, reads);
  reads.W->for_each_weight([&](Index row, Index column, Index) {
    const auto [from, to] = edges(row, column);
    if (from != Edge::all) return edge(to, from);
    for (Index u = 0; u < in; ++u) edge(to, u);
  });
}

// edge(unit of the node, unit of its input) for whatever connects them. False if the shapes are not understood.
template <typename Visit>
bool for_each_edge(const Tape& tape, const Node& node, std::size_t input, Visit&& edge) {
  const Index out = units_of(node.value.shape()), in = units_of(input_of(tape, node, input).value.shape());
  if (const Index groups = groups_mixed(node, input); groups > 0) {
    if (out % groups != 0 || in % groups != 0) return false;
    for (Index u = 0; u < out; ++u)
      for (Index v = 0; v < in; ++v)
        if (u / (out / groups) == v / (in / groups)) edge(u, v);
    return true;
  }
  bool read = false;
  for (const Reads& reads : node.reads)
    if (reads.input == static_cast<int>(input)) {
      read = true;
      for_each_weight_edge(tape, node, reads, in, edge);
    }
  if (read) return true;
  // Element-wise, pooling, normalisation: a unit stays what it was; flattening splits it.
  if (out % in != 0) return false;
  for (Index u = 0; u < out; ++u) edge(u, u / (out / in));
  return true;
}

// What a model's nodes look like from both ends.
struct Paths {
  std::vector<Units> reached, leads;  // [n][u]: an input reaches unit u of node n; it leads on to an output

  // Those of the matrix's weights that lie on a path from an input to an output.
  Index effective(const Tape& tape, std::size_t n, const Reads& reads) const {
    const Node& node = tape.node(n);
    if (reads_itself(node)) return any(reached[n]) && any(leads[n]) ? reads.W->nonzeros() : 0;
    const Units& from_units = reached[node.inputs[reads.input]];
    const bool some = any(from_units);
    const Edges edges(tape, node, reads);
    Index count = 0;
    reads.W->for_each_weight([&](Index row, Index column, Index) {
      const auto [from, to] = edges(row, column);
      const bool read = from == Edge::all ? some : from_units[from] != 0;
      count += read && leads[n][to];
    });
    return count;
  }
};

// None if some shapes are not understood.
std::optional<Paths> paths_of(const Tape& tape) {
  Paths paths;
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    const auto units = static_cast<std::size_t>(units_of(node.value.shape()));
    paths.leads.emplace_back(units, n + 1 == tape.nodes());
    Units& here = paths.reached.emplace_back(units, n == 0);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const Units& there = paths.reached[node.inputs[i]];
      if (!for_each_edge(tape, node, i, [&](Index u, Index v) { here[u] |= there[v]; })) return std::nullopt;
    }
  }
  for (std::size_t n = tape.nodes(); n-- > 1;) {
    // Units that read each other lead on together.
    if (reads_itself(tape.node(n)) && any(paths.leads[n])) std::ranges::fill(paths.leads[n], 1);
    for (std::size_t i = 0; i < tape.node(n).inputs.size(); ++i) {
      Units& there = paths.leads[tape.node(n).inputs[i]];
      for_each_edge(tape, tape.node(n), i, [&](Index u, Index v) { there[v] |= paths.leads[n][u]; });
    }
  }
  return paths;
}

// --- which units go
// ---------------------------------------------------------------------------------------------------

// A recorded pass of a sample of zeros: what no input reaches has the value that it always has.
void record(const Module& model, const Shape& input, Tape& tape) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
}

// The bias that is added to what W makes; null: there is none.
const Parameter* bias_beside(const Node& node, const Parameter& W) {
  const auto fits = [&](const Parameter* b) {
    return b->role() == Role::bias && b->cols() == 1 && b->rows() == W.rows();
  };
  const auto found = std::ranges::find_if(node.parameters, fits);
  return found == node.parameters.end() ? nullptr : *found;
}

// The first feature of unit u, and how far it is from one of its features to the next.
struct FeaturesOfUnit {
  Index first, step, count;
};
FeaturesOfUnit features_of(const Shape& shape, Index u) {
  const Index units = units_of(shape), each = shape.features() / units;
  return shape.rank() == 2 ? FeaturesOfUnit{u, units, each} : FeaturesOfUnit{u * each, 1, each};
}

// Whether unit u is the same number everywhere: at each pixel, at each step.
bool is_uniform(const Tensor& value, Index u) {
  const FeaturesOfUnit f = features_of(value.shape(), u);
  for (Index i = 1; i < f.count; ++i)
    if (*value.row(f.first + i * f.step) != *value.row(f.first)) return false;
  return true;
}

// Whether a constant that a matrix reads can be added to the bias instead.
bool can_fold(const Node& node, const Reads& reads, const Tensor& operand, Index unit) {
  if (reads.inside() || reads.transposed || reads.operand || !bias_beside(node, *reads.W)) return false;
  if (std::holds_alternative<Features>(reads.kind)) return true;
  if (const auto* patches = std::get_if<Patches>(&reads.kind))
    return patches->window.padding_height == 0 && patches->window.padding_width == 0 && is_uniform(operand, unit);
  if (const auto* steps = std::get_if<Steps>(&reads.kind))
    return steps->window.padding == 0 && is_uniform(operand, unit);
  return false;
}

// The fate of a group.
enum class Fate { stays, without_effect, constant };

class DeadUnitSearch {
 public:
  DeadUnitSearch(const Module& model, const Shape& input, const WidthGuards& guards) : guards_(guards) {
    require(guards.minimum >= 1, "[minimum] expected at least 1 unit of each layer, got {}", guards.minimum);
    record(model, input, tape_);
    found_.widths = recorded_widths(model, tape_);
    found_.kept = all_of(found_.widths);
    for (const std::string& name : guards.protect) width_named(found_.widths, name, "protect");
    paths_ = paths_of(tape_);
    group_of_.resize(tape_.nodes());
    look_at_inputs(input);
    if (!paths_) return;
    judge();
    do keep_minimum();
    while (some_constants_stay());
    take_out();
  }

  DeadUnits take() { return std::move(found_); }

  // deltas[W] of the bias beside each matrix that reads a constant: what is to be added to it.
  std::map<std::string, std::vector<double>> deltas() const {
    std::map<std::string, std::vector<double>> deltas;
    for_each_constant([&](const Node& node, const Reads& reads, Index row, Index column, Index at, Index unit,
                          std::pair<std::size_t, Index>) {
      const Parameter* b = bias_beside(node, *reads.W);
      std::vector<double>& delta = deltas[b->name()];
      delta.resize(static_cast<std::size_t>(b->rows()));
      delta[row] += static_cast<double>(reads.W->value()[at]) * constant_of(node, reads, column, unit);
    });
    return deltas;
  }

 private:
  void look_at_inputs(const Shape& input) {
    Units read(static_cast<std::size_t>(input.features()), !paths_);
    for (std::size_t n = 1; paths_ && n < tape_.nodes(); ++n)
      for (std::size_t i = 0; i < tape_.node(n).inputs.size(); ++i)
        if (tape_.node(n).inputs[i] == 0) look_at_inputs_of(n, static_cast<int>(i), input, read);
    for (std::size_t f = 0; f < read.size(); ++f)
      if (read[f]) found_.inputs.push_back(static_cast<Index>(f));
  }
  // A matrix of features reads some of them; anything else reads a channel as a whole.
  void look_at_inputs_of(std::size_t n, int which, const Shape& input, Units& read) const {
    bool features_only = false;
    for (const Reads& reads : tape_.node(n).reads) {
      if (reads.input != which || !std::holds_alternative<Features>(reads.kind) || reads.transposed) continue;
      features_only = true;
      const Edges edges(tape_, tape_.node(n), reads);
      const bool inside = reads_itself(tape_.node(n));
      reads.W->for_each_weight(
          [&](Index row, Index column, Index) { read[column] |= inside || paths_->leads[n][edges(row, column).to]; });
    }
    for (Index f = 0; !features_only && f < input.features(); ++f) read[f] |= paths_->leads[0][unit_of(input, f)];
  }

  // Whether a node makes or reads these units for itself: paths are known between nodes, not within one.
  bool is_inside(const Width& width) const {
    for (std::size_t n = 0; n < tape_.nodes(); ++n) {
      const Node& node = tape_.node(n);
      if (std::ranges::find(node.reads, Reads::own, &Reads::input) == node.reads.end()) continue;
      for (const Parameter* W : node.parameters)
        if (std::ranges::find(width.places, W->name(), &Place::name) != width.places.end()) return true;
    }
    return false;
  }

  // What the nodes say of each group: whether it leads on, whether it is reached.
  void judge() {
    for (std::size_t w = 0; w < found_.widths.size(); ++w) {
      const Width& width = found_.widths[w];
      // Whether any of its units leads on, and whether one does that is no constant: in a residual network the sum
      // before a block may be one, and that behind it lead nowhere.
      Units leads(static_cast<std::size_t>(width.groups), 0), lives = leads;
      for (const Place& place : width.places) {
        if (place.of != Place::Of::units) continue;
        group_of_[place.node] = {w, &place};
        for (std::size_t u = 0; u < place.group.size(); ++u) {
          leads[place.group[u]] |= paths_->leads[place.node][u];
          lives[place.group[u]] |= paths_->leads[place.node][u] & paths_->reached[place.node][u];
        }
      }
      const bool safe = !width.fixed.empty() || is_inside(width) ||
                        std::ranges::find(guards_.protect, width.name) != guards_.protect.end();
      std::vector<Fate>& fates = fates_.emplace_back(static_cast<std::size_t>(width.groups), Fate::stays);
      for (std::size_t g = 0; !safe && g < fates.size(); ++g)
        fates[g] = !leads[g] ? Fate::without_effect : !lives[g] ? Fate::constant : Fate::stays;
    }
  }

  // visit(node, reads, row, column, place in the arrays, unit of the input, group) for each weight through which a
  // constant is read by something that stays.
  template <typename Visit>
  void for_each_constant(Visit&& visit) const {
    for (std::size_t n = 0; n < tape_.nodes(); ++n)
      for (const Reads& reads : tape_.node(n).reads) for_each_constant_of(n, reads, visit);
  }
  template <typename Visit>
  void for_each_constant_of(std::size_t n, const Reads& reads, Visit&& visit) const {
    const Node& node = tape_.node(n);
    if (reads.input == Reads::own || std::holds_alternative<Tokens>(reads.kind)) return;
    const bool states = std::holds_alternative<States>(reads.kind);
    const GroupsOfNode& groups = group_of_[static_cast<std::size_t>(node.inputs[reads.input])];
    const Place* place = groups.place;
    const std::size_t w = groups.width;
    if (!place) return;
    const std::vector<Fate>& fates = fates_[w];
    if (std::ranges::find(fates, Fate::constant) == fates.end()) return;
    const Edges edges(tape_, node, reads);
    const Index units = std::ssize(place->group), made = units_of(node.value.shape());
    reads.W->for_each_weight([&](Index row, Index column, Index at) {
      const Index unit = states ? column % units : edges(row, column).from;
      const Index group = place->group[unit];
      if (fates[group] != Fate::constant) return;
      if (!states && paths_->reached[static_cast<std::size_t>(node.inputs[reads.input])][unit]) return;
      const GroupsOfNode& makes = group_of_[n];
      const Index to = states ? row % made : edges(row, column).to;
      if (!paths_->leads[n][to]) return;
      if (makes.place && !reads_itself(node) && fates_[makes.width][makes.place->group[to]] != Fate::stays) return;
      visit(node, reads, row, column, at, unit, std::pair(w, group));
    });
  }

  double constant_of(const Node& node, const Reads& reads, Index column, Index unit) const {
    const Tensor& operand = operand_of(tape_, node, reads);
    if (std::holds_alternative<Features>(reads.kind)) return static_cast<double>(*operand.row(column));
    return static_cast<double>(*operand.row(features_of(operand.shape(), unit).first));
  }

  // Those that cannot be folded stay; and then what they read is read by something that stays.
  bool some_constants_stay() {
    std::vector<std::pair<std::size_t, Index>> stay;
    for_each_constant([&](const Node& node, const Reads& reads, Index, Index, Index, Index unit,
                          std::pair<std::size_t, Index> group) {
      if (!can_fold(node, reads, operand_of(tape_, node, reads), unit)) stay.push_back(group);
    });
    for (const auto& [w, group] : stay) {
      found_.constants_stay += fates_[w][group] == Fate::constant;
      fates_[w][group] = Fate::stays;
    }
    return !stay.empty();
  }

  // Of too many that could go the first ones stay.
  void keep_minimum() {
    for (std::vector<Fate>& fates : fates_) {
      Index left = std::ranges::count(fates, Fate::stays);
      for (Fate& fate : fates)
        if (fate != Fate::stays && left < guards_.minimum) fate = Fate::stays, ++left;
    }
  }

  void take_out() {
    for (std::size_t w = 0; w < fates_.size(); ++w) {
      std::erase_if(found_.kept[w], [&](Index g) { return fates_[w][g] != Fate::stays; });
      found_.without_effect += std::ranges::count(fates_[w], Fate::without_effect);
      found_.folded += std::ranges::count(fates_[w], Fate::constant);
    }
  }

  struct GroupsOfNode {
    std::size_t width = 0;
    const Place* place = nullptr;
  };
  WidthGuards guards_;
  Tape tape_;
  std::optional<Paths> paths_;
  DeadUnits found_;
  std::vector<GroupsOfNode> group_of_;  // of each node
  std::vector<std::vector<Fate>> fates_;
};

}  // namespace

Index effective_nonzeros(const Module& model, const Shape& input) {
  Tape tape;  // what leads where is found on a recorded tape, so that no module has to know of this
  record(model, input, tape);
  const std::optional<Paths> paths = paths_of(tape);
  if (!paths) return census_of(model).nonzeros();

  Index effective = 0;
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    for (const Reads& reads : node.reads)
      if (reads.W->prunable()) effective += paths->effective(tape, n, reads);
    // Biases, scales: equally many for each unit.
    const Units& leads = paths->leads[n];
    for (const Parameter* parameter : node.parameters)
      if (!parameter->prunable()) effective += std::ranges::count(leads, 1) * parameter->nonzeros() / std::ssize(leads);
  }
  return effective;
}

DeadUnits find_dead_units(const Module& model, const Shape& input, const WidthGuards& guards) {
  return DeadUnitSearch(model, input, guards).take();
}

DeadUnits remove_dead_units(Module& model, const Shape& input, const WidthGuards& guards) {
  DeadUnitSearch search(model, input, guards);
  const auto deltas = search.deltas();
  DeadUnits dead = search.take();
  model.visit_parameters([&](Parameter& b) {
    const auto delta = deltas.find(b.name());
    if (delta == deltas.end()) return;
    for (Index r = 0; r < b.rows(); ++r)
      b.value()[r] = static_cast<Real>(static_cast<double>(b.value()[r]) + delta->second[r]);
  });
  narrow(model, dead.widths, dead.kept);
  return dead;
}

}  // namespace espalier
