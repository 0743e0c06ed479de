// espalier trace: a freeze-frame of one pruning step, every number of it.
#include "apps/tool/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/tool/commands.h"
#include "espalier/core/error.h"
#include "espalier/pruning/pruner.h"

namespace espalier {
namespace {

constexpr Index inputs = 4, units = 8, outputs = 3;

// Numbers for which no calculator is needed. Five weights are 0.30 or -0.30.
constexpr std::array<Real, units * inputs> fc1_values{0.70f,  -0.10f, 0.25f,  0.05f,    // h0
                                                      -0.40f, 0.55f,  0.15f,  -0.20f,   // h1
                                                      0.10f,  -0.05f, 0.20f,  0.15f,    // h2
                                                      -0.60f, 0.30f,  -0.25f, 0.45f,    // h3
                                                      0.05f,  0.35f,  -0.15f, 0.10f,    // h4
                                                      0.20f,  -0.30f, 0.10f,  -0.80f,   // h5
                                                      -0.15f, 0.20f,  0.50f,  0.05f,    // h6
                                                      0.25f,  -0.05f, 0.10f,  -0.35f};  // h7
constexpr std::array<Real, outputs * units> output_values{
    0.65f,  -0.30f, 0.10f,  0.05f,  -0.20f, 0.40f,  0.15f,  -0.05f,  // o0
    -0.20f, 0.75f,  0.05f,  -0.30f, 0.15f,  -0.10f, 0.25f,  0.10f,   // o1
    0.10f,  0.05f,  -0.15f, 0.50f,  -0.30f, 0.20f,  -0.05f, 0.15f};  // o2

// The momentum of weight n: -0.10, 0.04, -0.04 ... all different between neighbours, so that one that is misplaced
// shows.
Real momentum_of(Index n) {
  return static_cast<Real>((n * 7) % 11 - 5) * Real{0.02f};
}

Parameter trained(const std::string& name, Index rows, Index cols, std::span<const Real> values) {
  Parameter W(name, rows, cols);
  std::ranges::copy(values, W.value().begin());
  W.add_slot("momentum");
  const std::span<Real> momentum = W.slot("momentum");
  for (Index n = 0; n < W.positions(); ++n) momentum[n] = momentum_of(n);
  return W;
}

// Both matrices as the pruner leaves them, in this storage; one of which nothing went, too.
std::vector<Parameter> pruned(std::vector<Parameter> weights, const TraceOptions& o, Storage storage) {
  std::vector<Parameter*> parameters;
  for (Parameter& W : weights) parameters.push_back(&W);
  PrunerOptions options{.allocation = o.allocation};
  options.storage.csr_below = storage == Storage::csr ? 1 : 0;
  Pruner(parameters, criterion_named("magnitude"), options).prune_to(o.density, /*step=*/1);
  for (Parameter& W : weights)
    if (!W.pattern()) W.become(Pattern::full(W.rows(), W.cols()), storage);
  return weights;
}

// --- text ------------------------------------------------------------------------------------------------------------

// "fc1.weight" has rows h0 ... h7 and columns x0 ... x3, "output.weight" rows o0 ... o2 and columns h0 ... h7.
std::string row_name(const Parameter& W, Index row) {
  return fmt::format("{}{}", W.cols() == inputs ? 'h' : 'o', row);
}
std::string column_name(const Parameter& W, Index column) {
  return fmt::format("{}{}", W.cols() == inputs ? 'x' : 'h', column);
}
std::string title_of(const Parameter& W) {
  return fmt::format("{} [{} x {}]\n", W.name(), W.rows(), W.cols());
}

// Two numbers behind the point; -0.00 is 0.
std::string number_text(Real x) {
  return std::abs(x) < Real{0.005f} ? "0.00" : fmt::format("{:.2f}", x);
}

// cell(row, column) of every position.
template <typename Cell>
std::string matrix_text(const Parameter& W, Cell&& cell) {
  std::string text = "     ";
  for (Index c = 0; c < W.cols(); ++c) text += fmt::format("{:>7}", column_name(W, c));
  text += "\n";
  for (Index r = 0; r < W.rows(); ++r) {
    text += fmt::format("  {:<3}", row_name(W, r));
    for (Index c = 0; c < W.cols(); ++c) text += fmt::format("{:>7}", cell(r, c));
    text += "\n";
  }
  return text;
}

std::string full_matrix_text(const Parameter& W, std::span<const Real> numbers) {
  return matrix_text(W, [&](Index r, Index c) { return number_text(numbers[r * W.cols() + c]); });
}

template <typename Numbers, typename Text>
std::string array_text(const char* name, const Numbers& numbers, Text&& text_of_one) {
  std::string text = fmt::format("  {:<11}", name);
  for (const auto& number : numbers) text += fmt::format("{:>6}", text_of_one(number));
  return text + "\n";
}

std::string csr_text(const Parameter& W) {
  const auto whole = [](auto number) { return fmt::format("{}", number); };
  return title_of(W) + array_text("row_begin", W.pattern()->row_begin(), whole) +
         array_text("column", W.pattern()->column(), whole) + array_text("value", W.value(), number_text) +
         array_text("momentum", W.slot("momentum"), number_text);
}

// The lowest score that is kept in these layers, which compete with each other, and which weights have it.
std::string threshold_text(std::span<const LayerTrace> layers) {
  Real threshold = layers.front().last.score;
  for (const LayerTrace& layer : layers) threshold = std::min(threshold, layer.last.score);
  Index kept = 0, all = 0, above = 0, ties = 0;
  std::string names;
  for (const LayerTrace& layer : layers) {
    const Parameter& W = layer.before;
    kept += layer.kept, all += W.positions();
    for (Index n = 0; n < W.positions(); ++n) {
      above += layer.score[n] > threshold;
      if (layer.score[n] != threshold) continue;
      const Index row = n / W.cols(), column = n % W.cols();
      names += fmt::format("{}{} {} {}", ties++ ? ", " : "", row_name(W, row), column_name(W, column),
                           layer.masked.pattern()->live(row, column) ? "stays" : "goes");
    }
  }
  return fmt::format("{}: {} of {} stay, {} scores above {} and {} of the {} that are equal to it:\n  {}\n",
                     layers.size() > 1 ? "all layers together" : layers.front().before.name(), kept, all, above,
                     number_text(threshold), kept - above, ties, names);
}

std::string scores_text(const PruningTrace& trace) {
  Index kept = 0, all = 0;
  for (const LayerTrace& layer : trace.layers) kept += layer.kept, all += layer.before.positions();
  std::string text = fmt::format(
      "2. Scores: |w|, higher is more important. Density {:g} of {} weights is {}; allocation {} shares them out.\n",
      trace.options.density, all, kept, name_of(trace.options.allocation));
  for (const LayerTrace& layer : trace.layers)
    text += title_of(layer.before) + full_matrix_text(layer.before, layer.score);
  text +=
      "\n3. Threshold: of equal scores the lowest positions stay, so that exactly as many are kept as were asked "
      "for.\n";
  const std::span<const LayerTrace> layers(trace.layers);
  if (trace.options.allocation.rule == Allocation::global) return text + threshold_text(layers);
  for (std::size_t l = 0; l < layers.size(); ++l) text += threshold_text(layers.subspan(l, 1));
  return text;
}

std::string mask_text(const PruningTrace& trace) {
  std::string text = "\n4. Mask: x stays, . goes.\n";
  for (const LayerTrace& layer : trace.layers)
    text += title_of(layer.before) + matrix_text(layer.before, [&](Index r, Index c) {
              return std::string(layer.masked.pattern()->live(r, c) ? "x" : ".");
            });
  return text;
}

std::string storage_text(const PruningTrace& trace) {
  std::string text =
      "\n5. Afterwards, in masked storage: every array is exactly zero where a weight is gone, the optimizer's too, "
      "or\n"
      "   its momentum would bring the weight back in the next step.\n";
  for (const LayerTrace& layer : trace.layers)
    text += "value of " + title_of(layer.masked) + full_matrix_text(layer.masked, layer.masked.value()) +
            "momentum of " + title_of(layer.masked) + full_matrix_text(layer.masked, layer.masked.slot("momentum"));
  text +=
      "\n6. Afterwards, in csr: no array has a place for what is gone. Weights of row r: row_begin[r] to row_begin[r + "
      "1].\n";
  for (const LayerTrace& layer : trace.layers) text += csr_text(layer.csr);
  return text;
}

std::string units_text(const PruningTrace& trace) {
  const auto names = [](const std::vector<Index>& of) {
    std::vector<std::string> all;
    for (const Index unit : of) all.push_back(fmt::format("h{}", unit));
    return all.empty() ? std::string("none") : fmt::format("{}", fmt::join(all, " "));
  };
  Index leading_nowhere = 0;
  const LayerTrace& fc1 = trace.layers.front();
  for (const Index unit : trace.unread) leading_nowhere += static_cast<Index>(fc1.masked.pattern()->row(unit).size());
  return fmt::format(
      "\n7. Newly dead units. Without a weight that comes in: {}; without one that goes out: {}.\n"
      "   {} weights lead into units that nothing reads: they are stored and multiplied in vain.\n",
      names(trace.without_input), names(trace.unread), leading_nowhere);
}

}  // namespace

PruningTrace traced(const TraceOptions& options) {
  std::vector<Parameter> weights;
  weights.push_back(trained("fc1.weight", units, inputs, fc1_values));
  weights.push_back(trained("output.weight", outputs, units, output_values));
  const std::vector<Parameter> masked = pruned(weights, options, Storage::masked),
                               csr = pruned(weights, options, Storage::csr);
  PruningTrace trace{.options = options, .layers = {}, .without_input = {}, .unread = {}};
  for (std::size_t l = 0; l < weights.size(); ++l) {
    LayerTrace& layer = trace.layers.emplace_back(LayerTrace{weights[l], masked[l], csr[l], {}});
    for (const Real w : layer.before.value()) layer.score.push_back(std::abs(w));
    layer.kept = layer.masked.nonzeros();
    layer.last = kth_highest(layer.score, layer.kept);
  }
  std::vector<Index> read(units, 0);
  for (const std::uint32_t unit : trace.layers.back().masked.pattern()->column()) ++read[unit];
  for (Index unit = 0; unit < units; ++unit) {
    if (trace.layers.front().masked.pattern()->row(unit).empty()) trace.without_input.push_back(unit);
    if (read[unit] == 0) trace.unread.push_back(unit);
  }
  return trace;
}

std::string text_of(const PruningTrace& trace) {
  std::string text = fmt::format(
      "One pruning step on a net of {} inputs x, {} units h and {} outputs o, between two training steps.\n\n"
      "1. Before: all weights are there, each with its momentum.\n",
      inputs, units, outputs);
  for (const LayerTrace& layer : trace.layers)
    text += "value of " + title_of(layer.before) + full_matrix_text(layer.before, layer.before.value()) +
            "momentum of " + title_of(layer.before) + full_matrix_text(layer.before, layer.before.slot("momentum"));
  return text + "\n" + scores_text(trace) + mask_text(trace) + storage_text(trace) + units_text(trace);
}

Command add_trace(CLI::App& app) {
  auto options = std::make_shared<TraceOptions>();
  app.add_option("--density", options->density, "Fraction of the 56 weights that is kept")->capture_default_str();
  app.add_option_function<std::string>(
         "--allocation", [options](const std::string& name) { options->allocation = allocation_named(name); },
         "How many in which layer: uniform, er, global, lamp, or fc1=0.3,output=0.5")
      ->default_str(name_of(options->allocation));
  app.footer("Examples:\n  espalier trace\n  espalier trace --density 0.5 --allocation uniform");
  return [options] { fmt::print("{}", text_of(traced(*options))); };
}

}  // namespace espalier
