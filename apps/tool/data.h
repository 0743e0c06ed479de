// Data by name: what `--data` understands.
#pragma once

#include <string>

#include "apps/tool/config.h"
#include "datasets/dataset.h"

namespace espalier {

// Standardised with the moments of the training part.
struct Data {
  std::string name;  // mnist, synthetic-digits
  DatasetPtr train, validation, test;
  std::string provenance;
};

// "auto" becomes mnist where its files are found and synthetic-digits, said plainly on stderr, where not; config.data
// becomes the name of what was loaded. Throws FileError for missing or bad files.
Data load_data(RunConfig& config);

}  // namespace espalier
