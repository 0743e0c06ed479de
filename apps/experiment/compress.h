// Deep Compression of a trained network (Han, Mao & Dally, "Deep Compression", 2016): its weights come to share a few
// values, which are trained on for a while, and a file then needs a few bits for each weight.
//
//   pruned weights  ──►  k-means, layer by layer  ──►  the shared values are trained  ──►  layers/compressed_forms.h
//
// While they are trained, every step moves the weights as ever, and then all that share a value become their mean: a
// step of that mean against the sum of their gradients, divided by their number. (The paper leaves out the division,
// and so takes steps that are longer the more weights share a value.) Momentum, which is linear in the gradients, is
// that of the shared values too. Biases and normalisation are trained as well, and keep all their bits.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/real.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/optim/metrics.h"

namespace espalier {

struct CompressOptions {
  std::string codebook = "kmeans";  // or linear: 255 values in equal steps, which are not trained
  int bits = 0;                     // of kmeans: 1 to 8; 0: 8 in convolutions and 4 elsewhere, fewer in small layers
  Index fine_tune = 0;              // epochs; kmeans only
  int threads = 0;                  // 0: one per processor. Does not change a bit of the result.
  bool operator==(const CompressOptions&) const = default;
};

struct Compression {
  std::optional<Metrics> before, after;  // on the test samples of the run's data; none: there is no run
};

// Makes the network's weights share values. path: that it was opened from; if it is a run's folder, the run's data say
// how good the network was and is, and its configuration how it is trained: at a tenth of the run's learning rate.
// Throws UsageError for impossible options, and for fine-tuning without a run; FileError if the data are missing, or
// are not those of the run.
Compression compress(TrainedNetwork& network, const std::filesystem::path& path, const CompressOptions& options);

}  // namespace espalier
