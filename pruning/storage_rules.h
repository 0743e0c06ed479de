// Storage rules: in which storage does a layer of a given density run fastest?
//
// Above its break-even density a layer stays masked (dense arrays, dense kernels, zeros off the pattern); at or below
// it becomes csr. The break-even comes from the default below or from `tune`, which measures it per layer *before*
// training; during training nothing is ever timed to decide, so that a run can be replayed to the bit.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "espalier/core/parameter.h"
#include "espalier/core/window.h"
#include "espalier/layers/module.h"
#include "espalier/pruning/weight_histogram.h"

namespace espalier {

// What pruning did to one layer.
struct PruneEvent {
  Index step = 0;
  std::string layer{};
  Index kept = 0;
  double density = 1;
  Storage storage = Storage::dense;
  Index rows = 0, cols = 0;
  PatternPtr before{}, after{};                   // which weights were live, and are now; null: all of them
  std::optional<WeightHistogram> histogram = {};  // of their values, if the rules ask for it
};

struct StorageRules {
  // What `espalier train --tune` found at 64 lanes on a Zen 4 core: csr begins to win at 0.6 and 0.7 in the layers of
  // lenet-300-100, at 0.4 in those 1024 wide, at 0.3 in those 4096 wide, at 0.7 in outputs of ten units.
  double csr_below = 0.4;
  std::map<std::string, double> csr_below_of{};  // by parameter name; overrides
  bool histograms = false;                       // events hold one; changes nothing of what is done

  Storage storage_for(const Parameter& W, double density) const;
  // W takes this pattern (null: all weights live) in the storage that suits its density.
  PruneEvent apply(Parameter& W, PatternPtr pattern, Index step) const;
};

// Times forward, transposed and outer product of every weight matrix, dense and csr over a range of densities, one
// thread, interleaved, and notes where csr begins to win. `lanes`: those of the run. Random patterns of the given seed.
StorageRules tune(const Module& model, const Shape& input, Index lanes, std::uint64_t seed);

// What decides how long a layer's products take: its matrix and, for a convolution, window and input image.
struct LayerGeometry {
  Index rows = 0, cols = 0;
  std::optional<Window> window = {};  // none: linear, or a table
  Shape input = {};                   // [C, H, W] on which the window slides: a transposed convolution's output
  bool table = false;                 // tokens look their columns up
  std::string text() const;
};
// Those of a model's prunable weights, by name.    input: the shape of one sample
std::map<std::string, LayerGeometry> geometries_of(const Module& model, const Shape& input);
// The highest density, of 0.8, 0.7 ... 0.1 and 0.05, at which csr is faster than dense in all three products together;
// 0 if it is at none. Timed on one thread.
double break_even(const LayerGeometry& layer, Index lanes, std::uint64_t seed);

}  // namespace espalier
