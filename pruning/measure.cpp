#include "espalier/pruning/measure.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/clock.h"
#include "espalier/core/products.h"
#include "espalier/layers/unchanged.h"
#include "espalier/optim/trainer.h"
#include "espalier/pruning/dead_units.h"

namespace espalier {
namespace {

// One model, set up to be timed. Its weights, optimizer slots and running statistics move with the timed steps, and are
// what they were when the bench is taken down.
struct Bench {
  const Unchanged afterwards;
  Module& model;
  Trainer trainer;
  Inference single;
  std::vector<double> train_step, inference, latency, loss;
  double rate;

  Bench(Module& m, const Loss& loss_function, const Optimizer& optimizer, const MeasureOptions& o)
      : afterwards(m),
        model(m),
        trainer(m, loss_function, optimizer, {.threads = o.threads, .seed = o.seed, .clip_norm = o.clip_norm}),
        single(m, 1),
        rate(o.rate) {
    trainer.keep_tiles();
    single.keep_tiles();
  }
  // One turn: each kind of work once untimed, because the other models have just had the caches, then timed in a row.
  void repeat(const Loader& full, const Loader& one) {
    constexpr int in_a_row = 3;
    const auto turn = [](std::vector<double>& seconds, auto&& work) {
      work();
      for (int i = 0; i < in_a_row; ++i) seconds.push_back(seconds_of(work));
    };
    turn(train_step, [&] { loss.push_back(trainer.step(full, 0, rate).loss); });
    turn(inference, [&] { trainer.inference().infer(full, 0); });
    prepare_for_latency(model);  // not timed: a server of single samples packs once
    turn(latency, [&] { single.infer(one, 0); });
  }
};

// A matrix's part of its node's FLOPs and seconds: 1 of a node that has no other, else by numbers of multiplications.
struct Share {
  const Parameter* W;
  bool table;  // its columns are looked up
  double part;
};

std::vector<Share> shares_of(const Tape& tape, const Node& node) {
  std::vector<Share> shares;
  double all = 0;
  for (const Reads& reads : node.reads)
    if (reads.W->prunable()) {
      shares.push_back({reads.W, std::holds_alternative<Tokens>(reads.kind),
                        static_cast<double>(operands_of(tape, node, reads) * reads.W->nonzeros())});
      all += shares.back().part;
    }
  for (Share& share : shares) share.part = all > 0 ? share.part / all : 1 / static_cast<double>(shares.size());
  return shares;
}

Flops part_of(const Flops& flops, double part) {
  const auto of = [part](std::uint64_t count) {
    return static_cast<std::uint64_t>(std::llround(part * static_cast<double>(count)));
  };
  return {of(flops.executed), of(flops.useful)};
}

// FLOPs and seconds of each weight's product on one full tile.
void measure_layers(const Module& model, const Loader& full, const MeasureOptions& o, ModelMeasurement& m) {
  const int repetitions = o.timed ? 11 : 1;
  Tape tape;
  Tile tile;
  full.fill(0, 0, tile);
  std::vector<std::vector<double>> seconds;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    model.forward(tape.begin(tile, {.mode = Mode::evaluation, .timed = true}));
    seconds.resize(tape.nodes());
    for (std::size_t n = 0; n < tape.nodes(); ++n) seconds[n].push_back(tape.node(n).forward_seconds);
  }
  const auto lanes = static_cast<std::uint64_t>(o.lanes), valid = static_cast<std::uint64_t>(tile.valid());
  for (std::size_t n = 0; n < tape.nodes(); ++n) {
    const Node& node = tape.node(n);
    const Flops flops{node.forward_flops.executed / lanes,
                      node.forward_flops.useful / std::max<std::uint64_t>(valid, 1)};
    m.forward_flops += flops;
    for (const Share& share : shares_of(tape, node)) {
      const Parameter& W = *share.W;
      m.layers.push_back({W.name(), W.rows(), W.cols(), W.density(), W.storage(),
                          share.table ? "lookup" : kernel_name(W, o.lanes), part_of(flops, share.part),
                          o.timed ? share.part * timing_of(seconds[n]).median : 0});
    }
  }
}

// What is counted, not timed.
ModelMeasurement sizes_of(const Module& model, const Dataset& data, const MeasureOptions& o) {
  ModelMeasurement m;
  m.census = census_of(model);
  m.effective_nonzeros = effective_nonzeros(model, data.shape());
  m.removed_units = find_dead_units(model, data.shape()).removed();
  m.file = model_bytes(model, o.card, o.saved);
  for (const Parameter* W : parameters_of(model))
    if (W->prunable()) m.mask_entropy_bytes += mask_entropy_bytes(*W);
  return m;
}

}  // namespace

Timing timing_of(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::ranges::sort(seconds);
  const std::size_t n = seconds.size();
  return {seconds[n / 2], seconds[n / 4], seconds[n * 3 / 4]};
}

std::vector<ModelMeasurement> measure(const std::vector<Module*>& models, const DatasetPtr& data, const Loss& loss,
                                      const Optimizer& optimizer, const MeasureOptions& o) {
  const SubnormalsFlushed as_workers_do;
  std::vector<ModelMeasurement> measurements;
  for (const Module* model : models) measurements.push_back(sizes_of(*model, *data, o));
  const Loader full(data, {.batch = o.batch, .lanes = o.lanes, .shuffle = false});
  if (!o.timed) {
    for (std::size_t i = 0; i < models.size(); ++i) measure_layers(*models[i], full, o, measurements[i]);
    return measurements;
  }
  const Loader one(data, {.batch = 1, .lanes = 1, .shuffle = false});
  std::vector<std::unique_ptr<Bench>> benches;
  for (Module* model : models) benches.push_back(std::make_unique<Bench>(*model, loss, optimizer, o));
  constexpr int warm_up = 3;
  for (int repetition = -warm_up; repetition < o.repetitions; ++repetition)
    for (const auto& bench : benches) {
      if (repetition == 0) bench->train_step.clear(), bench->inference.clear(), bench->latency.clear();
      bench->repeat(full, one);
    }
  for (std::size_t i = 0; i < models.size(); ++i) {
    const Bench& bench = *benches[i];
    ModelMeasurement& m = measurements[i];
    m.train_step = timing_of(bench.train_step);
    m.inference = timing_of(bench.inference);
    m.latency = timing_of(bench.latency);
    m.first_loss = bench.loss.front();
    m.last_loss = bench.loss.back();
    measure_layers(bench.model, full, o, m);
  }
  return measurements;
}

}  // namespace espalier
