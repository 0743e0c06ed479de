// A layer with 2^32 positions: indices must not overflow, and nothing dense of that extent may ever exist.
#include <gtest/gtest.h>

#include <fstream>

#include "espalier/datasets/noise.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/trainer.h"

namespace espalier {
namespace {

[[maybe_unused]] std::uintmax_t resident_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field)) return std::stoull(line.substr(field.size() + 1)) * 1024;
  return 0;
}

TEST(LargeLayer, Of65536By65536AtDensity5e4TrainsWithMomentumInFarLessThanAGigabyte) {
  constexpr Index extent = 65536, nonzeros = extent * extent / 2000, samples = 16;
  [[maybe_unused]] const std::uintmax_t before = resident_bytes("VmRSS:");
  Sequential model;
  model.add<Linear>(LinearOptions{.name = "large",
                                  .in = extent,
                                  .out = extent,
                                  .activation = Activation::relu,
                                  .pattern = Pattern::random(extent, extent, nonzeros, Random(1, "large"))},
                    1);
  model.add<Linear>(LinearOptions{.name = "output", .in = extent, .out = 10}, 1);
  const auto optimizer = make_optimizer({.name = "sgd", .momentum = 0.9});
  Trainer trainer(model, softmax_cross_entropy, *optimizer, {.threads = 2});
  const Loader loader(std::make_shared<Noise>(Shape{extent}, 10, samples, 1),
                      {.batch = samples, .lanes = 16, .shuffle = false});

  const Parameter& W = *trainer.parameters()[0];
  ASSERT_EQ(W.positions(), Index{1} << 32);
  ASSERT_EQ(W.nonzeros(), nonzeros);
  std::vector<Real> initial(W.value().begin(), W.value().end());
  const double first = trainer.step(loader, 0, 0.001).loss;
  double last = first;
  for (int step = 0; step < 10; ++step) last = trainer.step(loader, 0, 0.001).loss;
  EXPECT_LT(last, 0.5 * first);
  // The far corner takes part: some weight of the last rows, whose positions need more than 32 bits, has moved.
  const RowBlock& corner = W.blocks().back();
  EXPECT_EQ(corner.last_row, extent);
  bool moved = false;
  for (Index i = corner.first; i < corner.last; ++i) moved |= W.value()[i] != initial[i];
  EXPECT_TRUE(moved);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // sanitizers keep shadows of all memory
  const std::uintmax_t peak = resident_bytes("VmHWM:");
  EXPECT_LT(peak - std::min(before, peak), std::uintmax_t{500} << 20);
#endif
}

}  // namespace
}  // namespace espalier
