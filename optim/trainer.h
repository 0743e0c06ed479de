// The training step: tiles in parallel, then row blocks in parallel.
//
//   1  for every tile of the batch, on any thread:   fill, forward, loss, backward      (owes gradients; the loop over
//                                                    tiles is that of optim/inference.h)
//   2  the ledger collects what is owed, in tile order
//   3  for every row block of every parameter, on any thread:   settle, check, update
//   4  the model merges what its layers observed of the tiles (running statistics), in tile order
//
// Where something needs the whole gradient first (clipping by global norm), step 3 becomes two: settle all blocks into
// arrays, then update. Either way the result does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/settle.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/module.h"
#include "espalier/optim/inference.h"
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
  Flops flops;  // forward, backward and weight gradients; and the probes since the step before
};

class Trainer {
 public:
  // The model, loss and optimizer must outlive the trainer. Gives every parameter the optimizer's slots.
  Trainer(Module& model, Loss loss, const Optimizer& optimizer, TrainerOptions options);

  // One optimization step on batch b. Throws DivergedError, naming layer and step, on NaN or Inf.
  StepResult step(const Loader& loader, Index b, double rate);
  // Probes: what a pruning criterion wants to know of the model as it is. Nothing is changed. Their FLOPs are counted
  // with the next step's.
  //
  // dL/dW of the mean loss over batch b, for each of parameters(), in the order of its arrays; good until the next step
  // or probe. loss: instead of the training's.
  const std::vector<AlignedVector<Real>>& gradients(const Loader& loader, Index b, const Loss& loss = nullptr);
  const Loss& loss() const { return loss_; }
  // Carries batch b through without dropout or batch statistics, and shows the tapes to `look`, in tile order.
  void examine(const Loader& loader, Index b, const std::function<void(const Tape&)>& look);
  // FLOPs of probes that no step has counted yet.
  const Flops& probe_flops() const { return probe_flops_; }
  Flops take_probe_flops() { return std::exchange(probe_flops_, {}); }

  // From now on some weights are derived (null: none). Must outlive the trainer or be taken back.
  void derive_weights(Latents* latents) { latents_ = latents; }

  // The model on every sample of the loader, with the training's loss and with the weights that the trained network
  // would have; all weights are then again what they were.
  Evaluation evaluate(const Loader& loader);
  Score score(const Loader& loader);
  // Calls look() while the weights are those that the trained network would have.
  void show_as_trained(const std::function<void()>& look);
  // The model with the weights as they are, in tapes and tiles that the training uses too.
  Inference& inference() { return inference_; }
  void keep_tiles() { inference_.keep_tiles(); }  // see Inference

  // Steps since the start (or the last restart), counted from 0 before the first.
  Index steps() const { return steps_; }
  // Forgets optimizer state and step count (rewinding).
  void restart();
  // Where a training that was interrupted goes on: its step count, and what the next step has to count besides itself.
  void resume_at(Index steps, Flops probe_flops = {}) { steps_ = steps, probe_flops_ = probe_flops; }

  Module& model() { return model_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  int threads() const { return inference_.threads(); }

 private:
  struct Task {  // a row block of a parameter
    std::size_t parameter, block;
    double squares = 0;
    Flops flops;
  };
  void list_tasks();
  // Forward, loss, backward of all tiles; the ledger then knows what is owed.
  void carry_through(const Loader& loader, Index b, const Loss& loss, StepResult& result);
  // Settles every block: into gradients_ if whole, else into scratch. use(task, G) follows, on the same thread.
  template <typename Use>
  void settle_all(bool whole, StepResult& result, Use&& use);
  void settle_and_update(double rate, StepResult& result);
  void update(const Task& task, std::span<const Real> G, Real rate);
  // look() while derived weights are those that the trained network would have.
  template <typename Look>
  auto as_trained(Look&& look);
  [[noreturn]] void diverged(const std::string& what) const;

  Module& model_;
  Loss loss_;
  const Optimizer& optimizer_;
  TrainerOptions options_;
  std::vector<Parameter*> parameters_;
  Ledger ledger_;
  Inference inference_;
  std::vector<double> losses_;  // of each tile of a batch
  std::vector<Task> tasks_;
  std::vector<AlignedVector<Real>> gradients_;  // whole ones, only for clipping and probes
  Latents* latents_ = nullptr;
  Flops probe_flops_;
  Index steps_ = 0;
};

}  // namespace espalier
