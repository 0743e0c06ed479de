#include "espalier/optim/trainer.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
namespace {

// Scratch for one block's gradient, kept by each thread.
std::span<Real> thread_scratch(Index count) {
  thread_local AlignedVector<Real> scratch;
  if (scratch.size() < static_cast<std::size_t>(count)) scratch.resize(static_cast<std::size_t>(count));
  return std::span(scratch).first(static_cast<std::size_t>(count));
}

// The first layer on the tape whose output has a NaN or Inf in a valid lane, or null.
const Node* first_not_finite(const Tape& tape) {
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Tensor& value = tape.node(n).value;
    for (Index i = 0; i < value.features(); ++i)
      for (Index lane = 0; lane < value.valid(); ++lane)
        if (!std::isfinite(value.row(i)[lane])) return &tape.node(n);
  }
  return nullptr;
}

// How many valid lanes have their largest output at their label (the lowest index wins a tie).
Index count_correct(const Tensor& output, const Tile& tile) {
  Index correct = 0;
  for (Index lane = 0; lane < output.valid(); ++lane) {
    Index best = 0;
    for (Index c = 1; c < output.features(); ++c)
      if (output.row(c)[lane] > output.row(best)[lane]) best = c;
    correct += best == tile.label[static_cast<std::size_t>(lane)];
  }
  return correct;
}

double sum_of_squared_errors(const Tensor& output, const Tile& tile) {
  double sum = 0;
  for (Index o = 0; o < output.features(); ++o)
    for (Index lane = 0; lane < output.valid(); ++lane) {
      const double e = static_cast<double>(output.row(o)[lane]) - static_cast<double>(tile.target.row(o)[lane]);
      sum += e * e;
    }
  return sum;
}

}  // namespace

Trainer::Trainer(Module& model, Loss loss, const Optimizer& optimizer, TrainerOptions options)
    : model_(model),
      loss_(std::move(loss)),
      optimizer_(optimizer),
      options_(options),
      parameters_(parameters_of(model)),
      ledger_(parameters_) {
  require(options.threads >= 1, "[trainer] expected at least 1 thread, got {}", options.threads);
  require(options.clip_norm >= 0 && std::isfinite(options.clip_norm),
          "[trainer] expected a clipping norm of at least 0, got {}", options.clip_norm);
  for (Parameter* parameter : parameters_) optimizer_.prepare(*parameter);
}

void Trainer::ensure_workers(Index tiles) {
  while (static_cast<Index>(workers_.size()) < tiles) workers_.push_back(std::make_unique<Worker>());
}

Trainer::Worker& Trainer::filled_worker(const Loader& loader, Index b, Index t) {
  Worker& worker = *workers_[static_cast<std::size_t>(t)];
  if (!keep_tiles_ || !worker.filled) loader.fill(b, t, worker.tile);
  worker.filled = true;
  return worker;
}

void Trainer::list_tasks() {
  tasks_.clear();
  for (std::size_t p = 0; p < parameters_.size(); ++p)
    for (std::size_t b = 0; b < parameters_[p]->blocks().size(); ++b) tasks_.push_back({p, b, 0, {}});
}

void Trainer::diverged(const char* what) const {
  throw DivergedError(
      fmt::format("training diverged at step {}: {} is not finite; try a smaller learning rate", steps_, what));
}

void Trainer::carry_through(const Loader& loader, Index b, const Loss& loss_of, StepResult& result) {
  const Index tiles = loader.tiles(b);
  ensure_workers(tiles);
  for (Parameter* parameter : parameters_) parameter->unpack();  // here, where nobody else is looking
  const TapeOptions tape_options{
      .mode = Mode::training, .seed = options_.seed, .step = static_cast<std::uint64_t>(steps_)};
  parallel_for(tiles, options_.threads, [&](Index t) {
    const Flops before = thread_flops();
    Worker& worker = filled_worker(loader, b, t);
    const Var loss = loss_of(model_.forward(worker.tape.begin(worker.tile, tape_options)), worker.tile);
    worker.loss = 0;
    for (Index lane = 0; lane < worker.tile.valid(); ++lane)
      worker.loss += static_cast<double>(loss.value().row(0)[lane]);
    if (std::isfinite(worker.loss)) worker.tape.backward(loss, worker.tile.denominator);
    worker.flops = thread_flops() - before;
  });
  result.samples = loader.batch_samples(b);
  tapes_.clear();
  for (Index t = 0; t < tiles; ++t) {
    Worker& worker = *workers_[static_cast<std::size_t>(t)];
    tapes_.push_back(&worker.tape);
    result.loss += worker.loss / static_cast<double>(result.samples);
    result.flops += worker.flops;
    if (!std::isfinite(worker.loss)) {
      const Node* node = first_not_finite(worker.tape);
      const std::string where = !node                       ? "the loss"
                                : !node->parameters.empty() ? "the output of " + node->parameters[0]->name()
                                                            : fmt::format("the output of {}", node->operation);
      diverged(where.c_str());
    }
  }
  ledger_.collect(tapes_);
}

StepResult Trainer::step(const Loader& loader, Index b, double rate) {
  StepResult result;
  if (latents_) latents_->derive(Mode::training, steps_);
  carry_through(loader, b, loss_, result);
  settle_and_update(rate, result);
  model_.merge_state(tapes_, std::nullopt);  // not before: a step that diverged leaves no statistics
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
  parallel_for(static_cast<Index>(tasks_.size()), options_.threads, [&](Index i) {
    Task& task = tasks_[static_cast<std::size_t>(i)];
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
    if (!std::isfinite(task.squares)) diverged(("the gradient of " + parameters_[task.parameter]->name()).c_str());
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
    parallel_for(static_cast<Index>(tasks_.size()), options_.threads, [&](Index i) {
      const Task& task = tasks_[static_cast<std::size_t>(i)];
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
  const Index tiles = loader.tiles(b);
  ensure_workers(tiles);
  parallel_for(tiles, options_.threads, [&](Index t) {
    const Flops before = thread_flops();
    Worker& worker = filled_worker(loader, b, t);
    model_.forward(worker.tape.begin(worker.tile, {.mode = Mode::evaluation}));
    worker.flops = thread_flops() - before;
  });
  for (Index t = 0; t < tiles; ++t) {
    const Worker& worker = *workers_[static_cast<std::size_t>(t)];
    probe_flops_ += worker.flops;
    look(worker.tape);
  }
}

Evaluation Trainer::evaluate(const Loader& loader) {
  if (latents_) latents_->derive(Mode::evaluation, steps_);
  Evaluation sum{.classes = loader.data().classes()};
  double squared_errors = 0;
  const bool classification = sum.classes > 0;
  for (Index b = 0; b < loader.batches(); ++b) {
    const Index tiles = loader.tiles(b);
    ensure_workers(tiles);
    parallel_for(tiles, options_.threads, [&](Index t) {
      const Flops before = thread_flops();
      Worker& worker = filled_worker(loader, b, t);
      const Var output = model_.forward(worker.tape.begin(worker.tile, {.mode = Mode::inference}));
      worker.flops = thread_flops() - before;
      const Var loss = loss_(output, worker.tile);
      worker.loss = 0;
      for (Index lane = 0; lane < worker.tile.valid(); ++lane)
        worker.loss += static_cast<double>(loss.value().row(0)[lane]);
      if (classification)
        worker.correct = count_correct(output.value(), worker.tile);
      else
        worker.squares = sum_of_squared_errors(output.value(), worker.tile);
    });
    for (Index t = 0; t < tiles; ++t) {
      const Worker& worker = *workers_[static_cast<std::size_t>(t)];
      sum.loss += worker.loss;
      sum.accuracy += static_cast<double>(worker.correct);
      squared_errors += worker.squares;
      sum.flops += worker.flops;
    }
    sum.samples += loader.batch_samples(b);
  }
  const double n = static_cast<double>(std::max<Index>(sum.samples, 1));
  sum.loss /= n;
  sum.accuracy /= n;
  sum.rmse = loader.data().target_scale().deviation *
             std::sqrt(squared_errors / (n * static_cast<double>(std::max<Index>(loader.data().outputs(), 1))));
  return sum;
}

std::vector<Real> Trainer::predict(const Loader& loader) {
  if (latents_) latents_->derive(Mode::evaluation, steps_);
  const Index width = model_.output_shape(loader.data().shape()).features();
  std::vector<Real> outputs(static_cast<std::size_t>(loader.data().samples() * width));
  for (Index b = 0; b < loader.batches(); ++b) {
    const Index tiles = loader.tiles(b), start = b * loader.options().batch;
    ensure_workers(tiles);
    parallel_for(tiles, options_.threads, [&](Index t) {
      Worker& worker = filled_worker(loader, b, t);
      const Var y = model_.forward(worker.tape.begin(worker.tile, {.mode = Mode::inference}));
      for (Index lane = 0; lane < worker.tile.valid(); ++lane) {
        const Index row = loader.sample(start + worker.tile.first + lane);
        for (Index o = 0; o < width; ++o) outputs[static_cast<std::size_t>(row * width + o)] = y.value().row(o)[lane];
      }
    });
  }
  return outputs;
}

void Trainer::infer(const Loader& loader, Index b) {
  const Index tiles = loader.tiles(b);
  ensure_workers(tiles);
  parallel_for(tiles, options_.threads, [&](Index t) {
    Worker& worker = filled_worker(loader, b, t);
    model_.forward(worker.tape.begin(worker.tile, {.mode = Mode::inference}));
  });
}

void Trainer::restart() {
  steps_ = 0;
  for (Parameter* parameter : parameters_)
    for (const std::string& slot : parameter->slot_names()) std::ranges::fill(parameter->slot(slot), Real{0});
}

}  // namespace espalier
