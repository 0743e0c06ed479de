// Controls: what a pruned network has to beat before its method has shown anything.
//
//   control          pattern                               initial values        asks
//   reinit           as found                              freshly drawn         is it the pattern alone?
//   random-pattern   random, as many in each layer         the original ones     is it the number per layer alone?
//   shuffled-mask    rows and columns of the found one     the original ones     is it the degrees alone?
//                    permuted, layer by layer
//   small-dense      none: a narrower dense network        its own               is it the number of parameters alone?
//                    of as many parameters
//
// Each is trained once more from the start, with the budget of one round. Permuting single entries of a mask would be
// random-pattern again: that too is uniform among the patterns of equal count. Permuting rows and columns keeps more:
// how many units have how many inputs and outputs, but no longer which. A convolution's columns are (input channel,
// tap) pairs, permuted as one list: how many weights each filter has is kept, the shape of its kernels is not. What a
// structure (N:M, blocks) demanded of the pattern holds for reinit only.
//
// Frankle & Carbin, "The lottery ticket hypothesis", 2019 (reinit); Frankle et al., "Pruning neural networks at
// initialization: why are we missing the mark?", 2021 (shuffling, reinitialising); Blalock et al., "What is the state
// of neural network pruning?", 2020 (small dense).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "espalier/core/parameter.h"
#include "espalier/core/random.h"
#include "espalier/layers/module.h"

namespace espalier {

enum class Control { none, reinit, random_pattern, shuffled_mask, small_dense };
// Throws UsageError listing the known names.
Control control_named(std::string_view name);

// Whether it needs the network that a method found, and not only its number of parameters.
inline bool needs_found(Control control) {
  return control != Control::none && control != Control::small_dense;
}

// `found` with its rows and its columns permuted: the same numbers of live weights in rows and in columns, elsewhere.
PatternPtr shuffled_mask(const Pattern& found, const Random& random);

// The seed of the control's initial values: `seed` itself, or, for reinit, another one that follows from it.
std::uint64_t initial_seed(Control control, std::uint64_t seed);

// Prunes `fresh`, parameters of an untrained network, as the control wants it: each in the storage and with as many
// live weights as its namesake in `found`. Dense ones stay dense. Not for small-dense, which has no pattern.
void apply_pattern(Control control, std::span<Parameter* const> found, std::span<Parameter* const> fresh,
                   std::uint64_t seed);

// The name of the mlp (or tabular:..., with the suffixes of `name`) whose hidden layers are narrower than those of
// `model`, known as `name`, all by the same factor, so that it has as nearly `parameters` parameters as one such factor
// can make it. Throws UsageError for models that are not a chain of linear layers, and if one unit per layer is already
// too much.
std::string small_dense(const std::string& name, const Module& model, Index parameters);

}  // namespace espalier
