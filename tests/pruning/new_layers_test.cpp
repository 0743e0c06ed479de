// What pruning learns of attention, transposed convolutions, tables, positions and layer normalisation: networks so
// small that every number is known by hand or by brute force.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "espalier/layers/attention.h"
#include "espalier/layers/conv_transpose2d.h"
#include "espalier/layers/embedding.h"
#include "espalier/layers/layer_norm.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/models.h"
#include "espalier/layers/positions.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"
#include "espalier/pruning/criterion.h"
#include "espalier/pruning/dead_units.h"
#include "espalier/pruning/measure.h"
#include "espalier/pruning/storage_rules.h"
#include "reference/convolution.h"
#include "reference/lanewise.h"
#include "support/asked.h"
#include "support/numbers.h"

namespace espalier {
namespace {

using testing::Asked;
using testing::parameter_of;
using testing::parts_of;
using testing::set_values;
using testing::sum_of;
using Numbers = std::vector<double>;

void expect_numbers(const Numbers& expected, const Numbers& got, double relative = 1e-4) {
  ASSERT_EQ(expected.size(), got.size());
  double largest = 0;
  for (const double v : expected) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(expected[i], got[i], relative * largest) << i;
}

Numbers scores(const std::string& criterion, Asked& asked, const std::string& name) {
  const Parameter& W = parameter_of(asked.model, name);
  std::vector<Real> all(W.nonzeros());
  criterion_named(criterion)->score(W, {.evidence = &asked.evidence}, all);
  return {all.begin(), all.end()};
}

// Keeps the weights whose row and column satisfy `live`.
void keep(Module& model, const std::string& name, const std::function<bool(Index, Index)>& live) {
  Parameter& W = parameter_of(model, name);
  std::vector<Index> positions;
  for (Index r = 0; r < W.rows(); ++r)
    for (Index c = 0; c < W.cols(); ++c)
      if (live(r, c)) positions.push_back(r * W.cols() + c);
  W.become(Pattern::from_positions(W.rows(), W.cols(), positions), Storage::csr);
}

// --- tables of tokens ------------------------------------------------------------------------------------------------

// y = mean of the two tokens' weights; tokens 0, 2 and 2, 2.
struct Table {
  Sequential model;
  Asked asked;
  Table() : model(), asked((build(model), model), {2}, {{0, 2}, {2, 2}}) {}
  static void build(Sequential& model) {
    model.add<Embedding>(EmbeddingOptions{.name = "e", .vocabulary = 3, .features = 1}, 1).add<MeanOverTime>();
    set_values(model, "e.weight", {1, -5, 3});
  }
};

TEST(PruningATable, InputsAreHowOftenEachTokenCame) {
  Table table;
  expect_numbers({0.5, 0, 1.5}, table.asked.squares("e.weight"));
  expect_numbers({0.25, 0, 0, 0, 0, 0, 0, 0, 0.75}, table.asked.products("e.weight"));
  expect_numbers({-1, -2, 0}, scores("wanda", table.asked, "e.weight"));
}

TEST(PruningATable, SnipKnowsOnlyTokensThatCame) {
  // y = 2 and 3: dL/dw_0 = mean of (2 y / 2, 0), dL/dw_2 = mean of (2 y / 2, 2 y)
  Table table;
  expect_numbers({1, 0, 4}, table.asked.gradient("e.weight"));
  expect_numbers({1.0 / 13, 0, 12.0 / 13}, parts_of(scores("snip", table.asked, "e.weight")));
}

TEST(PruningATable, FlowGoesThroughEveryToken) {
  Table table;
  expect_numbers({1.0 / 9, 5.0 / 9, 3.0 / 9}, parts_of(table.asked.flow("e.weight")));
}

TEST(PruningATable, ItIsCountedTunedAndMeasured) {
  Table table;
  EXPECT_EQ(effective_nonzeros(table.model, {2}), 3);
  const LayerGeometry layer = geometries_of(table.model, {2}).at("e.weight");
  EXPECT_TRUE(layer.table);
  EXPECT_EQ(layer.text(), "table 1 x 3");
  const double below = break_even({.rows = 8, .cols = 20, .table = true}, 16, 1);
  EXPECT_TRUE(below >= 0 && below <= 0.8);
  const auto measured = measure({&table.model}, table.asked.data, mean_squared_error, *table.asked.optimizer,
                                {.batch = 2, .lanes = 16, .repetitions = 1});
  ASSERT_EQ(measured[0].layers.size(), 1u);
  EXPECT_EQ(measured[0].layers[0].kernel, "lookup");
  EXPECT_EQ(measured[0].forward_flops.executed, 0u);
}

TEST(PruningATable, AFeatureThatIsReadNowhereMakesItsRowUseless) {
  Sequential model;
  model.add<Embedding>(EmbeddingOptions{.name = "e", .vocabulary = 5, .features = 3}, 1)
      .add<Positions>(PositionsOptions{.name = "p", .steps = 2, .features = 3})
      .add<Linear>(LinearOptions{.name = "fc", .in = 6, .out = 1, .bias = false}, 1);
  EXPECT_EQ(effective_nonzeros(model, {2}), 15 + 6 + 6);
  keep(model, "fc.weight", [](Index, Index column) { return column % 3 != 1; });
  EXPECT_EQ(effective_nonzeros(model, {2}), 10 + 4 + 4) << "a position belongs to each step of a feature";
}

// --- transposed convolutions -----------------------------------------------------------------------------------------

constexpr Window window{
    .kernel_height = 3, .kernel_width = 2, .stride = 2, .padding_height = 1, .padding_width = 1, .groups = 2};
const Shape image{4, 3, 2};  // 4 channels become 6

struct Up {
  Sequential model;
  std::vector<std::vector<Real>> x;
  Up() {
    model.add<ConvTranspose2d>(
        ConvTranspose2dOptions{.name = "up", .in = 4, .out = 6, .window = window, .output_padding = 1}, 1);
    const Random random(3, "up");
    for (std::uint64_t sample = 0; sample < 3; ++sample)
      for (Index i = 0; i < image.features(); ++i) {
        if (i == 0) x.emplace_back();
        x.back().push_back(static_cast<Real>(random.normal(100 * sample + static_cast<std::uint64_t>(i))));
      }
  }
  const Parameter& W() { return parameter_of(model, "up.weight"); }
  Shape result() const { return model.output_shape(image); }
  // body(pixel of x, pixel of y, place of the weight) for everything that is multiplied.
  template <typename Body>
  void for_each_product(Body&& body) {
    reference::for_each_tap(W(), window, result(), image,
                            [&](Index in, Index out, Index, Index, Index at) { body(in, out, at); });
  }
};

TEST(PruningATransposedConvolution, SquaresAreThoseOfThePixelsThatEachWeightMet) {
  Up up;
  Numbers squares(up.W().positions(), 0), gradient = squares, flow = squares;
  const double samples = static_cast<double>(up.x.size()), outputs = static_cast<double>(up.result().features());
  for (const std::vector<Real>& x : up.x) {
    Numbers y(up.result().features(), 0);
    up.for_each_product([&](Index in, Index out, Index at) { y[out] += double{up.W().value()[at]} * x[in]; });
    up.for_each_product([&](Index in, Index out, Index at) {
      squares[at] += double{x[in]} * x[in] / samples;
      gradient[at] += 2 * y[out] * x[in] / samples / outputs;
    });
  }
  up.for_each_product([&](Index, Index, Index at) { flow[at] += std::abs(double{up.W().value()[at]}); });
  Asked asked(up.model, image, up.x);
  expect_numbers(squares, asked.squares("up.weight"));
  expect_numbers(gradient, asked.gradient("up.weight"));
  expect_numbers(parts_of(flow), parts_of(asked.flow("up.weight")));
  EXPECT_TRUE(asked.products("up.weight").empty());
  // obs falls back to the diagonal
  Numbers diagonal;
  for (Index n = 0; n < up.W().positions(); ++n)
    diagonal.push_back(std::pow(double{up.W().value()[n]}, 2) * squares[n]);
  expect_numbers(parts_of(diagonal), parts_of(scores("obs", asked, "up.weight")));
}

TEST(PruningATransposedConvolution, WandaRanksWhatAChannelOfTheResultReads) {
  Up up;
  Asked asked(up.model, image, up.x);
  const Numbers squares = asked.squares("up.weight"), got = scores("wanda", asked, "up.weight");
  const Index per_group = up.W().rows() / 2, channels = 3;  // of the result, in each group
  std::map<Index, Numbers> of_channel;
  const auto size = [&](Index at) { return std::abs(double{up.W().value()[at]}) * std::sqrt(squares[at]); };
  const auto channel = [&](Index at) {
    return at / up.W().cols() / per_group * channels + at % up.W().cols() / window.taps();
  };
  for (Index at = 0; at < up.W().positions(); ++at) of_channel[channel(at)].push_back(size(at));
  ASSERT_EQ(of_channel.size(), 6u);
  for (Index at = 0; at < up.W().positions(); ++at) {
    const Numbers& all = of_channel[channel(at)];
    EXPECT_EQ(-got[at], std::ranges::count_if(all, [&](double other) { return other > size(at); })) << at;
  }
}

TEST(PruningATransposedConvolution, ItsGeometryIsTheWindowOnTheResult) {
  Up up;
  const LayerGeometry layer = geometries_of(up.model, image).at("up.weight");
  ASSERT_TRUE(layer.window);
  EXPECT_EQ(*layer.window, window);
  EXPECT_EQ(layer.input, up.result());
  const double below = break_even(layer, 16, 1);
  EXPECT_TRUE(below >= 0 && below <= 0.8);
}

TEST(PruningATransposedConvolution, ChannelsWithoutWeightsAreDead) {
  Sequential model;
  model
      .add<ConvTranspose2d>(
          ConvTranspose2dOptions{
              .name = "a", .in = 2, .out = 3, .window = {.kernel_height = 2, .kernel_width = 2, .stride = 2}},
          1)
      .add<ConvTranspose2d>(ConvTranspose2dOptions{.name = "b", .in = 3, .out = 1, .window = {}}, 1);
  EXPECT_EQ(effective_nonzeros(model, {2, 2, 2}), 2 * 12 + 3 + 3 + 1);
  // Nothing writes channel 1: what b reads of it is useless, but the bias is not.
  keep(model, "a.weight", [](Index, Index column) { return column / 4 != 1; });
  EXPECT_EQ(effective_nonzeros(model, {2, 2, 2}), 2 * 8 + 3 + 2 + 1);
  // Nothing reads channel 2.
  keep(model, "b.weight", [](Index row, Index) { return row != 2; });
  EXPECT_EQ(effective_nonzeros(model, {2, 2, 2}), 2 * 4 + 2 + 1 + 1);
}

// --- attention -------------------------------------------------------------------------------------------------------

const std::vector<std::string> matrices{"m.query", "m.key", "m.value", "m.output"};

using Matrix = std::vector<double>;  // [D, D]

Numbers times(const Matrix& W, const Numbers& x) {
  Numbers y(x.size(), 0);
  for (std::size_t r = 0; r < x.size(); ++r)
    for (std::size_t c = 0; c < x.size(); ++c) y[r] += W[r * x.size() + c] * x[c];
  return y;
}

Matrix values(Module& model, const std::string& name) {
  const auto value = std::as_const(parameter_of(model, name + ".weight")).value();
  return {value.begin(), value.end()};
}

TEST(PruningAttention, QueryKeyAndValueReadTheStepsAndOutputWhatWasAttendedTo) {
  constexpr Index T = 3, D = 4;
  MultiHeadAttention model({.name = "m", .features = D, .form = {.heads = 2, .causal = true}}, 1);
  std::vector<std::vector<Real>> x(2);
  for (std::size_t sample = 0; sample < 2; ++sample)
    for (Index i = 0; i < T * D; ++i)
      x[sample].push_back(static_cast<Real>(Random(1, "x", 0, sample).normal(static_cast<std::uint64_t>(i))));
  Numbers inputs(D, 0), input_products(D * D, 0), attended(D, 0), attended_products(D * D, 0);
  for (const std::vector<Real>& sample : x) {
    reference::Rows q, k, v;
    std::vector<Numbers> o(T, Numbers(D, 0));
    for (Index t = 0; t < T; ++t) {
      const Numbers step(sample.begin() + t * D, sample.begin() + (t + 1) * D);
      q.push_back(times(values(model, "m.query"), step));
      k.push_back(times(values(model, "m.key"), step));
      v.push_back(times(values(model, "m.value"), step));
      for (Index i = 0; i < D; ++i) {
        inputs[i] += step[i] * step[i] / 2;
        for (Index j = 0; j < D; ++j) input_products[i * D + j] += step[i] * step[j] / (2 * T);
      }
    }
    for (Index head = 0; head < 2; ++head) {
      const auto part = [&](const reference::Rows& of) {
        reference::Rows rows;
        for (const reference::Numbers& row : of) rows.emplace_back(row.begin() + head * 2, row.begin() + head * 2 + 2);
        return rows;
      };
      const reference::Rows mixed = reference::attention(part(q), part(k), part(v), /*causal=*/true);
      for (Index t = 0; t < T; ++t) o[t][head * 2] = mixed[t][0], o[t][head * 2 + 1] = mixed[t][1];
    }
    for (const Numbers& step : o)
      for (Index i = 0; i < D; ++i) {
        attended[i] += step[i] * step[i] / 2;
        for (Index j = 0; j < D; ++j) attended_products[i * D + j] += step[i] * step[j] / (2 * T);
      }
  }
  Asked asked(model, {T, D}, x);
  for (const char* name : {"m.query.weight", "m.key.weight", "m.value.weight"}) {
    expect_numbers(inputs, asked.squares(name));
    expect_numbers(input_products, asked.products(name));
  }
  expect_numbers(attended, asked.squares("m.output.weight"));
  expect_numbers(attended_products, asked.products("m.output.weight"));
}

// R of all ones: y = |Wo| o, o = (|Wq| 1 . |Wk| 1) / sqrt(d) of each head times |Wv| 1, at every step.
double flow_through(const std::map<std::string, Matrix>& W, Index heads) {
  const Numbers ones{1, 1, 1, 1};
  const Numbers q = times(W.at("m.query"), ones), k = times(W.at("m.key"), ones), v = times(W.at("m.value"), ones);
  const Index d = 4 / heads;
  Numbers o(4, 0);
  for (Index j = 0; j < 4; ++j)
    for (Index i = j / d * d; i < (j / d + 1) * d; ++i) o[j] += q[i] * k[i] * v[j] / std::sqrt(static_cast<double>(d));
  return sum_of(times(W.at("m.output"), o));
}

TEST(PruningAttention, FlowGoesThroughAllFourMatrices) {
  for (const Index heads : {1, 2}) {
    MultiHeadAttention model({.name = "m", .features = 4, .form = {.heads = heads}}, 1);
    std::map<std::string, Matrix> W;
    for (const std::string& name : matrices) {
      W[name] = values(model, name);
      for (double& w : W[name]) w = std::abs(w);
    }
    const double R = flow_through(W, heads);
    Asked asked(model, {3, 4}, {std::vector<Real>(12, 1)});
    double first = 0;
    for (const std::string& name : matrices) {
      Numbers expected;
      for (double& w : W[name]) {  // R is linear in each matrix
        const double before = w;
        w = 0;
        expected.push_back(R - flow_through(W, heads));
        w = before;
      }
      const Numbers got = asked.flow(name + ".weight");
      expect_numbers(parts_of(expected), parts_of(got));
      if (first == 0) first = sum_of(got);
      EXPECT_NEAR(sum_of(got), first, 1e-4 * first) << "every path goes through each matrix once";
    }
  }
}

TEST(PruningAttention, NothingThatFlowsThroughAModelOfBlocksIsNegative) {
  const ModulePtr model = make_model("attention:8x2x3", {.input = {5, 3}, .outputs = 4});
  Asked asked(*model, {5, 3}, {std::vector<Real>(15, 1)});
  for (const Parameter* W : parameters_of(*model)) {
    if (!W->prunable()) continue;
    const Numbers flow = asked.flow(W->name());
    EXPECT_GE(std::ranges::min(flow), 0) << W->name();
    EXPECT_GT(sum_of(flow), 0) << W->name();
  }
}

TEST(PruningAttention, ItsMatricesHaveFourGeometriesOfTheirOwn) {
  MultiHeadAttention model({.name = "m", .features = 4, .form = {.heads = 2}}, 1);
  const auto layers = geometries_of(model, {3, 4});
  EXPECT_EQ(layers.size(), 4u);
  for (const std::string& name : matrices) EXPECT_EQ(layers.at(name + ".weight").text(), "linear 4 x 4");
}

TEST(PruningAttention, DeadRowsAndColumnsOfTheOutputMakeOthersUseless) {
  constexpr Index T = 3;
  const auto build = [] {
    auto model = std::make_unique<Sequential>();
    model->add<MultiHeadAttention>(MultiHeadAttentionOptions{.name = "m", .features = 4, .form = {.heads = 2}}, 1)
        .add<Linear>(LinearOptions{.name = "fc", .in = T * 4, .out = 1, .bias = false}, 1);
    return model;
  };
  const auto whole = build(), row = build(), column = build(), head = build();
  EXPECT_EQ(effective_nonzeros(*whole, {T, 4}), 4 * (16 + 4) + 4 * T);
  // Nothing comes in through row 3: what fc reads of it is useless.
  keep(*row, "m.output.weight", [](Index r, Index) { return r != 3; });
  EXPECT_EQ(effective_nonzeros(*row, {T, 4}), 3 * (16 + 4) + (12 + 4) + 3 * T);
  // Nothing reads feature 0 of what was attended to: neither its value, but query and key serve feature 1 as well.
  keep(*column, "m.output.weight", [](Index, Index c) { return c != 0; });
  EXPECT_EQ(effective_nonzeros(*column, {T, 4}), 2 * (16 + 4) + (12 + 3) + (12 + 4) + 4 * T);
  // Nothing reads the first head.
  keep(*head, "m.output.weight", [](Index, Index c) { return c >= 2; });
  EXPECT_EQ(effective_nonzeros(*head, {T, 4}), 3 * (8 + 2) + (8 + 4) + 4 * T);
}

// --- layer normalisation ---------------------------------------------------------------------------------------------

TEST(PruningBesideLayerNorm, EveryFeatureDependsOnEveryOther) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc1", .in = 2, .out = 3}, 1)
      .add<LayerNorm>(LayerNormOptions{.name = "norm", .features = 3})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 3, .out = 1}, 1);
  keep(model, "fc1.weight", [](Index row, Index) { return row != 2; });
  EXPECT_EQ(effective_nonzeros(model, {2}), 4 + 3 + 6 + 3 + 1) << "the third feature changes with the mean";
  keep(model, "fc2.weight", [](Index, Index column) { return column == 2; });
  EXPECT_EQ(effective_nonzeros(model, {2}), 4 + 3 + 2 + 1 + 1) << "the others through it";
}

// y = fc2(x / rms(x)) with x = |fc1| 1: the divisor is a constant, which all weights share.
TEST(PruningBesideLayerNorm, FlowPassesThroughItInProportion) {
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "fc1", .in = 2, .out = 2}, 1)
      .add<LayerNorm>(LayerNormOptions{.name = "norm", .features = 2})
      .add<Linear>(LinearOptions{.name = "fc2", .in = 2, .out = 1}, 1);
  set_values(model, "fc1.weight", {1, -2, 3, 0});
  set_values(model, "fc2.weight", {-4, 1});
  Asked asked(model, {2}, {{7, 8}});
  expect_numbers({4.0 / 15, 8.0 / 15, 3.0 / 15, 0}, parts_of(asked.flow("fc1.weight")));
  expect_numbers({12.0 / 15, 3.0 / 15}, parts_of(asked.flow("fc2.weight")));
}

}  // namespace
}  // namespace espalier
