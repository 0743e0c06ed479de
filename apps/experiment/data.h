// Data by name: what `--data` and `--augment` understand. All but "auto" is in datasets/catalogue.h.
#pragma once

#include <string>

#include "espalier/datasets/augment.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/experiment/config.h"

namespace espalier {

// "auto" becomes mnist where its files are found and synthetic-digits, said plainly on stderr, where not; for a model
// that wants colour images, cifar10 and synthetic-images; for a model of sequences, synthetic-signals. config.data
// becomes the name of what was loaded. Throws FileError for missing or bad files.
DataParts load_data(RunConfig& config);

// How a table becomes numbers, of all that the options say: equal for options that make the same features of it.
std::string encoding_of(const TableOptions& table);

// Throws UsageError unless load_data knows the name, "auto" included, or it is the name of a file of that format.
void require_known_data(const std::string& name, const std::string& format = "auto");

// none, flip, crop-flip. Throws UsageError for any other name.
Augmentation augmentation_named(const std::string& name);

}  // namespace espalier
