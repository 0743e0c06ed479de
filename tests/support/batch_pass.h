// One batch forward and backward through a module: everything the tests compare.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "espalier/core/settle.h"
#include "espalier/core/threads.h"
#include "espalier/layers/module.h"
#include "support/linear_functional.h"
#include "support/numbers.h"

namespace espalier::testing {

// What came out, all samples of the batch in order, padding left out.
struct Pass {
  std::vector<std::vector<Real>> output;          // [sample][feature]
  std::vector<std::vector<Real>> input_gradient;  // [sample][feature]
  std::vector<std::vector<Real>> gradient;        // [parameter][place in its arrays]
  std::vector<Real> loss;                         // [sample]
  Flops forward;
};

struct PassOptions {
  Mode mode = Mode::training;
  int threads = 1;
  bool poison = false;
  std::function<Var(const Module&, const Var&)> forward = [](const Module& module, const Var& x) {
    return module.forward(x);
  };
};

// The gradient of parameter `at` settled block by block.
inline std::vector<Real> settle_all(const Ledger& ledger, std::size_t at, const Parameter& W) {
  std::vector<Real> G(W.value().size(), nan);
  for (std::size_t b = 0; b < W.blocks().size(); ++b) {
    const RowBlock& block = W.blocks()[b];
    ledger.settle(at, b, std::span(G).subspan(block.first, block.weights()));
  }
  return G;
}

inline void append_samples(const Tensor& x, std::vector<std::vector<Real>>& samples) {
  for (Index lane = 0; lane < x.valid(); ++lane) {
    std::vector<Real>& sample = samples.emplace_back();
    for (Index i = 0; i < x.features(); ++i) sample.push_back(x.row(i)[lane]);
  }
}

// The gradient that the tape computed for its input: the input's node keeps it, since no operation consumes it.
inline const Tensor& input_gradient(const Tape& tape) {
  return tape.node(0).gradient;
}

inline Pass run_batch(Module& module, const std::vector<Tile>& tiles, const PassOptions& options = {}) {
  const std::vector<Parameter*> parameters = parameters_of(module);
  std::vector<std::unique_ptr<Tape>> tapes;
  std::vector<Tape*> order;
  for (std::size_t t = 0; t < tiles.size(); ++t)
    order.push_back(tapes.emplace_back(std::make_unique<Tape>(options.poison)).get());
  std::vector<Var> outputs(tiles.size()), losses(tiles.size());
  std::vector<Flops> forward(tiles.size());
  parallel_for(static_cast<Index>(tiles.size()), options.threads, [&](Index i) {
    const auto t = static_cast<std::size_t>(i);
    const Var x = tapes[t]->begin(tiles[t], {.mode = options.mode, .seed = 5, .step = 3, .input_gradient = true});
    const Flops before = thread_flops();
    outputs[t] = options.forward(module, x);
    forward[t] = thread_flops() - before;
    losses[t] = linear_functional(outputs[t]);
    tapes[t]->backward(losses[t], tiles[t].denominator);
  });
  Ledger ledger(parameters);
  ledger.collect(order);

  Pass pass;
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    append_samples(outputs[t].value(), pass.output);
    append_samples(input_gradient(*tapes[t]), pass.input_gradient);
    pass.forward += forward[t];
    for (const Real loss : valid_numbers(losses[t].value())) pass.loss.push_back(loss);
  }
  pass.gradient.resize(parameters.size());
  parallel_for(static_cast<Index>(parameters.size()), options.threads, [&](Index i) {
    const auto p = static_cast<std::size_t>(i);
    pass.gradient[p] = settle_all(ledger, p, *parameters[p]);
  });
  return pass;
}

inline std::vector<Real> flat(const std::vector<std::vector<Real>>& nested) {
  std::vector<Real> all;
  for (const auto& numbers : nested) all.insert(all.end(), numbers.begin(), numbers.end());
  return all;
}

// `samples` samples of normal numbers in tiles of `lanes`; the last may be ragged. A sample's numbers do not depend on
// how it is tiled.
inline std::vector<Tile> make_tiles(const Shape& shape, Index samples, Index lanes, Real padding = 0,
                                    std::uint64_t seed = 1) {
  std::vector<Tile> tiles;
  for (Index first = 0; first < samples; first += lanes) {
    Tile& tile = tiles.emplace_back();
    tile.input = Tensor(shape, {lanes, std::min(lanes, samples - first)});
    tile.input.fill(padding);
    tile.first = first;
    tile.denominator = static_cast<Real>(samples);
    for (Index lane = 0; lane < tile.valid(); ++lane) {
      const Random random(seed, "sample", 0, static_cast<std::uint64_t>(first + lane));
      for (Index i = 0; i < shape.features(); ++i)
        tile.input.row(i)[lane] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(i)));
    }
  }
  return tiles;
}

// Bit for bit.
inline void expect_identical(const Pass& a, const Pass& b) {
  EXPECT_TRUE(same_bits(flat(a.output), flat(b.output))) << "outputs differ";
  EXPECT_TRUE(same_bits(flat(a.input_gradient), flat(b.input_gradient))) << "gradients of the input differ";
  ASSERT_EQ(a.gradient.size(), b.gradient.size());
  for (std::size_t p = 0; p < a.gradient.size(); ++p)
    EXPECT_TRUE(same_bits(a.gradient[p], b.gradient[p])) << "gradients of parameter " << p << " differ";
}

inline void expect_close(const Pass& a, const Pass& b, Real relative) {
  expect_close(flat(a.output), flat(b.output), relative, "output");
  expect_close(flat(a.input_gradient), flat(b.input_gradient), relative, "gradient of the input");
  ASSERT_EQ(a.gradient.size(), b.gradient.size());
  for (std::size_t p = 0; p < a.gradient.size(); ++p)
    expect_close(a.gradient[p], b.gradient[p], relative, "gradient of a parameter");
}

}  // namespace espalier::testing
