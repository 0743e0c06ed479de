// Measuring: parameters, FLOPs, bytes and time of models, in one process, under the same conditions.
//
// Times are medians of interleaved repetitions: dense, sparse, dense, sparse ... so that a machine that slows down
// slows both. Warm-up comes first. The input stands ready in tiles; the loader is not timed.
//
// Measuring changes nothing: what is saved afterwards is what was measured (layers/unchanged.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/datasets/dataset.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/module.h"
#include "espalier/optim/optimizer.h"

namespace espalier {

// Median and quartiles over the repetitions, in seconds.
struct Timing {
  double median = 0, lower = 0, upper = 0;
};

struct LayerMeasurement {
  std::string name;  // of the weight
  Index rows = 0, cols = 0;
  double density = 1;
  Storage storage = Storage::dense;
  std::string kernel;
  Flops forward_flops;  // one sample
  double seconds = 0;   // forward of one tile, median
};

struct ModelMeasurement {
  Census census;
  Index effective_nonzeros = 0;
  Index removed_units = 0;  // dead ones, that go when it is shrunk (dead_units.h)
  Flops forward_flops;      // one sample
  SavedModel file;
  double mask_entropy_bytes = 0;          // of all weights: see model_file.h
  Timing train_step, inference, latency;  // a full batch; a full batch; one sample
  double first_loss = 0, last_loss = 0;   // of the timed steps
  std::vector<LayerMeasurement> layers;
};

struct MeasureOptions {
  Index batch = 128, lanes = 64;
  int threads = 1;
  int repetitions = 15;  // turns; each times every kind of work three times
  std::uint64_t seed = 1;
  double rate = 0;         // of the timed steps
  double clip_norm = 0;    // of the timed steps: above 0 it costs another pass over all gradients
  ModelCard card = {};     // what the model's file will say besides: its bytes count too
  SaveOptions saved = {};  // how that file is written
  bool timed = true;       // false: only what can be counted is; all seconds are 0
};

// Measures each model on the first batch of `data`. A timed training step is a training step, with all that moves in
// one; afterwards every value, slot, pattern, packed copy and running statistic of the model is again what it was, to
// the bit. Until then nothing else may use the models.
std::vector<ModelMeasurement> measure(const std::vector<Module*>& models, const DatasetPtr& data, const Loss& loss,
                                      const Optimizer& optimizer, const MeasureOptions& options);

Timing timing_of(std::vector<double> seconds);

}  // namespace espalier
