#include "espalier/pruning/strong_ticket.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/layers/linear.h"
#include "espalier/optim/inference.h"
#include "espalier/pruning/subset_sum.h"

namespace espalier {
namespace {

constexpr Index spare_neurons = 32;

// One layer of the target: its live weights row by row; the bias is the weight of input `in`, which is always 1.
struct Target {
  struct Weight {
    Index input;
    double w;
  };
  std::string name;
  Index in = 0, out = 0;
  bool bias = false, both_signs = false;  // of its inputs
  std::vector<std::vector<Weight>> rows;
  double largest = 0;  // |w|
};

Target target_of(const Parameter& W, const Parameter* b, bool both_signs) {
  constexpr std::string_view ending = ".weight";
  Target target{.name = W.name(), .in = W.cols(), .out = W.rows(), .bias = b != nullptr, .both_signs = both_signs};
  if (target.name.ends_with(ending)) target.name.resize(target.name.size() - ending.size());
  target.rows.resize(target.out);
  const auto add = [&](Index row, Index input, Real w) {
    if (w == 0) return;  // the empty subset
    target.rows[row].push_back({input, static_cast<double>(w)});
    target.largest = std::max(target.largest, std::abs(static_cast<double>(w)));
  };
  W.for_each_weight([&](Index row, Index column, Index at) { add(row, column, W.value()[at]); });
  if (b)
    for (Index row = 0; row < target.out; ++row) add(row, target.in, b->value()[row]);
  return target;
}

// A single matrix that reads all features of the only input.
bool is_linear(const Node& node) {
  return node.inputs.size() == 1 && node.reads.size() == 1 && !node.reads[0].transposed && !node.reads[0].operand &&
         std::holds_alternative<Features>(node.reads[0].kind);
}

// The target's layers, read off a recorded tape of some noise, on which it also has to show its ReLUs.
std::vector<Target> layers_of(const Module& target) {
  const std::vector<const Parameter*> parameters = parameters_of(target);
  require(!parameters.empty(), "[strong ticket] expected linear layers, got a model without parameters");
  Tile tile;
  tile.input = Tensor({parameters.front()->cols()}, {lane_quantum, lane_quantum});
  const Random random(1, "strong-ticket/probe");
  for (Index i = 0; i < tile.input.features() * tile.input.stride(); ++i)
    tile.input.data()[i] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(i)));
  Tape tape;
  target.forward(tape.begin(tile, {.mode = Mode::evaluation}));

  std::vector<Target> layers;
  for (std::size_t n = 1; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    require(is_linear(node) && node.inputs[0] == static_cast<int>(n) - 1,
            "[strong ticket] expected linear layers one after the other, got operation \"{}\"", node.operation);
    const Parameter &W = *node.parameters[0], *b = node.parameters.size() > 1 ? node.parameters[1] : nullptr;
    const bool last = n + 1 == tape.nodes();
    Tensor y({W.rows()}, tape.lanes());
    multiply(W, tape.node(n - 1).value, y, {.bias = b, .activation = last ? Activation::none : Activation::relu});
    require(std::equal(y.data(), y.data() + y.features() * y.stride(), node.value.data()),
            "[strong ticket] {}: expected {}", W.name(),
            last ? "no activation behind the last layer" : "a ReLU behind it");
    layers.push_back(target_of(W, b, /*both_signs=*/n == 1));
  }
  return layers;
}

// The positive and the negative part of input i are parts 2i and 2i + 1. Each has neurons, and they have weights there.
struct Part {
  bool wanted = false;
  std::vector<Index> neurons;
  std::vector<double> a;
};

std::vector<Part> wanted_parts(const Target& target) {
  std::vector<Part> parts(2 * (target.in + 1));
  for (const auto& row : target.rows)
    for (const Target::Weight& weight : row) {
      parts[2 * weight.input].wanted = true;
      parts[2 * weight.input + 1].wanted = target.both_signs && weight.input < target.in;
    }
  return parts;
}

// Deals the neurons out: each to the first input, beginning with one of its own, that still wants one of the sign that
// the neuron's weight has there. It is to keep that weight and no other.
void deal_neurons(const Target& target, const RandomWeights& a, const RandomWeights& bias, Index neurons,
                  std::size_t width, std::vector<Part>& parts) {
  auto open = static_cast<std::size_t>(std::ranges::count(parts, true, &Part::wanted)) * width;
  for (Index u = 0; u < neurons && open > 0; ++u)
    for (Index step = 0; step <= target.in; ++step) {
      const Index i = (u + step) % (target.in + 1);
      const Real weight = i < target.in ? a(u, i) : bias(u, 0);
      Part& part = parts[2 * i + (weight < 0)];
      if (!part.wanted || part.neurons.size() == width) continue;
      part.neurons.push_back(u);
      part.a.push_back(static_cast<double>(weight));
      --open;
      break;
    }
}

// What output j keeps of its random weights b_ju.
struct KeptRow {
  std::vector<std::uint32_t> neurons;
  double worst_error = 0;
};

KeptRow solve_row(const std::vector<Target::Weight>& row, Index j, const std::vector<Part>& parts,
                  const RandomWeights& b, Match match) {
  KeptRow kept;
  std::vector<double> products;
  for (const Target::Weight& weight : row)
    for (const Index negative : {0, 1}) {
      const Part& part = parts[2 * weight.input + negative];
      if (!part.wanted) continue;
      // candidates: a_u b_ju;  sum over the subset of a_u b_ju ~= w_ji
      products.clear();
      for (std::size_t c = 0; c < part.neurons.size(); ++c)
        products.push_back(part.a[c] * static_cast<double>(b(j, part.neurons[c])));
      const SubsetSum subset =
          match == Match::subset ? nearest_subset(products, weight.w) : nearest_single(products, weight.w);
      for (std::size_t c = 0; c < part.neurons.size(); ++c)
        if (subset.members >> c & 1) kept.neurons.push_back(static_cast<std::uint32_t>(part.neurons[c]));
      kept.worst_error = std::max(kept.worst_error, std::abs(subset.sum - weight.w));
    }
  std::ranges::sort(kept.neurons);
  return kept;
}

void add_random_linear(Sequential& net, LinearOptions options, const RandomWeights& weights) {
  auto layer = std::make_unique<Linear>(options, 0);
  layer->visit_parameters([&](Parameter& W) {
    if (W.role() != Role::weight) return;
    const auto value = W.value();
    W.for_each_weight([&](Index row, Index column, Index at) { value[at] = weights(row, column); });
  });
  net.add(std::move(layer));
}

constexpr Index no_input = -1;

// The input that each neuron keeps its connection to: a neuron that no output reads keeps none. Those of part p read
// input p / 2; input `in` is the bias.
std::vector<Index> kept_inputs(const std::vector<Part>& parts, const std::vector<KeptRow>& rows, Index neurons) {
  std::vector<std::uint8_t> read(neurons, 0);
  for (const KeptRow& row : rows)
    for (const std::uint32_t u : row.neurons) read[u] = 1;
  std::vector<Index> input_of(neurons, no_input);
  for (std::size_t p = 0; p < parts.size(); ++p)
    for (const Index u : parts[p].neurons)
      if (read[u]) input_of[u] = static_cast<Index>(p / 2);
  return input_of;
}

StrongTicketLayer add_layer(const Target& target, Activation f, const StrongTicketOptions& options, Sequential& net) {
  StrongTicketLayer report{.name = target.name, .neurons = strong_ticket_neurons(target.in, options.width)};
  const Index neurons = report.neurons;
  if (target.largest > 0) report.scale = 4 * target.largest;
  const RandomWeights a(options.seed, target.name + ".a.weight", target.in, 1);
  const RandomWeights bias(options.seed, target.name + ".a.bias", 1, 1);
  const RandomWeights b(options.seed, target.name + ".b.weight", neurons, report.scale);

  std::vector<Part> parts = wanted_parts(target);
  deal_neurons(target, a, bias, neurons, static_cast<std::size_t>(options.width), parts);
  std::vector<KeptRow> rows(target.out);
  parallel_for(target.out, options.threads, [&](Index j) {
    const auto row = static_cast<std::size_t>(j);
    rows[row] = solve_row(target.rows[row], j, parts, b, options.match);
  });

  // The masks.
  std::vector<Index> begin_b{0}, begin_a{0};
  std::vector<std::uint32_t> columns_b, columns_a;
  for (const KeptRow& row : rows) {
    columns_b.insert(columns_b.end(), row.neurons.begin(), row.neurons.end());
    begin_b.push_back(static_cast<Index>(columns_b.size()));
    report.worst_error = std::max(report.worst_error, row.worst_error);
  }
  const std::vector<Index> input_of = kept_inputs(parts, rows, neurons);
  for (const Index i : input_of) {
    if (i != no_input && i < target.in) columns_a.push_back(static_cast<std::uint32_t>(i));
    begin_a.push_back(static_cast<Index>(columns_a.size()));
  }

  const auto kept_biases = std::ranges::count(input_of, target.in);
  for (const auto& row : target.rows) report.targets += static_cast<Index>(row.size());
  report.random_weights = neurons * (target.in + target.out + (target.bias ? 1 : 0));
  report.kept = static_cast<Index>(columns_a.size() + columns_b.size()) + kept_biases;

  add_random_linear(net,
                    {.name = target.name + ".a",
                     .in = target.in,
                     .out = neurons,
                     .activation = Activation::relu,
                     .bias = target.bias,
                     .pattern = Pattern::make(neurons, target.in, std::move(begin_a), std::move(columns_a))},
                    a);
  add_random_linear(net,
                    {.name = target.name + ".b",
                     .in = neurons,
                     .out = target.out,
                     .activation = f,
                     .bias = false,
                     .pattern = Pattern::make(target.out, neurons, std::move(begin_b), std::move(columns_b))},
                    b);
  net.visit_parameters([&](Parameter& c) {
    if (c.name() != target.name + ".a.bias") return;
    for (Index u = 0; u < neurons; ++u)
      if (input_of[u] == target.in) c.value()[u] = bias(u, 0);
  });
  return report;
}

}  // namespace

RandomWeights::RandomWeights(std::uint64_t seed, std::string_view parameter, Index cols, double scale)
    : random_(seed, fmt::format("strong-ticket/{}", parameter)), cols_(cols), scale_(scale) {}

Index strong_ticket_neurons(Index in, int width) {
  return 2 * width * (in + 1) + spare_neurons;
}

Index StrongTicket::random_weights() const {
  Index sum = 0;
  for (const StrongTicketLayer& layer : layers) sum += layer.random_weights;
  return sum;
}

Index StrongTicket::kept() const {
  Index sum = 0;
  for (const StrongTicketLayer& layer : layers) sum += layer.kept;
  return sum;
}

double StrongTicket::worst_error() const {
  double worst = 0;
  for (const StrongTicketLayer& layer : layers) worst = std::max(worst, layer.worst_error);
  return worst;
}

StrongTicket strong_ticket(const Module& target, const StrongTicketOptions& options) {
  require(options.width >= 1 && options.width <= subset_sum_limit,
          "[strong ticket] expected a width from 1 to {}, got {}", subset_sum_limit, options.width);
  const std::vector<Target> layers = layers_of(target);
  StrongTicket ticket{.net = std::make_unique<Sequential>(target.name() + ".ticket")};
  for (const Target& layer : layers)
    ticket.layers.push_back(add_layer(
        layer, ticket.layers.size() + 1 == layers.size() ? Activation::none : Activation::relu, options, *ticket.net));
  return ticket;
}

Agreement agreement_of(const Module& target, const Module& ticket, const Loader& loader) {
  const std::vector<Real> wanted = Inference(target).outputs(loader), got = Inference(ticket).outputs(loader);
  const Dataset& data = loader.data();
  Agreement sum{.samples = data.samples()};
  require(got.size() == wanted.size(), "[strong ticket] expected {} outputs, got {}", wanted.size(), got.size());
  for (std::size_t n = 0; n < wanted.size(); ++n) {
    const auto value = static_cast<double>(wanted[n]), error = static_cast<double>(got[n]) - value;
    sum.worst_error = std::max(sum.worst_error, std::abs(error));
    sum.rms_error += error * error;
    sum.target_rms += value * value;
  }
  require(sum.samples > 0, "[strong ticket] expected samples to compare on, got none");
  const std::size_t outputs = wanted.size() / sum.samples;
  for (Index i = 0; i < sum.samples; ++i) {
    const Index of_target = arg_max(std::span(wanted).subspan(i * outputs, outputs));
    const Index of_ticket = arg_max(std::span(got).subspan(i * outputs, outputs));
    sum.same_class += of_target == of_ticket;
    if (data.classes() == 0) continue;
    sum.target_accuracy += of_target == data.label(i);
    sum.ticket_accuracy += of_ticket == data.label(i);
  }
  const auto samples = static_cast<double>(sum.samples), numbers = static_cast<double>(wanted.size());
  sum.rms_error = std::sqrt(sum.rms_error / numbers);
  sum.target_rms = std::sqrt(sum.target_rms / numbers);
  for (double* fraction : {&sum.same_class, &sum.target_accuracy, &sum.ticket_accuracy}) *fraction /= samples;
  return sum;
}

}  // namespace espalier
