#include "espalier/core/ties.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/core/tape.h"

namespace espalier {
namespace {

const Shape& shape_of_input(const Tape& tape, const Node& node, int which) {
  return tape.node(static_cast<std::size_t>(node.inputs[which])).value.shape();
}

// How many neighbouring features of a value of this shape are one unit.
Index neighbours_of(const Shape& shape) {
  return shape.rank() == 2 ? 1 : shape.features() / units_of(shape);
}

bool has_states(const Node& node) {
  return std::ranges::any_of(node.reads, [](const Reads& r) { return std::holds_alternative<States>(r.kind); });
}
// Whether a matrix reads what another one has made: what its own rows and the other's stand for is not known.
bool has_insides(const Node& node) {
  return std::ranges::any_of(node.reads, [](const Reads& r) { return r.input == Reads::own; });
}

class TiesOfNode {
 public:
  TiesOfNode(const Tape& tape, const Node& node)
      : tape_(tape), node_(node), units_(units_of(node.value.shape())), states_(has_states(node)) {}

  Ties run() {
    for (const Tie& declared : node_.ties) tie(declared);
    for (const Reads& reads : node_.reads) of_matrix(reads);
    for (int i = 0; i < std::ssize(node_.inputs); ++i) of_input(i);
    for (const Parameter* W : node_.parameters)
      if (std::ranges::find(node_.reads, W, &Reads::W) == node_.reads.end()) of_carried(*W);
    for (int s = 0; s < std::ssize(node_.state); ++s)
      tie({{.of = TieEnd::Of::state, .which = s}, tied_value(), units_});
    for (const Parameter* W : node_.parameters) fix_what_is_loose(*W);
    return std::move(all_);
  }

 private:
  void tie(Tie t) {
    const Index a = indices_of(tape_, node_, t.a), b = indices_of(tape_, node_, t.b);
    if (t.count == 0) t.count = a / t.a.inner;
    if (t.count > 0 && a % (t.a.inner * t.count) == 0 && b % (t.b.inner * t.count) == 0) {
      all_.ties.push_back(t);
      return;
    }
    const std::string why = fmt::format("how {} ties {} to {} is not understood", node_.operation, a, b);
    all_.fixed.push_back({t.a, why});
    all_.fixed.push_back({t.b, why});
  }

  // The units of an input or of the value with a matrix's indices that run over their features.
  void tie_features(TieEnd of_matrix, TieEnd units, const Shape& shape) {
    of_matrix.inner = neighbours_of(shape);
    tie({of_matrix, units, units_of(shape)});
  }

  void of_matrix(const Reads& reads) {
    const Parameter& W = *reads.W;
    if (std::holds_alternative<States>(reads.kind)) {
      tie({tied_rows(W), tied_value(), units_});
      tie({tied_columns(W), tied_value(), units_});
      return;
    }
    const bool t = reads.transposed;
    if (const auto* patches = std::get_if<Patches>(&reads.kind)) return of_patches(W, patches->window, reads);
    const TieEnd from = t ? tied_rows(W) : tied_columns(W), to = t ? tied_columns(W) : tied_rows(W);
    if (std::holds_alternative<Tokens>(reads.kind)) {
      all_.fixed.push_back({from, fmt::format("the {} of {} are tokens", t ? "rows" : "columns", W.name())});
      if (!reads.inside()) all_.fixed.push_back({tied_input(reads.input), "they are tokens"});
    } else if (!reads.inside()) {
      tie_features(from, tied_input(reads.input), shape_of_input(tape_, node_, reads.input));
    }
    if (!has_insides(node_)) tie_features(to, tied_value(), node_.value.shape());
  }

  // The same channel of each group goes, so that the groups stay equally large.
  void of_patches(const Parameter& W, const Window& w, const Reads& reads) {
    if (reads.inside() || has_insides(node_)) return;
    const TieEnd from = tied_input(reads.input), to = tied_value();
    const TieEnd &rows = reads.transposed ? from : to, &columns = reads.transposed ? to : from;
    tie({rows, tied_rows(W), W.rows() / w.groups});
    tie({columns, tied_columns(W, w.taps()), W.cols() / w.taps()});
  }

  void of_input(int i) {
    if (states_) return tie({tied_input(i), tied_value(), units_});
    const Shape &in = shape_of_input(tape_, node_, i), &out = node_.value.shape();
    const auto mixing = std::ranges::find(node_.mixes, i, &Mixing::input);
    if (mixing != node_.mixes.end()) {
      const Index groups = mixing->groups;
      if (groups == 1)
        all_.fixed.push_back({tied_input(i), fmt::format("{} takes all of them together", node_.operation)});
      return tie({tied_input(i, units_of(in) / groups), tied_value(units_ / groups), groups});
    }
    if (std::ranges::any_of(node_.reads, [&](const Reads& r) { return r.input == i; })) return;
    if (out.rank() == 1 && in.rank() > 1 && out.features() == in.features())
      return tie({tied_value(neighbours_of(in)), tied_input(i), units_of(in)});
    tie({tied_input(i), tied_value(), units_of(in)});
  }

  // A bias, a scale, a table of positions.
  void of_carried(const Parameter& W) {
    if (W.cols() == 1 && (W.rows() == units_ || states_)) return tie({tied_rows(W), tied_value(), units_});
    if (W.cols() == units_) tie({tied_columns(W), tied_value(), units_});
  }

  void fix_what_is_loose(const Parameter& W) {
    for (const TieEnd& end : {tied_rows(W), tied_columns(W)}) {
      const auto is_it = [&](const TieEnd& other) { return other.of == end.of && other.W == end.W; };
      if (indices_of(tape_, node_, end) == 1 ||
          std::ranges::any_of(all_.ties, [&](const Tie& t) { return is_it(t.a) || is_it(t.b); }) ||
          std::ranges::any_of(all_.fixed, [&](const Fixed& f) { return is_it(f.end); }))
        continue;
      all_.fixed.push_back(
          {end, fmt::format("the {} of {} are no units", end.of == TieEnd::Of::rows ? "rows" : "columns", W.name())});
    }
  }

  const Tape& tape_;
  const Node& node_;
  Index units_;
  bool states_;
  Ties all_;
};

}  // namespace

Index indices_of(const Tape& tape, const Node& node, const TieEnd& end) {
  switch (end.of) {
    case TieEnd::Of::value:
      return units_of(node.value.shape());
    case TieEnd::Of::input:
      return units_of(shape_of_input(tape, node, end.which));
    case TieEnd::Of::rows:
      return end.W->rows();
    case TieEnd::Of::columns:
      return end.W->cols();
    case TieEnd::Of::state:
      return std::ssize(node.state[end.which]);
  }
  return 0;
}

Ties ties_of(const Tape& tape, const Node& node) {
  return TiesOfNode(tape, node).run();
}

}  // namespace espalier
