// The training step: tiles in parallel, then row blocks in parallel.
//
//   1  for every tile of the batch, on any thread:   fill, forward, loss, backward      (owes gradients)
//   2  the ledger collects what is owed, in tile order
//   3  for every row block of every parameter, on any thread:   settle, check, update
//   4  the model merges what its layers observed of the tiles (running statistics), in tile order
//
// Where something needs the whole gradient first (clipping by global norm), step 3 becomes two: settle all blocks into
// arrays, then update. Either way the result does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/settle.h"
#include "core/threads.h"
#include "datasets/loader.h"
#include "layers/loss.h"
#include "layers/module.h"
#include "optim/optimizer.h"

namespace espalier {

struct TrainerOptions {
  int threads = default_threads();
  std::uint64_t seed = 1;  // of dropout and the like
  double clip_norm = 0;    // the gradient's global norm is scaled down to this; 0: never
};

struct StepResult {
  double loss = 0;           // mean over the batch
  double gradient_norm = 0;  // before clipping
  Index samples = 0;
  Flops flops;  // forward, backward and weight gradients
};

// What a data set says of a model. Classification: accuracy; regression: rmse.
struct Evaluation {
  double loss = 0;
  double accuracy = 0;  // fraction
  double rmse = 0;      // on the scale of the targets the data set gives
  Index samples = 0;
  Flops flops;
};

class Trainer {
 public:
  // The model, loss and optimizer must outlive the trainer. Gives every parameter the optimizer's slots.
  Trainer(Module& model, Loss loss, const Optimizer& optimizer, TrainerOptions options);

  // One optimization step on batch b. Throws DivergedError, naming layer and step, on NaN or Inf.
  StepResult step(const Loader& loader, Index b, double rate);
  // The model as it is, on every sample of the loader; nothing is changed.
  Evaluation evaluate(const Loader& loader);
  // Outputs for batch b, without recording; keeps nothing. For timing inference.
  void infer(const Loader& loader, Index b);

  // Benchmarks: fill each tile once and use it again in every step, so that the loader's time stays out. A trainer that
  // keeps tiles must be given one and the same batch from then on.
  void keep_tiles() { keep_tiles_ = true; }

  // Steps since the start (or the last restart), counted from 0 before the first.
  Index steps() const { return steps_; }
  // Forgets optimizer state and step count (rewinding).
  void restart();
  // Sets the step count: where a training that was interrupted goes on.
  void resume_at(Index steps) { steps_ = steps; }

  Module& model() { return model_; }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  int threads() const { return options_.threads; }

 private:
  struct Worker {  // what a tile needs, kept from step to step
    Tape tape;
    Tile tile;
    double loss = 0, squares = 0;
    Index correct = 0;
    Flops flops;
    bool filled = false;  // with keep_tiles
  };
  struct Task {  // a row block of a parameter
    std::size_t parameter, block;
    double squares = 0;
    Flops flops;
  };
  void ensure_workers(Index tiles);
  // Worker t with tile t of batch b in it.
  Worker& filled_worker(const Loader& loader, Index b, Index t);
  void list_tasks();
  void settle_and_update(double rate, StepResult& result);
  [[noreturn]] void diverged(const char* what) const;

  Module& model_;
  Loss loss_;
  const Optimizer& optimizer_;
  TrainerOptions options_;
  std::vector<Parameter*> parameters_;
  Ledger ledger_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Tape*> tapes_;
  std::vector<Task> tasks_;
  std::vector<AlignedVector<Real>> gradients_;  // whole ones, only with clipping
  Index steps_ = 0;
  bool keep_tiles_ = false;
};

}  // namespace espalier
