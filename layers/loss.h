// Losses: from a network's output to one number per sample. The loss of a batch is the mean over its samples; the tape
// starts the way back with 1/denominator in each valid lane. A loss keeps a reference to the tile, which must outlive
// the way back.
//
//   classification    softmax_cross_entropy         -log p[label]
//                     class_weighted_cross_entropy  -w[label] log p[label]
//   regression        mean_squared_error            e^2
//   (e = y - target,  huber(delta)                  e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2)
//   mean of outputs)  quantile(tau)                 (1 - tau) e where e >= 0, else -tau e
//
// Huber's loss is quadratic near zero and pulls no harder than delta: one wild target cannot drag the network along
// (Huber 1964). The quantile loss is least where a fraction tau of the targets lies below y; tau = 1/2 gives the median
// (Koenker & Bassett 1978). Targets are what the data set gives: if it standardises them, delta is in standard
// deviations.
//
// To add one: a function that makes a Loss, and its entry in losses(). From outside the tree: losses().add({...}).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "espalier/core/catalogue.h"
#include "espalier/layers/module.h"

namespace espalier {

// -log softmax(logits)[label]      logits: [classes]   ->   [1]
Var softmax_cross_entropy(const Var& logits, const Tile& tile);

// mean over outputs of (y - target)^2      y: [outputs]   ->   [1]
Var mean_squared_error(const Var& y, const Tile& tile);

// A loss as a value, for the training loop. It may carry numbers of its own. Many threads call it at the same time.
using Loss = std::function<Var(const Var& output, const Tile& tile)>;

// weights: [classes], finite, at least 0, not all 0; they are taken as they are. See balanced_weights.
Loss class_weighted_cross_entropy(std::vector<double> weights);
// delta: finite and above 0
Loss huber(double delta);
// tau: in (0, 1)
Loss quantile(double tau);

// Weights by inverse frequency: w[c] = N / (K n[c]), where n[c] of the N training samples are of class c, and K classes
// have samples. Then the mean weight of a training sample is sum over c of n[c]/N w[c] = 1: the loss keeps its scale,
// so that a learning rate that suits it without weights also suits it with them; and every class has the same share,
// N/K, of a pass over the data. A class without samples weighs 1. Throws UsageError if no class has samples.
std::vector<double> balanced_weights(std::span<const Index> samples_of_class);

// The numbers of all losses. A loss ignores those that it does not have.
struct LossOptions {
  double huber_delta = 1;                  // huber: above it, errors pull no harder
  double quantile = 0.5;                   // quantile: the fraction of the targets below the output
  std::vector<double> class_weights = {};  // cross-entropy: [classes], or empty: all 1
};

struct LossEntry {
  std::string name, line;                        // the name to type; one line for people
  bool classification = false;                   // for data with classes; else for data with targets
  std::function<Loss(const LossOptions&)> make;  // throws UsageError for impossible numbers
};

// The losses, by name: cross-entropy, mse, huber, quantile.
Catalogue<LossEntry>& losses();

// The options, if their numbers are possible. Throws UsageError if not.
LossOptions settled(LossOptions options);

}  // namespace espalier
