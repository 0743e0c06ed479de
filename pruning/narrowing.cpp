#include "espalier/pruning/narrowing.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// The groups of `kept`, given by their numbers among those that were left before.
Kept kept_of_whole(const Kept& before, const Kept& kept) {
  Kept all(before.size());
  for (std::size_t w = 0; w < before.size(); ++w)
    for (const Index group : kept[w]) all[w].push_back(before[w][static_cast<std::size_t>(group)]);
  return all;
}

// The width with these groups alone, numbered anew.
Width width_left(const Width& whole, const std::vector<Index>& kept) {
  Width width = whole;
  width.groups = std::ssize(kept);
  for (Place& place : width.places) {
    std::vector<Index> left;
    for (const Index group : place.group)
      if (const auto at = std::ranges::lower_bound(kept, group); at != kept.end() && *at == group)
        left.push_back(at - kept.begin());
    place.group = std::move(left);
  }
  return width;
}

// Which indices of a place are left.
std::vector<std::uint32_t> indices_left(const Place* place, const std::vector<Index>& kept, Index count) {
  std::vector<std::uint32_t> left;
  for (Index i = 0; i < count; ++i)
    if (!place || std::ranges::binary_search(kept, place->group[static_cast<std::size_t>(i)]))
      left.push_back(static_cast<std::uint32_t>(i));
  return left;
}

// What the matrices of a model read, as far as it tells what their rows stand for.
struct MatrixKind {
  bool convolves = false, remembers = false;
};

std::map<std::string, MatrixKind> matrix_kinds(const Module& model, const Shape& input) {
  Tile tile;
  tile.input = Tensor(input, {1, 1});
  Tape tape;
  model.forward(tape.begin(tile, {.mode = Mode::evaluation}));
  std::map<std::string, MatrixKind> kinds;
  tape.for_each_matrix([&](const Node&, const Reads& reads) {
    MatrixKind& kind = kinds[reads.W->name()];
    const auto* steps = std::get_if<Steps>(&reads.kind);
    kind.convolves |= std::holds_alternative<Patches>(reads.kind) || (steps && steps->window.kernel > 1);
    kind.remembers |= std::holds_alternative<States>(reads.kind);
  });
  return kinds;
}

}  // namespace

std::string_view name_of(UnitKind kind) {
  return kind == UnitKind::neurons ? "neurons" : kind == UnitKind::channels ? "channels" : "heads";
}

std::vector<UnitKind> kinds_of(const std::vector<Width>& widths, const Module& model, const Shape& input) {
  const auto matrices = matrix_kinds(model, input);
  std::vector<UnitKind> kinds;
  for (const Width& width : widths) {
    bool convolved = false, remembered = false, several_rows = false;
    for (const Place& place : width.places) {
      const auto found = matrices.find(place.name);
      if (found == matrices.end() || (place.of != Place::Of::rows && place.of != Place::Of::columns)) continue;
      remembered |= found->second.remembers;
      if (!place.makes) continue;
      convolved |= found->second.convolves;
      // A head has rows of its own for each of its features, a recurrent unit one for each of its gates.
      several_rows |= place.of == Place::Of::rows && std::ssize(place.group) > width.groups;
    }
    kinds.push_back(convolved ? UnitKind::channels : several_rows && !remembered ? UnitKind::heads : UnitKind::neurons);
  }
  return kinds;
}

Index UnitsLeft::before() const {
  return std::transform_reduce(widths.begin(), widths.end(), Index{0}, std::plus(),
                               [](const OfWidth& width) { return width.whole; });
}

Index UnitsLeft::kept() const {
  return std::transform_reduce(widths.begin(), widths.end(), Index{0}, std::plus(),
                               [](const OfWidth& width) { return width.kept; });
}

std::string text_of(const UnitsLeft& units) {
  std::string text = fmt::format("{} of {} units", units.kept(), units.before());
  for (const UnitsLeft::OfWidth& width : units.widths)
    text +=
        fmt::format("{} {} {} of {}", &width == units.widths.data() ? ":" : ",", width.name, width.kept, width.whole);
  return text;
}

Narrowing::Narrowing(Module& model, const Shape& input)
    : model_(model), whole_(widths_of(model, input)), now_(whole_), kept_(all_of(whole_)), census_(census_of(model)) {
  for (Parameter* W : parameters_of(model)) {
    extents_.push_back({W->rows(), W->cols()});
    if (!W->prunable()) continue;
    Matrix& matrix = matrices_.emplace_back(Matrix{.W = W, .rows = W->rows(), .cols = W->cols()});
    for (std::size_t w = 0; w < whole_.size(); ++w)
      for (const Place& place : whole_[w].places) {
        if (place.name != W->name()) continue;
        if (place.of == Place::Of::rows) matrix.row_place = &place, matrix.row_width = w;
        if (place.of == Place::Of::columns) matrix.column_place = &place, matrix.column_width = w;
      }
  }
  for (const NamedNumbers& state : state_of(model)) lengths_.push_back(state.numbers.size());
}

PatternPtr Narrowing::pattern_of(const Matrix& matrix) const {
  static const std::vector<Index> none;
  const auto rows = indices_left(matrix.row_place, matrix.row_place ? kept_[matrix.row_width] : none, matrix.rows);
  const auto columns =
      indices_left(matrix.column_place, matrix.column_place ? kept_[matrix.column_width] : none, matrix.cols);
  if (std::ssize(rows) == matrix.rows && std::ssize(columns) == matrix.cols) return nullptr;
  std::vector<Index> begin(static_cast<std::size_t>(matrix.rows) + 1, 0);
  for (const std::uint32_t row : rows) begin[row + 1] = std::ssize(columns);
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  std::vector<std::uint32_t> column;
  column.reserve(rows.size() * columns.size());
  for (std::size_t r = 0; r < rows.size(); ++r) column.insert(column.end(), columns.begin(), columns.end());
  return Pattern::make(matrix.rows, matrix.cols, std::move(begin), std::move(column));
}

void Narrowing::remember(const Kept& kept) {
  kept_ = kept;
  for (std::size_t w = 0; w < whole_.size(); ++w)
    if (std::ssize(kept_[w]) != now_[w].groups) now_[w] = width_left(whole_[w], kept_[w]);
}

std::vector<PruneEvent> Narrowing::keep(const Kept& kept, Index step, bool histograms) {
  std::vector<PruneEvent> events;
  for (const Matrix& matrix : matrices_) {
    PruneEvent& event = events.emplace_back(PruneEvent{.step = step, .layer = matrix.W->name()});
    event.rows = matrix.rows, event.cols = matrix.cols;
    event.before = pattern_of(matrix);
    if (histograms) event.histogram.emplace(*matrix.W);
  }
  narrow(model_, now_, kept);
  remember(kept_of_whole(kept_, kept));
  for (std::size_t m = 0; m < events.size(); ++m) {
    PruneEvent& event = events[m];
    const Parameter& W = *matrices_[m].W;
    event.after = pattern_of(matrices_[m]);
    event.kept = W.nonzeros();
    event.density = static_cast<double>(event.kept) / static_cast<double>(event.rows * event.cols);
    event.storage = W.storage();
    if (histograms) event.histogram->add_after(W);
  }
  return events;
}

void Narrowing::go_to(const Kept& kept) {
  const std::vector<Parameter*> parameters = parameters_of(model_);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    if (const auto [rows, cols] = extents_[p]; parameters[p]->rows() != rows || parameters[p]->cols() != cols)
      *parameters[p] = Parameter(parameters[p]->name(), rows, cols, parameters[p]->role());
  std::size_t next = 0;
  model_.visit_state([&](const std::string&, std::vector<Real>& numbers) { numbers.resize(lengths_[next++]); });
  narrow(model_, whole_, kept);
  for (std::size_t w = 0; w < whole_.size(); ++w) now_[w] = width_left(whole_[w], kept[w]);
  kept_ = kept;
}

}  // namespace espalier
