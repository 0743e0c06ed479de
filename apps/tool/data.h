// Data by name: what `--data` and `--augment` understand.
#pragma once

#include <string>

#include "apps/tool/config.h"
#include "espalier/datasets/augment.h"
#include "espalier/datasets/dataset.h"
#include "espalier/datasets/preprocessing.h"

namespace espalier {

// Standardised with the moments of the training part: images channel by channel, tables column by column.
struct Data {
  std::string name;  // as --data has it; of a table: its file's, without ending
  DatasetPtr train, validation, test;
  std::string provenance;
  std::shared_ptr<const Preprocessing> preprocessing = nullptr;  // of a table
  std::vector<std::string> notes = {};                           // for people: what was replaced, ignored, left out
};

// "auto" becomes mnist where its files are found and synthetic-digits, said plainly on stderr, where not; for a model
// that wants colour images, cifar10 and synthetic-images; for a model of sequences, synthetic-signals. config.data
// becomes the name of what was loaded. Throws FileError for missing or bad files.
Data load_data(RunConfig& config);

// Whether data of this name are a table: synthetic-table, synthetic-table-regression, or a file that ends in .csv,
// .tsv, .svm or .libsvm, or in one of these and .gz.
bool names_table(const std::string& name);
// Whether a table's file is of LIBSVM's format.
bool names_libsvm(const std::string& name);

// Throws UsageError unless load_data knows the name, "auto" included.
void require_known_data(const std::string& name);

// none, flip, crop-flip. Throws UsageError for any other name.
Augmentation augmentation_named(const std::string& name);

}  // namespace espalier
