// Models of sequences [steps, features], of any extents.
#include "espalier/layers/builder.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

constexpr std::string_view gru_prefix = "gru:";

// Three convolutions over time with ReLU, each of stride 2, so that one of their last steps sees 33 of the first; and a
// linear layer that knows what was where.
ModulePtr cnn_1d(const std::string& name, const ModelOptions& options) {
  return Builder(name, options)
      .conv1d("conv1", 32, 9, 2)
      .conv1d("conv2", 64, 5, 2)
      .conv1d("conv3", 64, 5, 2)
      .linear("output", options.outputs)
      .done();
}

Index units_of(const std::string& name) {
  return number_in(behind(gru_prefix, name), name, Index{1} << 20, "a number of units from 1 to 2^20 such as gru:64");
}

// A gated recurrent layer, the mean of its states, a linear layer.
ModulePtr gru(const std::string& name, const ModelOptions& options) {
  return Builder(name, options).gru("gru", units_of(name)).mean_over_time().linear("output", options.outputs).done();
}

ModelProfile signals(double rate, double warmup) {
  return {.input = {64, 3}, .outputs = 8, .sequences = true, .rate = rate, .warmup = warmup};
}

}  // namespace

std::vector<ModelFamily> sequence_models() {
  return {{.name = "cnn-1d",
           .form = "cnn-1d",
           .line = "three convolutions over time of stride 2, then a linear layer",
           .profile = [](const std::string&) { return signals(0.05, 0.05); },
           .make = cnn_1d},
          {.name = std::string(gru_prefix),
           .form = "gru:UNITS",
           .line = "a recurrent layer, the mean of its states, a linear layer",
           .profile = [](const std::string& name) { return units_of(name), signals(0.4, 0.1); },
           .make = gru}};
}

}  // namespace espalier::zoo
