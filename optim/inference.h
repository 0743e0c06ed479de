// Inference: a model as it is, on data. Nothing is changed: not the model, not the loader.
//
//   for every tile of a batch, on any thread:   fill, forward, and what the visitor does with the output
//
// This is the one loop over tiles. Everything that carries data through a model is a visitor of it: the training step
// (optim/trainer.h) adds loss and backward, evaluation adds the loss up, prediction copies the outputs. What a visitor
// is shown does not depend on threads; visitors that add up do so tile by tile, in the order of the tiles.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/module.h"
#include "espalier/optim/metrics.h"

namespace espalier {

// How well a model does on a data set, in the numbers that are means over samples. Classification: accuracy and the
// Brier score (Brier, "Verification of forecasts expressed in terms of probability", 1950); regression: rmse. Metrics
// (metrics.h) has more of them, and needs all outputs at once.
struct Evaluation {
  double loss = 0;
  double accuracy = 0;  // fraction
  double brier = 0;     // squared distance of the class probabilities from the class: 0 to 2
  double rmse = 0;      // in original units: see TargetScale
  Index samples = 0;
  Flops flops;
  Index classes = 0;  // 0: regression
};

// All that one pass over a data set has to say.
struct Score {
  Evaluation evaluation;
  Metrics metrics;
  std::vector<Real> outputs;  // [samples, outputs], as Inference::outputs gives them
};

// A tile that has been carried through the model, as its visitor sees it.
struct Passage {
  Index number;  // of the tile in its batch
  const Tile& tile;
  const Var& output;
  Tape& tape;
};

class Inference {
 public:
  // The model must outlive it. Throws UsageError for less than 1 thread.
  explicit Inference(const Module& model, int threads = default_threads());

  // visit(Passage), for each tile of batch b, on the thread that carried it, in any order. Returns the FLOPs of forward
  // and visits. Tapes and tiles are kept from batch to batch: a second batch of the same shape allocates nothing.
  template <typename Visit>
  Flops for_each_tile(const Loader& loader, Index b, const TapeOptions& options, Visit&& visit);
  // Those of the last batch, in the order of its tiles; good until the next one.
  std::span<Tape* const> tapes() const { return tapes_; }

  // For all samples of the loader. loss: null if it is not asked for, and then 0.
  Evaluation evaluate(const Loader& loader, const Loss& loss);
  // [samples, outputs], row-major, row i for sample i of the loader's data whatever the loader's order.
  std::vector<Real> outputs(const Loader& loader);
  // Both, and the metrics, in one pass.
  Score score(const Loader& loader, const Loss& loss);
  // Outputs of batch b, kept nowhere: for timing.
  void infer(const Loader& loader, Index b);

  // Benchmarks: fill each tile once and use it again for every batch, so that the loader's time stays out. From then on
  // all batches must be one and the same.
  void keep_tiles() { keep_tiles_ = true; }

  const Module& model() const { return model_; }
  int threads() const { return threads_; }

 private:
  struct Worker {  // what a tile needs, kept from batch to batch
    Tape tape;
    Tile tile;
    Flops flops;
    bool filled = false;  // with keep_tiles
  };
  struct Sums {                           // over the lanes of a tile
    double loss = 0, squared_errors = 0;  // classes: of the probabilities
    Index correct = 0;
  };
  void prepare(Index tiles);
  // Copies the weights into the orders in which the products of the tiles read them, where they are not yet.
  void refresh_streams(Mode mode, Index tiles);
  // One pass; outputs: where to write them, or null.
  Evaluation pass(const Loader& loader, const Loss& loss, Real* outputs);

  const Module& model_;
  int threads_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Tape*> tapes_;
  struct Refresh {
    const Parameter* parameter;
    StreamCopies::Direction direction;
  };
  std::vector<Refresh> refreshes_;  // before this batch
  std::vector<Sums> sums_;          // of each tile of a batch
  bool keep_tiles_ = false;
};

template <typename Visit>
Flops Inference::for_each_tile(const Loader& loader, Index b, const TapeOptions& options, Visit&& visit) {
  const Index tiles = loader.tiles(b);
  prepare(tiles);
  refresh_streams(options.mode, tiles);
  parallel_for(tiles, threads_, [&](Index t) {
    const Flops before = thread_flops();
    Worker& worker = *workers_[t];
    if (!keep_tiles_ || !worker.filled) loader.fill(b, t, worker.tile);
    worker.filled = true;
    const Var output = model_.forward(worker.tape.begin(worker.tile, options));
    visit(Passage{t, worker.tile, output, worker.tape});
    worker.flops = thread_flops() - before;
  });
  Flops sum;
  for (Index t = 0; t < tiles; ++t) sum += workers_[t]->flops;
  return sum;
}

}  // namespace espalier
