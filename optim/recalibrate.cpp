#include "espalier/optim/recalibrate.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {

void recalibrate(Module& model, const Loader& loader, const RecalibrateOptions& options) {
  require(options.batches >= 0 && options.threads >= 1,
          "[recalibrate] expected at least 0 batches and 1 thread, got {} and {}", options.batches, options.threads);
  const Index batches = options.batches > 0 ? std::min(options.batches, loader.batches()) : loader.batches();
  std::vector<std::unique_ptr<Tape>> tapes;
  std::vector<Tile> tiles;
  Index samples = 0;
  for (Index b = 0; b < batches; ++b) {
    const Index count = loader.tiles(b);
    while (static_cast<Index>(tapes.size()) < count) tapes.push_back(std::make_unique<Tape>());
    tiles.resize(tapes.size());
    parallel_for(count, options.threads, [&](Index i) {
      const auto t = static_cast<std::size_t>(i);
      loader.fill(b, i, tiles[t]);
      model.forward(tapes[t]->begin(
          tiles[t], {.mode = Mode::training, .seed = options.seed, .step = static_cast<std::uint64_t>(b)}));
    });
    std::vector<Tape*> order;
    for (Index t = 0; t < count; ++t) order.push_back(tapes[static_cast<std::size_t>(t)].get());
    // The mean so far moves by the new batch's share of all samples so far: the first batch replaces what was there.
    samples += loader.batch_samples(b);
    model.merge_state(order, static_cast<double>(loader.batch_samples(b)) / static_cast<double>(samples));
  }
}

}  // namespace espalier
