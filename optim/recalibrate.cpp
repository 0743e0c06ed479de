#include "espalier/optim/recalibrate.h"

#include <algorithm>

#include "espalier/core/error.h"
#include "espalier/optim/inference.h"

namespace espalier {

Flops recalibrate(Module& model, const Loader& loader, const RecalibrateOptions& options) {
  require(options.batches >= 0, "[recalibrate] expected at least 0 batches, got {}", options.batches);
  const Index batches = options.batches > 0 ? std::min(options.batches, loader.batches()) : loader.batches();
  Inference inference(model, options.threads);
  Index samples = 0;
  Flops flops;
  for (Index b = 0; b < batches; ++b) {
    flops += inference.for_each_tile(
        loader, b, {.mode = Mode::training, .seed = options.seed, .step = static_cast<std::uint64_t>(b)},
        [](const Passage&) {});
    // The mean so far moves by the new batch's share of all samples so far: the first batch replaces what was there.
    samples += loader.batch_samples(b);
    model.merge_state(inference.tapes(), static_cast<double>(loader.batch_samples(b)) / static_cast<double>(samples));
  }
  return flops;
}

}  // namespace espalier
