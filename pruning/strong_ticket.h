// Strong lottery tickets: a random network already contains every small network. Nothing is trained, only pruned.
//
// Malach, Yehudai, Shalev-Shwartz, Shamir, "Proving the lottery ticket hypothesis: pruning is all you need", 2020: a
// ReLU network of depth l is approximated by what is left of a random one of depth 2l. Each target weight is replaced
// by the one product a_u b_ju, of n, that is nearest: an error of about 1/n. Pensia et al., "Optimal lottery tickets
// via subset sum", 2020, and Orseau, Hutter, Rivasplata, "Logarithmic pruning is all you need", 2020: by the *subset*
// of products whose sum is nearest: an error that falls exponentially with n.
//
// Intuition: choosing which of n random numbers to keep gives n bits, as many as writing down a number of n bits.
//
//   a target layer    z_j = sum_i w_ji x_i + c_j                              W: [out, in]   c: [out] or none
//   becomes two       h_u = relu(a_u x_i(u))         each neuron u keeps its connection to one input i(u)
//                     z_j = sum_u m_ju b_ju h_u      m_ju in {0, 1}           B: [out, neurons]
//   with, for x_i > 0 and, over other neurons, for x_i < 0,
//                     sum over {u : i(u) = i, a_u x_i > 0} of m_ju a_u b_ju  ~=  w_ji
//
// because relu(a x) is a x where a x > 0 and 0 elsewhere: neurons with a_u > 0 see x+ only, those with a_u < 0 see x-.
// Behind a ReLU x >= 0, and only the former are needed.
//
// What is random: a_u ~ U[-1, 1], b_ju ~ U[-s, s], with s = 4 max |w, c| of that layer: the positive ones of n products
// a_u b_ju sum to s n / 8 on average, n / 2 times what the largest target needs. s is the one number per layer that the
// random network has from the target: a seed, these scales and the mask say everything.
//
// Where this departs from the papers:
//   - Biases (they have none) are the weights of an input that is always 1: a neuron that keeps its own random bias, of
//     U[-1, 1], and no connection. All other random biases are pruned to 0. The second of the two layers has none.
//   - Which neuron serves which input is part of the mask: a neuron whose weight at one input has a sign that is not
//     wanted there serves another input. So each target weight finds exactly `width` candidates, not about as many.
//   - s, where they take weights that are small enough for granted. (A ReLU network may be scaled layer by layer.)
//   - A zero of the target is met by the empty subset, exactly. So is Malach's single candidate allowed to be none.
//
// When: after training the target, once. Costs O(targets 2^(n/2)): seconds for thousands of target weights at n = 24.
// Caveat: a ticket has about n live weights (first layer; else n/2) where its target has one, of thousands of random
// ones. It shows what pruning can express, not how to make a network small; and finding it took the target's weights.
// The *worst* error falls more slowly than the typical one: now and then all of n candidates are too small.
// Try:      build/release/strong_tickets --epochs 2
// Exercise: for w > 0, products of both signs are candidates. Give nearest_subset only those above 0: how much is lost?
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/core/threads.h"
#include "espalier/datasets/loader.h"
#include "espalier/layers/sequential.h"

namespace espalier {

enum class Match { subset, single };  // Pensia et al., Orseau et al.; Malach et al.

struct StrongTicketOptions {
  int width = 16;  // n: candidates for each target weight, 1 to subset_sum_limit
  Match match = Match::subset;
  std::uint64_t seed = 1;
  int threads = default_threads();  // changes no bit of the result
};

// A parameter of the random network before it is pruned. Weight (row, column) is a function of (seed, the parameter's
// name, row * cols + column, scale): uniform in [-scale, scale).
class RandomWeights {
 public:
  RandomWeights(std::uint64_t seed, std::string_view parameter, Index cols, double scale);
  Real operator()(Index row, Index column) const {
    return static_cast<Real>(scale_ * (2 * random_.uniform(static_cast<std::uint64_t>(row * cols_ + column)) - 1));
  }

 private:
  Random random_;
  Index cols_;
  double scale_;
};

// One target layer `fc1`, now two: fc1.a [neurons, in], scale 1, and fc1.b [out, neurons].
struct StrongTicketLayer {
  std::string name;
  Index neurons = 0;         // of the random network between the two
  double scale = 1;          // of fc1.b
  Index targets = 0;         // weights and biases of the target that are not 0
  Index random_weights = 0;  // before pruning, biases included
  Index kept = 0;            // of them
  double worst_error = 0;    // max over targets, and signs of their inputs, of |sum - w|
};

struct StrongTicket {
  // Linear layers in csr, twice as many as the target has; ReLU after each but the last.
  std::unique_ptr<Sequential> net;
  std::vector<StrongTicketLayer> layers;

  Index random_weights() const;
  Index kept() const;
  double worst_error() const;
};

// The neurons between fc1.a and fc1.b: 2n for each input and for the constant, about half of which have the sign that
// is wanted, and a few to spare, lest the last to be dealt with go short.
Index strong_ticket_neurons(Index in, int width);

// target: Linear layers, dense, masked or csr, ReLU after each but the last. Throws UsageError for anything else.
StrongTicket strong_ticket(const Module& target, const StrongTicketOptions& options);

// How far two models with equal outputs' shapes are apart on all samples of a loader.
struct Agreement {
  Index samples = 0;
  double worst_error = 0, rms_error = 0;            // over samples and outputs
  double target_rms = 0;                            // of the first model's outputs themselves
  double same_class = 0;                            // fraction of samples whose largest output is the same one
  double target_accuracy = 0, ticket_accuracy = 0;  // fractions; 0 for data without classes
};
Agreement agreement_of(const Module& target, const Module& ticket, const Loader& loader);

}  // namespace espalier
