#include "espalier/optim/trainer.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/core/kernels/elementwise.h"
#include "espalier/layers/unchanged.h"

namespace espalier {
namespace {

// Scratch for one block's gradient, kept by each thread.
std::span<Real> thread_scratch(Index count) {
  thread_local AlignedVector<Real> scratch;
  if (scratch.size() < static_cast<std::size_t>(count)) scratch.resize(count);
  return std::span(scratch).first(count);
}

// The first layer on the tape whose output has a NaN or Inf in a valid lane, in words.
std::string origin_of_divergence(const Tape& tape) {
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    for (Index i = 0; i < node.value.features(); ++i)
      for (Index lane = 0; lane < node.value.valid(); ++lane)
        if (!std::isfinite(node.value.row(i)[lane]))
          return fmt::format("the output of {}", node.parameters.empty() ? node.operation : node.parameters[0]->name());
  }
  return "the loss";
}

}  // namespace

Trainer::Trainer(Module& model, Loss loss, const Optimizer& optimizer, TrainerOptions options)
    : model_(model),
      loss_(std::move(loss)),
      optimizer_(optimizer),
      options_(options),
      parameters_(parameters_of(model)),
      ledger_(parameters_),
      inference_(model, options.threads) {
  require(options.clip_norm >= 0 && std::isfinite(options.clip_norm),
          "[trainer] expected a clipping norm of at least 0, got {}", options.clip_norm);
  for (Parameter* parameter : parameters_) optimizer_.prepare(*parameter);
}

void Trainer::list_tasks() {
  tasks_.clear();
  for (std::size_t p = 0; p < parameters_.size(); ++p)
    for (std::size_t b = 0; b < parameters_[p]->blocks().size(); ++b) tasks_.push_back({p, b, 0, {}});
}

void Trainer::diverged(const std::string& what) const {
  throw DivergedError(
      fmt::format("training diverged at step {}: {} is not finite; try a smaller learning rate", steps_, what));
}

void Trainer::carry_through(const Loader& loader, Index b, const Loss& loss_of, StepResult& result) {
  for (Parameter* parameter : parameters_) parameter->unpack();  // here, where no other thread reads it
  losses_.assign(loader.tiles(b), 0);
  result.flops += inference_.for_each_tile(
      loader, b, {.mode = Mode::training, .seed = options_.seed, .step = static_cast<std::uint64_t>(steps_)},
      [&](const Passage& p) {
        const Var loss = loss_of(p.output, p.tile);
        double sum = 0;
        for (Index lane = 0; lane < p.tile.valid(); ++lane) sum += static_cast<double>(loss.value().row(0)[lane]);
        if (std::isfinite(sum)) p.tape.backward(loss, p.tile.denominator);
        losses_[p.number] = sum;
      });
  result.samples = loader.batch_samples(b);
  for (std::size_t t = 0; t < losses_.size(); ++t) {
    result.loss += losses_[t] / static_cast<double>(result.samples);
    if (!std::isfinite(losses_[t])) diverged(origin_of_divergence(*inference_.tapes()[t]));
  }
  ledger_.collect(inference_.tapes());
}

StepResult Trainer::step(const Loader& loader, Index b, double rate) {
  StepResult result;
  if (latents_) latents_->derive(Mode::training, steps_);
  carry_through(loader, b, loss_, result);
  settle_and_update(rate, result);
  model_.merge_state(inference_.tapes(), std::nullopt);  // not before: a step that diverged leaves no statistics
  ++steps_;
  result.flops += take_probe_flops();
  return result;
}

template <typename Use>
void Trainer::settle_all(bool whole, StepResult& result, Use&& use) {
  list_tasks();
  gradients_.resize(parameters_.size());
  if (whole)
    for (std::size_t p = 0; p < parameters_.size(); ++p)
      gradients_[p].resize(std::as_const(*parameters_[p]).value().size());
  parallel_for(static_cast<Index>(tasks_.size()), threads(), [&](Index i) {
    Task& task = tasks_[i];
    const RowBlock& block = parameters_[task.parameter]->blocks()[task.block];
    const Flops before = thread_flops();
    const std::span<Real> G =
        whole ? of_block(std::span<Real>(gradients_[task.parameter]), block) : thread_scratch(block.weights());
    ledger_.settle(task.parameter, task.block, G);
    task.squares = kernels::sum_of_squares(G.data(), static_cast<Index>(G.size()));
    task.flops = thread_flops() - before;
    use(task, G);
  });
  double squares = 0;
  for (const Task& task : tasks_) {
    if (!std::isfinite(task.squares)) diverged("the gradient of " + parameters_[task.parameter]->name());
    squares += task.squares;
    result.flops += task.flops;
  }
  result.gradient_norm = std::sqrt(squares);
}

void Trainer::update(const Task& task, std::span<const Real> G, Real rate) {
  Parameter& W = *parameters_[task.parameter];
  const RowBlock& block = W.blocks()[task.block];
  if (!latents_ || !latents_->update(W, block, G, rate, steps_ + 1)) optimizer_.update(W, block, G, rate, steps_ + 1);
}

void Trainer::settle_and_update(double rate, StepResult& result) {
  const bool whole = options_.clip_norm > 0;
  settle_all(whole, result, [&](const Task& task, std::span<const Real> G) {
    if (!whole && std::isfinite(task.squares)) update(task, G, static_cast<Real>(rate));
  });
  if (whole) {
    const Real scale = static_cast<Real>(std::min(1.0, options_.clip_norm / std::max(result.gradient_norm, 1e-30)));
    parallel_for(static_cast<Index>(tasks_.size()), threads(), [&](Index i) {
      const Task& task = tasks_[i];
      const std::span<Real> G =
          of_block(std::span<Real>(gradients_[task.parameter]), parameters_[task.parameter]->blocks()[task.block]);
      for (Real& g : G) g *= scale;
      update(task, G, static_cast<Real>(rate));
    });
  }
  if (latents_) latents_->finish(static_cast<Real>(rate), steps_ + 1);
}

const std::vector<AlignedVector<Real>>& Trainer::gradients(const Loader& loader, Index b, const Loss& loss) {
  StepResult result;
  carry_through(loader, b, loss ? loss : loss_, result);
  settle_all(/*whole=*/true, result, [](const Task&, std::span<const Real>) {});
  probe_flops_ += result.flops;
  return gradients_;
}

void Trainer::examine(const Loader& loader, Index b, const std::function<void(const Tape&)>& look) {
  probe_flops_ += inference_.for_each_tile(loader, b, {.mode = Mode::evaluation}, [](const Passage&) {});
  for (const Tape* tape : inference_.tapes()) look(*tape);
}

template <typename Look>
auto Trainer::as_trained(Look&& look) {
  if (!latents_) return look();
  const Unchanged weights(model_);
  latents_->derive(Mode::evaluation, steps_);
  return look();
}

Evaluation Trainer::evaluate(const Loader& loader) {
  return as_trained([&] { return inference_.evaluate(loader, loss_); });
}

Score Trainer::score(const Loader& loader) {
  return as_trained([&] { return inference_.score(loader, loss_); });
}

void Trainer::show_as_trained(const std::function<void()>& look) {
  as_trained(look);
}

void Trainer::restart() {
  steps_ = 0;
  for (Parameter* parameter : parameters_)
    for (const std::string& slot : parameter->slot_names()) std::ranges::fill(parameter->slot(slot), Real{0});
}

}  // namespace espalier
