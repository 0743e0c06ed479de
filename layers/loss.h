// Losses: from a network's output to one number per sample. The batch's loss is their mean; the tape starts the way
// back with 1/denominator per valid lane. A loss keeps a reference to the tile: it must outlive the way back.
//
//   classification    softmax_cross_entropy     -log p[label]
//                     class_weighted            -w[label] log p[label]
//   regression        mean_squared_error        e^2
//   (e = y - target,  huber(delta)              e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2)
//   mean of outputs)  quantile(tau)             (1 - tau) e where e >= 0, else -tau e
//
// Huber's is quadratic near zero and pulls no harder than delta: one wild target cannot drag the network along (Huber
// 1964). The quantile's is least where a fraction tau of the targets lies below y; tau = 1/2 gives the median (Koenker
// & Bassett 1978). Targets are what the data set gives: standardised ones, if it standardises, and delta is in their
// units.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

// -log softmax(logits)[label]      logits: [classes]   ->   [1]
Var softmax_cross_entropy(const Var& logits, const Tile& tile);

// mean over outputs of (y - target)^2      y: [outputs]   ->   [1]
Var mean_squared_error(const Var& y, const Tile& tile);

// A loss as a value: what the training loop is given. It may carry numbers of its own, and is called by many threads.
using Loss = std::function<Var(const Var& output, const Tile& tile)>;

// weights: [classes], finite and at least 0, not all 0; taken as they are. See balanced_weights.
Loss class_weighted_cross_entropy(std::vector<double> weights);
// delta: finite and above 0
Loss huber(double delta);
// tau: in (0, 1)
Loss quantile(double tau);

// Weights by inverse frequency, w[c] = N / (K n[c]), n[c] of N training samples being of class c, K classes being
// there. Then the mean weight of a training sample is sum over c of n[c]/N w[c] = 1: the loss keeps its scale, so that
// a learning rate that suited it without weights suits it still; and every class has the same share, N/K, of a pass
// over the data. A class without a sample weighs 1: there is nothing to balance. Throws UsageError if all are empty.
std::vector<double> balanced_weights(std::span<const Index> samples_of_class);

}  // namespace espalier
