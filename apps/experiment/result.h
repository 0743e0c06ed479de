// What a run found out, as numbers: how good its networks are, how large, how fast. JSON (result_json.h) and tables for
// people (text.h) are made of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "espalier/experiment/experiment.h"
#include "espalier/pruning/measure.h"

namespace espalier {

// One network.
struct SideResult {
  // What is known of a network that was trained; nothing of one that was only timed.
  std::optional<Metrics> test = {};
  double test_loss = 0;
  std::optional<double> validation = {};  // accuracy, or RMSE for regression; none without validation samples
  Index best_epoch = 0;                   // that was kept, by validation; 0: the last one
  double train_seconds = 0;               // without evaluations and checkpoints
  Index beside = 1;                       // so many trainings at a time; above 1, its seconds say little
  double checkpoint_seconds = 0;          // spent in writing these
  double event_seconds = 0;               // of train_seconds: spent in writing metrics and masks
  Flops train_flops = {};                 // all rounds

  Index parameters = 0;                 // if nothing were pruned
  Index nonzeros = 0;                   // what is left of them, with biases and normalisation
  Index effective_nonzeros = 0;         // without units that no path leads through
  Index removed_units = 0;              // taken out while it trained; and dead ones, that go when it is shrunk
  double density = 1;                   // of the prunable weights
  std::optional<UnitsLeft> units = {};  // if whole units were taken out
  Flops forward_flops = {};             // one sample
  std::uintmax_t file_bytes = 0;
  std::optional<double> mask_entropy_bytes = {};  // of weights that were never trained: all that a file has to hold
  Timing train_step, inference, latency;          // seconds: a full batch; a full batch; one sample; 0: not timed
  bool timed() const { return train_step.median > 0; }
};

struct LayerResult {
  std::string name;  // of the weight
  Index rows = 0, cols = 0;
  double density = 1;
  std::string storage, kernel, file_form;
  Flops forward_flops;  // one sample
  double seconds = 0;   // forward of one tile, median
  std::uintmax_t file_bytes = 0;
  // Of the same layer of the dense twin; none: there is no such layer.
  std::optional<double> dense_seconds = {};
  Flops dense_forward_flops = {};
};

// One sample of images, as people would see it.
struct SamplePicture {
  Shape shape;                       // [channels, height, width]
  std::vector<std::uint8_t> pixels;  // from the smallest value, 0, to the largest, 255
};

// What a network has to beat: the majority class or the mean target, and a linear model.
struct BaselineResult {
  std::string name;  // majority, mean, linear
  Metrics test = {};
  std::optional<double> validation = {};  // as of a network; none of a constant
  Index parameters = 0, passes = 0;       // passes: over the training rows; 0: nothing was trained
  bool solved = false;                    // trained to its minimum; false: stopped on the way there
  double train_seconds = 0;
  std::string failed = {};  // why there are no numbers
};

struct Result {
  std::string dataset, provenance, model, method, schedule;
  double density = 1;  // that was asked for
  std::uint64_t seed = 1;
  int threads = 1;
  Index lanes = 0, batch = 0, epochs = 0;
  std::string processor;
  std::string control = "none";
  std::optional<SideResult> dense;
  SideResult sparse;
  Index members = 1;                           // of each side; above 1 they are averages
  double race_seconds = 0;                     // that choosing the configuration took; 0: it was not raced
  std::vector<LayerResult> layers = {};        // of the sparse network
  std::vector<BaselineResult> baselines = {};  // none: they were not asked for
  // Of a table: the columns that the first layer still reads, and how many there were.
  std::optional<std::vector<std::string>> surviving_inputs = {};
  Index input_columns = 0;
  std::optional<SamplePicture> sample = {};  // of images: what one of them looks like
  // Of the sparse network on the test set, of data with classes.
  Confusion confusion = Confusion();
  std::vector<std::string> class_names = {};
  std::vector<std::string> notes = {};  // for people: what went otherwise than might be expected
};

// Times are measured where nothing else runs, and left open where something does.
enum class Times { measured, left_open };

// Measures what came of an experiment, and of the same without pruning, which may be null, and puts everything
// together. card, layout: what the model's file will say besides the weights, and how they will lie in it.
Result result_of(const Experiment& e, const Trained* dense, const Trained& trained, const ModelCard& card = {},
                 Layout layout = Layout::smallest, Times times = Times::measured);

SideResult side_of(const ModelMeasurement& measured);
SideResult side_of(const Trained& trained, const ModelMeasurement& measured);
// dense: of the twin; null: there is none. narrowed: its layers of the same name are the same, however wide
std::vector<LayerResult> layers_of(const ModelMeasurement& measured, const ModelMeasurement* dense = nullptr,
                                   bool narrowed = false);
// The first of them; none if they are no images of one or three channels, or large ones.
std::optional<SamplePicture> picture_in(const Dataset& data);

// A number of both networks that tables and ratios are made of.
struct Quantity {
  const char* title;                                   // for people
  const char* ratio;                                   // its key among the ratios; null: it is none of those
  std::optional<double> (*dense)(const SideResult&);   // none: not known
  std::optional<double> (*sparse)(const SideResult&);  // of the sparse network, which may count something else
  std::string (*text)(double);                         // for people
  const char *better = nullptr, *worse = nullptr;      // "faster", "slower"; null: no ratio is shown
  // For people, where a ratio says little: "-0.45 points".
  std::string (*difference)(double dense, double sparse) = nullptr;
  std::optional<double> ratio_of(const Result& r) const;  // dense / sparse: higher is better
};
std::span<const Quantity> quantities();

}  // namespace espalier
