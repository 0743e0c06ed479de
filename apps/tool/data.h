// Data by name: what `--data` and `--augment` understand.
#pragma once

#include <string>

#include "apps/tool/config.h"
#include "datasets/augment.h"
#include "datasets/dataset.h"

namespace espalier {

// Standardised with the moments of the training part, channel by channel.
struct Data {
  std::string name;  // mnist, synthetic-digits, cifar10, cifar100, synthetic-images, synthetic-signals
  DatasetPtr train, validation, test;
  std::string provenance;
};

// "auto" becomes mnist where its files are found and synthetic-digits, said plainly on stderr, where not; for a model
// that wants colour images, cifar10 and synthetic-images; for a model of sequences, synthetic-signals. config.data
// becomes the name of what was loaded. Throws FileError for missing or bad files.
Data load_data(RunConfig& config);

// Whether a model is of a family that is trained on CIFAR's images.
bool wants_colour_images(const std::string& model);

// Throws UsageError unless load_data knows the name, "auto" included.
void require_known_data(const std::string& name);

// none, flip, crop-flip. Throws UsageError for any other name.
Augmentation augmentation_named(const std::string& name);

}  // namespace espalier
