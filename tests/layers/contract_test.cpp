// The universal layer contract: what every layer owes. A new layer is one row in the table of all_layers.h, and nothing
// here.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/onnx.h"
#include "layers/all_layers.h"
#include "support/batch_pass.h"
#include "support/narrowing.h"
#include "support/patterns.h"
#include "support/steady_state.h"
#include "support/temporary_folder.h"

namespace espalier {
namespace {

using testing::Density;
using testing::epsilon;
using testing::expect_close;
using testing::expect_identical;
using testing::LayerCase;
using testing::make_tiles;
using testing::nan;
using testing::Pass;
using testing::PassOptions;
using testing::prune;
using testing::run_batch;
using testing::same_bits;

// Sums over a few dozen terms in another order, relative to the largest of the results.
constexpr Real close = 32 * epsilon;

class LayerContract : public ::testing::TestWithParam<LayerCase> {
 protected:
  const LayerCase& row() const { return GetParam(); }
  ModulePtr make(std::uint64_t seed = 1) const { return testing::with_biases(row().make(seed)); }
  std::vector<Tile> tiles(Index samples, Index lanes, Real padding = 0) const {
    return make_tiles(row().input, samples, lanes, padding);
  }
};

INSTANTIATE_TEST_SUITE_P(EveryLayer, LayerContract, ::testing::ValuesIn(testing::all_layers),
                         [](const auto& of) { return of.param.name; });

// The gradient of every weight that lives in `by`, in row-major order.
std::vector<Real> live_gradients(Module& module, const Pass& pass, const Module& by) {
  std::vector<Real> live;
  const std::vector<Parameter*> parameters = parameters_of(module);
  const std::vector<const Parameter*> patterns = parameters_of(by);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    parameters[p]->for_each_weight([&](Index r, Index c, Index at) {
      if (!patterns[p]->pattern() || patterns[p]->pattern()->live(r, c)) live.push_back(pass.gradient[p][at]);
    });
  return live;
}

// Between a linear layer in front and one behind, or the like, so that what it reads and what it gives can be narrower.
ModulePtr in_a_network(const LayerCase& row) {
  auto model = std::make_unique<Sequential>("network");
  if (row.input.rank() == 1)
    model->add<Linear>(LinearOptions{.name = "front", .in = row.input[0], .out = row.input[0]}, 1);
  else if (row.input.rank() == 2)
    model->add<Conv1d>(Conv1dOptions{.name = "front", .in = row.input[1], .out = row.input[1], .window = {}}, 1);
  else
    model->add<Conv2d>(Conv2dOptions{.name = "front", .in = row.input[0], .out = row.input[0], .window = {}}, 1);
  model->add(row.make(1));
  model->add<Linear>(LinearOptions{.name = "behind", .in = model->output_shape(row.input).features(), .out = 3}, 1);
  return testing::with_biases(std::move(model));
}

TEST_P(LayerContract, ComputesWithoutUnitsWhatItComputesWithThemMasked) {
  const std::vector<Tile> tiles = testing::make_tiles(GetParam().input, 5, 16);
  for (const std::uint64_t seed : {1, 2, 3})
    testing::expect_masked_equals_narrow([&] { return in_a_network(GetParam()); }, GetParam().input, tiles,
                                         Mode::evaluation, /*most=*/static_cast<Index>(seed), Random(seed, "units"),
                                         static_cast<Real>(1e-5));
}

TEST_P(LayerContract, OutputShapeIsTheShapeThatForwardMakes) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16);
  Tape tape;
  const Var y = module->forward(tape.begin(batch[0], {}));
  EXPECT_EQ(y.shape(), module->output_shape(row().input));
  EXPECT_EQ(y.value().lane_counts(), batch[0].input.lane_counts());
  EXPECT_TRUE(y.value().halo().none());
}

TEST_P(LayerContract, AnInputThatDoesNotFitIsAUsageErrorThatNamesWhatCame) {
  if (!row().misfit) return;
  const ModulePtr module = make();
  try {
    module->output_shape(*row().misfit);
    ADD_FAILURE() << "expected a UsageError";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find(row().misfit->text()), std::string::npos) << error.what();
  }
}

TEST_P(LayerContract, ParametersHaveNamesOfTheirOwn) {
  const ModulePtr module = make();
  std::set<std::string> names;
  for (const Parameter* parameter : parameters_of(*module)) {
    EXPECT_FALSE(parameter->name().empty());
    EXPECT_TRUE(names.insert(parameter->name()).second) << parameter->name();
  }
  EXPECT_FALSE(module->name().empty());
}

TEST_P(LayerContract, TheSeedAloneDecidesTheWeights) {
  const ModulePtr a = make(1), b = make(1), other = make(2);
  const auto pa = parameters_of(*a), pb = parameters_of(*b), po = parameters_of(*other);
  ASSERT_EQ(pa.size(), pb.size());
  for (std::size_t p = 0; p < pa.size(); ++p) {
    EXPECT_TRUE(same_bits(pa[p]->value(), pb[p]->value()));
    EXPECT_EQ(same_bits(pa[p]->value(), po[p]->value()), !pa[p]->prunable()) << pa[p]->name();
  }
}

TEST_P(LayerContract, AFileBringsBackEveryBit) {
  const testing::TemporaryFolder folder;
  const auto file_of = [&](const Module& module) {
    save_model(module, {}, folder.path() / "model");
    return read_file(folder.path() / "model", std::uintmax_t{1} << 30);
  };
  for (const Density density : testing::all_densities)
    for (const Storage storage : {Storage::masked, Storage::csr}) {
      const ModulePtr saved = make(1), loaded = make(2);
      prune(*saved, density, storage);
      saved->visit_state([](const std::string&, std::span<Real> n) { std::iota(n.begin(), n.end(), Real{0.5}); });
      const std::string file = file_of(*saved);
      load_model(*loaded, folder.path() / "model");
      EXPECT_EQ(file_of(*loaded), file) << density << " " << name_of(storage);
    }
}

#ifdef ESPALIER_REAL_DOUBLE
// d(sum of the losses / samples) by central differences; rounding and curvature both stay below 1e-9.
constexpr Real difference = 1e-5, difference_tolerance = 1e-8;

Real total_loss(Module& module, const std::vector<Tile>& tiles) {
  Real total = 0;
  for (const Tile& tile : tiles) {
    Tape tape;
    const Var loss = testing::linear_functional(module.forward(tape.begin(tile, {.seed = 5, .step = 3})));
    for (Index lane = 0; lane < loss.value().valid(); ++lane) total += loss.value().row(0)[lane] / tile.denominator;
  }
  return total;
}

Real slope(Module& module, const std::vector<Tile>& tiles, Real& number) {
  const Real centre = number;
  number = centre + difference;
  const Real above = total_loss(module, tiles);
  number = centre - difference;
  const Real below = total_loss(module, tiles);
  number = centre;
  return (above - below) / (2 * difference);
}

void expect_finite_differences(Module& module, std::vector<Tile> tiles) {
  const Pass pass = run_batch(module, tiles);
  const bool passed_on = !pass.input_gradient.empty();  // else it is 0: tokens have no slope
  std::size_t sample = 0;
  for (Tile& tile : tiles)
    for (Index lane = 0; lane < tile.valid(); ++lane, ++sample)
      for (Index i = 0; i < tile.input.features(); ++i)
        EXPECT_NEAR(passed_on ? pass.input_gradient[sample][i] : 0, slope(module, tiles, tile.input.row(i)[lane]),
                    difference_tolerance)
            << "input " << i << " of sample " << sample;
  const std::vector<Parameter*> parameters = parameters_of(module);
  for (std::size_t p = 0; p < parameters.size(); ++p)
    parameters[p]->for_each_weight([&](Index r, Index c, Index at) {
      const auto n = static_cast<std::size_t>(at);
      EXPECT_NEAR(pass.gradient[p][n], slope(module, tiles, parameters[p]->value()[n]), difference_tolerance)
          << parameters[p]->name() << " " << r << ", " << c;
    });
}

TEST_P(LayerContract, GradientsAreThoseOfFiniteDifferences) {
  const ModulePtr module = make();
  expect_finite_differences(*module, tiles(21, 16));
}

TEST_P(LayerContract, GradientsOfASparseLayerAreThoseOfFiniteDifferences) {
  for (const Storage storage : {Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    expect_finite_differences(*module, tiles(5, 16));
  }
}
#endif

TEST_P(LayerContract, DenseMaskedAndCsrAreTheSameFunctionWithTheSameGradients) {
  for (const Density density : {Density::half, Density::tenth, Density::empty_row, Density::nothing}) {
    SCOPED_TRACE(density);
    const ModulePtr dense = make(), masked = make(), csr = make();
    prune(*dense, density, Storage::dense);
    prune(*masked, density, Storage::masked);
    prune(*csr, density, Storage::csr);
    const std::vector<Tile> batch = tiles(37, 16);
    const Pass a = run_batch(*dense, batch), b = run_batch(*masked, batch), c = run_batch(*csr, batch);
    expect_close(testing::flat(a.output), testing::flat(b.output), close, "dense and masked output");
    expect_close(testing::flat(a.output), testing::flat(c.output), close, "dense and csr output");
    expect_close(testing::flat(a.input_gradient), testing::flat(b.input_gradient), close, "input gradients, masked");
    expect_close(testing::flat(a.input_gradient), testing::flat(c.input_gradient), close, "input gradients, csr");
    const std::vector<Real> expected = live_gradients(*dense, a, *masked);
    expect_close(expected, live_gradients(*masked, b, *masked), close, "weight gradients, masked");
    expect_close(expected, live_gradients(*csr, c, *masked), close, "weight gradients, csr");
  }
}

TEST_P(LayerContract, APrunedWeightOfAMaskedLayerHasNoGradient) {
  const ModulePtr module = make();
  prune(*module, Density::half, Storage::masked);
  const Pass pass = run_batch(*module, tiles(37, 16));
  const std::vector<Parameter*> parameters = parameters_of(*module);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    if (!parameters[p]->pattern()) continue;
    const std::vector<std::uint8_t> mask = parameters[p]->pattern()->mask();
    for (std::size_t n = 0; n < mask.size(); ++n) EXPECT_TRUE(mask[n] || pass.gradient[p][n] == 0);
  }
}

TEST_P(LayerContract, WhatStandsInThePaddingChangesNoBit) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    for (const Index lanes : {16, 48}) {
      const Pass zeros = run_batch(*module, tiles(37, lanes, 0));
      expect_identical(zeros, run_batch(*module, tiles(37, lanes, nan)));
      expect_identical(zeros, run_batch(*module, tiles(37, lanes, Real{1e30f})));
    }
  }
}

TEST_P(LayerContract, ARaggedTileIsItsSamplesInAFullTile) {
  const ModulePtr module = make();
  for (const Index valid : {1, 15, 16}) {
    const PassOptions options{.mode = row().mode_of_any_tile()};
    const Pass full = run_batch(*module, tiles(valid, 1), options);
    const Pass ragged = run_batch(*module, tiles(valid, 64), options);
    expect_close(full, ragged, close);
  }
}

TEST_P(LayerContract, LanesDoNotChangeTheResultBeyondRounding) {
  for (const Storage storage : {Storage::dense, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const PassOptions options{.mode = row().mode_of_any_tile()};
    const Pass sixteen = run_batch(*module, tiles(128, 16), options);
    for (const Index lanes : {1, 48, 64, 128}) {
      SCOPED_TRACE(lanes);
      expect_close(sixteen, run_batch(*module, tiles(128, lanes), options), close);
    }
  }
}

TEST_P(LayerContract, ThreadsDoNotChangeABit) {
  for (const Storage storage : {Storage::dense, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const Pass one = run_batch(*module, tiles(125, 16), {.threads = 1});
    for (int repeat = 0; repeat < 5; ++repeat)
      expect_identical(one, run_batch(*module, tiles(125, 16), {.threads = 4}));
  }
}

TEST_P(LayerContract, WhatABufferHeldBeforeChangesNoBit) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    expect_identical(run_batch(*module, tiles(37, 16), {.poison = false}),
                     run_batch(*module, tiles(37, 16), {.poison = true}));
  }
}

TEST_P(LayerContract, TwoUsesOfTheInputAddTheirGradients) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    const Pass once = run_batch(*module, tiles(21, 16));
    const Pass twice =
        run_batch(*module, tiles(21, 16),
                  {.forward = [](const Module& m, const Var& x) { return testing::sum(m.forward(x), m.forward(x)); }});
    const auto doubled = [](std::vector<Real> numbers) {
      for (Real& number : numbers) number *= 2;
      return numbers;
    };
    expect_close(doubled(testing::flat(once.output)), testing::flat(twice.output), close, "output");
    expect_close(doubled(testing::flat(once.input_gradient)), testing::flat(twice.input_gradient), close, "input");
    for (std::size_t p = 0; p < once.gradient.size(); ++p)
      expect_close(doubled(once.gradient[p]), twice.gradient[p], close, "parameter");
  }
}

// An image comes with any halo, and goes with the one that was asked for, whose border is zero; what is inside does not
// change, nor do the gradients.
TEST_P(LayerContract, HalosChangeNoBitInside) {
  if (row().input.rank() != 3) return;
  const ModulePtr plain = make(), bordered = make();
  const bool image = plain->output_shape(row().input).rank() == 3;
  const Halo wish = image ? Halo{1, 2} : Halo{};
  bordered->set_output_halo(wish);
  std::vector<Tile> batch = tiles(21, 16);
  const Pass expected = run_batch(*plain, batch);
  for (Tile& tile : batch) {
    Tensor inside(row().input, tile.input.lane_counts(), {2, 1});
    put(tile.input, inside, Write::overwrite);
    tile.input = inside;
  }
  Tape tape(/*poison=*/true);
  EXPECT_EQ(bordered->forward(tape.begin(batch[0], {.seed = 5, .step = 3})).value().halo(), wish);
  const Pass got = run_batch(*bordered, batch, {.poison = true});
  expect_close(expected, got, close);
}

TEST_P(LayerContract, EvaluationIsDeterministicAndInferenceGivesItsBits) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16);
  Tape first, second, inference(/*poison=*/true);
  const Var a = module->forward(first.begin(batch[0], {.mode = Mode::evaluation, .seed = 1, .step = 1}));
  const Var b = module->forward(second.begin(batch[0], {.mode = Mode::evaluation, .seed = 2, .step = 9}));
  const Var c = module->forward(inference.begin(batch[0], {.mode = Mode::inference}));
  EXPECT_TRUE(same_bits(testing::valid_numbers(a.value()), testing::valid_numbers(b.value())));
  EXPECT_TRUE(same_bits(testing::valid_numbers(a.value()), testing::valid_numbers(c.value())));
  EXPECT_EQ(inference.nodes(), 0u);
}

TEST_P(LayerContract, ForwardLeavesItsInputAlone) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(16, 16), untouched = tiles(16, 16);
  run_batch(*module, batch);
  EXPECT_TRUE(same_bits(testing::valid_numbers(batch[0].input), testing::valid_numbers(untouched[0].input)));
}

TEST_P(LayerContract, FlopsAreCountedWhereThereAreWeightsAndShrinkWithThem) {
  const ModulePtr dense = make(), masked = make(), csr = make();
  bool has_weights = false;
  for (const Parameter* parameter : parameters_of(*dense)) has_weights |= parameter->prunable();
  prune(*masked, Density::tenth, Storage::masked);
  prune(*csr, Density::tenth, Storage::csr);
  const std::vector<Tile> batch = tiles(37, 16);
  const Flops full = run_batch(*dense, batch).forward, hidden = run_batch(*masked, batch).forward,
              sparse = run_batch(*csr, batch).forward;
  EXPECT_EQ(full.useful > 0, has_weights);
  for (const Flops& flops : {full, hidden, sparse}) EXPECT_GE(flops.executed, flops.useful);
  EXPECT_EQ(hidden.executed, full.executed) << "a mask hides weights, it does not skip them";
  EXPECT_EQ(hidden.useful, sparse.useful);
  if (has_weights) {
    EXPECT_LT(sparse.executed, full.executed / 4);
    EXPECT_LT(sparse.useful, full.useful / 4);
  }
}

// --- what a matrix reads ---------------------------------------------------------------------------------------------

// Row groups that read different channels of an image.
Index groups_of(const Reads& reads) {
  const auto* patches = std::get_if<Patches>(&reads.kind);
  return patches ? patches->window.groups : 1;
}

TEST_P(LayerContract, EveryPrunableMatrixSaysWhatItReads) {
  const ModulePtr module = make();
  const std::vector<Tile> batch = tiles(5, 16);
  Tape tape;
  module->forward(tape.begin(batch[0], {.mode = Mode::evaluation}));
  std::set<const Parameter*> said;
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    SCOPED_TRACE(reads.W->name());
    said.insert(reads.W);
    const Index operands = operands_of(tape, node, reads);
    Index seen = 0;
    for_each_operand(tape, node, reads, [&](const Operand& operand) {
      EXPECT_EQ(operand.x.shape(), (Shape{reads.transposed ? reads.W->rows() : reads.W->cols()}));
      EXPECT_EQ(operand.x.lane_counts(), tape.lanes());
      EXPECT_EQ(operand.position, seen % operands);
      EXPECT_EQ(operand.group, seen / operands);
      ++seen;
    });
    EXPECT_EQ(seen, operands * groups_of(reads));
    if (std::ranges::any_of(node.reads, &Reads::inside)) return;
    const Index from_units = units_of(tape.node(node.inputs[reads.input]).value.shape());
    const Edges edges(tape, node, reads);
    std::set<Index> reached;
    reads.W->for_each_weight([&](Index row, Index column, Index) {
      const Edge edge = edges(row, column);
      EXPECT_TRUE(edge.from == Edge::all || (edge.from >= 0 && edge.from < from_units)) << edge.from;
      reached.insert(edge.to);
    });
    EXPECT_EQ(std::ssize(reached), units_of(node.value.shape())) << "a dense matrix leads to every unit";
    EXPECT_EQ(*reached.begin(), 0);
  });
  for (const Parameter* parameter : parameters_of(*module))
    EXPECT_TRUE(!parameter->prunable() || said.contains(parameter)) << parameter->name();
}

// z = W x + b of every operand, next to the y that the node made of it: [position][row][lane]. Empty where the node's
// value is not as many numbers: where something else follows in the same node, or W is used transposed.
std::vector<std::pair<double, double>> products_and_values(const Tape& tape, const Node& node, const Reads& reads) {
  const Parameter& W = *reads.W;
  const Index pixels = operands_of(tape, node, reads), rows = W.rows();
  if (reads.transposed || reads.inside() || node.value.features() != rows * pixels) return {};
  const auto bias = std::ranges::find_if(node.parameters, [](const Parameter* p) { return p->role() == Role::bias; });
  std::vector<std::pair<double, double>> all;
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    for (Index row = 0; row < rows; ++row) {
      if (row * groups_of(reads) / rows != operand.group) continue;
      const bool sequence = node.value.shape().rank() == 2;  // time in front, channels of an image in front
      const Real* y = node.value.row(sequence ? operand.position * rows + row : row * pixels + operand.position);
      for (Index lane = 0; lane < tape.lanes().valid; ++lane) {
        double z = bias == node.parameters.end() ? 0 : static_cast<double>((*bias)->value()[row]);
        for (Index column = 0; column < W.cols(); ++column)
          z += static_cast<double>(W.value()[row * W.cols() + column]) *
               static_cast<double>(operand.x.row(column)[lane]);
        all.emplace_back(z, static_cast<double>(y[lane]));
      }
    }
  });
  return all;
}

// Whatever activation follows, it never falls where its input grows, so the values are in the order of the products.
TEST_P(LayerContract, WhatAMatrixReadsExplainsWhatItMakes) {
  const ModulePtr module = make();
  prune(*module, Density::half, Storage::dense);
  const std::vector<Tile> batch = tiles(21, 16);
  Tape tape;
  module->forward(tape.begin(batch[0], {.mode = Mode::evaluation}));
  tape.for_each_matrix([&](const Node& node, const Reads& reads) {
    SCOPED_TRACE(reads.W->name());
    auto all = products_and_values(tape, node, reads);
    if (all.empty()) return;
    std::ranges::sort(all);
    double highest = all.front().second, size = 0;
    for (const auto& [z, y] : all) size = std::max(size, std::abs(z));
    for (const auto& [z, y] : all) {
      EXPECT_GE(y, highest - static_cast<double>(close) * size) << "z = " << z;
      highest = std::max(highest, y);
    }
    EXPECT_GT(highest, all.front().second);
  });
}

// x minus its part in the space of an orthonormal basis; returns the length of what is left.
double project_out(const std::vector<std::vector<double>>& basis, std::vector<double>& x) {
  for (int twice = 0; twice < 2; ++twice)  // the second time for what rounding left
    for (const std::vector<double>& b : basis) {
      const double part = std::inner_product(b.begin(), b.end(), x.begin(), 0.0);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] -= part * b[i];
    }
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

// An orthonormal basis of what the given rows of W were multiplied by (of the columns, if W is used transposed).
std::vector<std::vector<double>> basis_of_operands(const Tape& tape, const Node& node, const Reads& reads,
                                                   Index group) {
  std::vector<std::vector<double>> basis;
  for_each_operand(tape, node, reads, [&](const Operand& operand) {
    if (operand.group != group && !reads.transposed) return;  // a column of a transposed matrix belongs to all groups
    std::vector<double> x;
    for (Index i = 0; i < operand.x.features(); ++i) x.push_back(static_cast<double>(operand.x.row(i)[0]));
    if (const double left = project_out(basis, x); left > 1e-3) {
      for (double& v : x) v /= left;
      basis.push_back(x);
    }
  });
  return basis;
}

// Adds to each row of W (or column, if it is used transposed) a vector: of what it reads, or orthogonal to all of that.
// False if there is none.
bool move_along(Parameter& W, const Tape& tape, const Node& node, const Reads& reads, bool orthogonal) {
  const Index vectors = reads.transposed ? W.cols() : W.rows(), length = W.positions() / vectors;
  bool moved = false;
  for (Index n = 0; n < vectors; ++n) {
    const auto basis = basis_of_operands(tape, node, reads, n * groups_of(reads) / vectors);
    const Random random(3, "move", static_cast<std::uint64_t>(n));
    std::vector<double> v(length, 0);
    if (orthogonal) {
      for (Index i = 0; i < length; ++i) v[i] = random.normal(static_cast<std::uint64_t>(i));
      if (project_out(basis, v) < 1e-3) continue;
    } else {
      if (basis.empty()) continue;
      for (std::size_t k = 0; k < basis.size();
           ++k)  // by other parts for each vector: a shift of all is normalised away
        for (Index i = 0; i < length; ++i) v[i] += random.normal(k) * basis[k][i];
    }
    moved = true;
    for (Index i = 0; i < length; ++i)
      W.value()[reads.transposed ? i * vectors + n : n * length + i] += static_cast<Real>(v[i]);
  }
  return moved;
}

// The other way round, and for every kind of layer: it feels a change of W along what W reads, and no other.
TEST_P(LayerContract, AMatrixActsThroughWhatItReadsAndThroughNothingElse) {
  // A single sample of few numbers that are not 0, so that there are directions in which nothing lies.
  Tile tile = tiles(1, 1)[0];
  for (Index i = 1; i + 1 < tile.input.features(); ++i) *tile.input.row(i) = 0;
  const auto output = [&](const Module& module, Tape& tape) {
    const Var y = module.forward(tape.begin(tile, {.mode = Mode::evaluation}));
    return testing::valid_numbers(y.value());
  };
  const ModulePtr count = make();
  const std::size_t parameters = parameters_of(*count).size();
  for (std::size_t p = 0; p < parameters; ++p)
    for (const bool orthogonal : {true, false}) {
      const ModulePtr module = make();
      Parameter& W = *parameters_of(*module)[p];
      SCOPED_TRACE(W.name() + (orthogonal ? ", orthogonal" : ", along"));
      Tape tape, other;
      const std::vector<Real> before = output(*module, tape);
      bool moved = false;
      tape.for_each_matrix([&](const Node& node, const Reads& reads) {
        if (reads.W == &W) moved = move_along(W, tape, node, reads, orthogonal);
      });
      if (!moved) continue;
      const std::vector<Real> after = output(*module, other);
      if (orthogonal)
        expect_close(before, after, 16 * close, "output");
      else
        EXPECT_FALSE(same_bits(before, after));
    }
}

// Whether those operators compute what the layer does is asked by onnx_test.py, where there is something to run them.
TEST_P(LayerContract, SaysWhatItIsInOperatorsOfOnnxInTheirOrder) {
  const ModulePtr module = make();
  prune(*module, Density::tenth, Storage::csr);
  if (!row().without_onnx.empty()) {
    EXPECT_THROW(onnx_graph(*module, row().input, OnnxInitialisers::dense), UsageError) << row().without_onnx;
    return;
  }
  for (const OnnxInitialisers as : {OnnxInitialisers::dense, OnnxInitialisers::sparse}) {
    const OnnxGraph graph = onnx_graph(*module, row().input, as);
    std::set<std::string> known{graph.input().name}, read;
    for (const OnnxInitialiser& numbers : graph.initialisers()) EXPECT_TRUE(known.insert(numbers.name).second);
    for (const OnnxNode& node : graph.nodes()) {
      for (const std::string& input : node.inputs) EXPECT_TRUE(known.contains(input)) << node.name << " " << input;
      read.insert(node.inputs.begin(), node.inputs.end());
      EXPECT_TRUE(known.insert(node.output).second) << node.output;
    }
    EXPECT_EQ(graph.nodes().back().output, "output");
    read.insert("output");
    EXPECT_EQ(read, known) << "everything is used";
    EXPECT_EQ(std::ranges::any_of(graph.initialisers(), &OnnxInitialiser::sparse),
              as == OnnxInitialisers::sparse && census_of(*module).positions > 0);
  }
}

TEST_P(LayerContract, AStepThatHasRunOnceAllocatesNothing) {
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr}) {
    const ModulePtr module = make();
    prune(*module, Density::half, storage);
    testing::SteadyState training(*module, tiles(37, 16));
    training.step();
    const std::size_t bytes = training.bytes();
    EXPECT_EQ(training.step(), 0u);
    EXPECT_EQ(training.bytes(), bytes);
  }
}

}  // namespace
}  // namespace espalier
