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
#include <utility>
#include <vector>

#include "espalier/core/settle.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/module.h"
#include "espalier/optim/latents.h"
#include "espalier/optim/optimizer.h"

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
  Flops flops;  // forward, backward and weight gradients; and what was asked for by probes since the step before
};

// What a data set says of a model. Classification: accuracy; regression: rmse. More of it in metrics.h.
struct Evaluation {
  double loss = 0;
  double accuracy = 0;  // fraction
  double rmse = 0;      // in original units: see TargetScale
  Index samples = 0;
  Flops flops;
  Index classes = 0;  // 0: regression
};

class Trainer {
 public:
  // The model, loss and optimizer must outlive the trainer. Gives every parameter the optimizer's slots.
  Trainer(Module& model, Loss loss, const Optimizer& optimizer, TrainerOptions options);

  // One optimization step on batch b. Throws DivergedError, naming layer and step, on NaN or Inf.
  StepResult step(const Loader& loader, Index b, double rate);
  // Probes: what somebody (a pruning criterion) wants to know of the model as it is. Nothing is changed. Their FLOPs
  // are counted with the next step's.
  //
  // dL/dW of the mean loss over batch b, for each of parameters(), in the order of its arrays; good until the next step
  // or probe. loss: instead of the training's.
  const std::vector<AlignedVector<Real>>& gradients(const Loader& loader, Index b, const Loss& loss = nullptr);
  const Loss& loss() const { return loss_; }
  // Carries batch b through without dropout or batch statistics, and shows the tapes to `look`, in tile order.
  void examine(const Loader& loader, Index b, const std::function<void(const Tape&)>& look);
  // FLOPs of probes that no step has counted yet.
  Flops take_probe_flops() { return std::exchange(probe_flops_, {}); }

  // From now on some weights are derived (null: none). Must outlive the trainer or be taken back.
  void derive_weights(Latents* latents) { latents_ = latents; }

  // The model as it is, on every sample of the loader; nothing is changed.
  Evaluation evaluate(const Loader& loader);
  // Its outputs, [samples, outputs] row-major, row i for sample i of the loader's data whatever the loader's order.
  std::vector<Real> predict(const Loader& loader);
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
  const Optimizer& optimizer() const { return optimizer_; }
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
  // Forward, loss, backward of all tiles; the ledger then knows what is owed.
  void carry_through(const Loader& loader, Index b, const Loss& loss, StepResult& result);
  // Settles every block: into gradients_ if whole, else into scratch. use(task, G) follows, on the same thread.
  template <typename Use>
  void settle_all(bool whole, StepResult& result, Use&& use);
  void settle_and_update(double rate, StepResult& result);
  void update(const Task& task, std::span<const Real> G, Real rate);
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
  std::vector<AlignedVector<Real>> gradients_;  // whole ones, only for clipping and probes
  Latents* latents_ = nullptr;
  Flops probe_flops_;
  Index steps_ = 0;
  bool keep_tiles_ = false;
};

}  // namespace espalier
