#include "espalier/optim/inference.h"

#include <algorithm>
#include <cmath>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr TapeOptions without_recording{.mode = Mode::inference};

double sum_of_losses(const Loss& loss_of, const Passage& p) {
  const Var loss = loss_of(p.output, p.tile);
  double sum = 0;
  for (Index lane = 0; lane < p.tile.valid(); ++lane) sum += static_cast<double>(loss.value().row(0)[lane]);
  return sum;
}

// How many valid lanes have their largest output at their label.
Index count_correct(const Tensor& output, const Tile& tile) {
  Index correct = 0;
  for (Index lane = 0; lane < output.valid(); ++lane)
    correct += arg_max(output.features(), [&](Index c) { return output.row(c)[lane]; }) == tile.label[lane];
  return correct;
}

// Of the valid lanes: sum over classes of (softmax(z)[c] - [c is the label])^2.
double sum_of_brier_scores(const Tensor& output, const Tile& tile) {
  const Index classes = output.features();
  double sum = 0;
  for (Index lane = 0; lane < output.valid(); ++lane) {
    const auto z = [&](Index c) { return static_cast<double>(output.row(c)[lane]); };
    const double highest = z(arg_max(classes, z));
    double all = 0, squares = 0;
    for (Index c = 0; c < classes; ++c) {
      const double p = std::exp(z(c) - highest);
      all += p;
      squares += p * p;
    }
    const Index label = tile.label[lane];
    const double own = label >= 0 && label < classes ? std::exp(z(label) - highest) / all : 0;
    sum += squares / (all * all) + 1 - 2 * own;
  }
  return sum;
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

// [samples, outputs]
std::vector<Real> room_for_outputs(const Module& model, const Loader& loader) {
  return std::vector<Real>(loader.data().samples() * model.output_shape(loader.data().shape()).features());
}

// Columns of a tile to the rows of its samples; different tiles write different rows.
void copy_outputs(const Passage& p, const Loader& loader, Index b, Real* outputs) {
  const Tensor& y = p.output.value();
  const Index first = b * loader.options().batch + p.tile.first;  // position in the epoch
  for (Index lane = 0; lane < p.tile.valid(); ++lane) {
    Real* const row = outputs + loader.sample(first + lane) * y.features();
    for (Index o = 0; o < y.features(); ++o) row[o] = y.row(o)[lane];
  }
}

}  // namespace

Inference::Inference(const Module& model, int threads) : model_(model), threads_(threads) {
  require(threads >= 1, "[inference] expected at least 1 thread, got {}", threads);
}

void Inference::prepare(Index tiles) {
  while (static_cast<Index>(workers_.size()) < tiles) workers_.push_back(std::make_unique<Worker>());
  tapes_.clear();
  for (Index t = 0; t < tiles; ++t) tapes_.push_back(&workers_[t]->tape);
}

void Inference::refresh_streams(Mode mode, Index tiles) {
  // A step changes the weights again: a copy for one tile costs more than it saves.
  if (mode == Mode::training && tiles == 1) return;
  refreshes_.clear();
  model_.visit_parameters([&](const Parameter& parameter) {
    for (const auto direction : {StreamCopies::Direction::forward, StreamCopies::Direction::transposed})
      if ((direction == StreamCopies::Direction::forward || mode == Mode::training) &&
          parameter.wants_streams(direction))
        refreshes_.push_back({&parameter, direction});
  });
  if (refreshes_.empty()) return;
  parallel_for(static_cast<Index>(refreshes_.size()), threads_,
               [&](Index i) { refreshes_[i].parameter->refresh_streams(refreshes_[i].direction); });
}

Evaluation Inference::pass(const Loader& loader, const Loss& loss, Real* outputs) {
  const Dataset& data = loader.data();
  Evaluation sum{.classes = data.classes()};
  double squared_errors = 0;
  for (Index b = 0; b < loader.batches(); ++b) {
    sums_.assign(loader.tiles(b), {});
    sum.flops += for_each_tile(loader, b, without_recording, [&](const Passage& p) {
      const Tensor& y = p.output.value();
      Sums& own = sums_[p.number];
      if (loss) own.loss = sum_of_losses(loss, p);
      if (sum.classes > 0) own.correct = count_correct(y, p.tile);
      own.squared_errors = sum.classes > 0 ? sum_of_brier_scores(y, p.tile) : sum_of_squared_errors(y, p.tile);
      if (outputs) copy_outputs(p, loader, b, outputs);
    });
    for (const Sums& tile : sums_) {
      sum.loss += tile.loss;
      sum.accuracy += static_cast<double>(tile.correct);
      squared_errors += tile.squared_errors;
    }
    sum.samples += loader.batch_samples(b);
  }
  const auto n = static_cast<double>(std::max<Index>(sum.samples, 1));
  sum.loss /= n;
  sum.accuracy /= n;
  if (sum.classes > 0) {
    sum.brier = squared_errors / n;
    return sum;
  }
  sum.rmse = data.target_scale().deviation *
             std::sqrt(squared_errors / (n * static_cast<double>(std::max<Index>(data.outputs(), 1))));
  return sum;
}

Evaluation Inference::evaluate(const Loader& loader, const Loss& loss) {
  return pass(loader, loss, nullptr);
}

Score Inference::score(const Loader& loader, const Loss& loss) {
  Score score{.outputs = room_for_outputs(model_, loader)};
  score.evaluation = pass(loader, loss, score.outputs.data());
  score.metrics = metrics_of(score.outputs, loader.data());
  return score;
}

std::vector<Real> Inference::outputs(const Loader& loader) {
  std::vector<Real> outputs = room_for_outputs(model_, loader);
  for (Index b = 0; b < loader.batches(); ++b)
    for_each_tile(loader, b, without_recording, [&](const Passage& p) { copy_outputs(p, loader, b, outputs.data()); });
  return outputs;
}

void Inference::infer(const Loader& loader, Index b) {
  for_each_tile(loader, b, without_recording, [](const Passage&) {});
}

}  // namespace espalier
