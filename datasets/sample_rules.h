// How samples that are no rows of a table, images and signals, become features: what a model's file says of them, so
// that new ones can be asked about.
//
//   as read   ──►   (x - mean) / deviation, channel by channel   ──►   features
//
// Pixels that are bytes are read as byte / 255, floats as they are.
#pragma once

#include <string>
#include <vector>

#include "espalier/datasets/parts.h"

namespace espalier {

struct SampleRules {
  Shape shape;
  ChannelMoments moments = {};                // none: features are what was read
  std::vector<std::string> class_names = {};  // none: their numbers
  bool turned = false;                        // IDX files hold images column by column
};

// Of data that are no table and no text.
SampleRules sample_rules_of(const DataParts& parts);

// {"kind": "samples", ...}
std::string to_json(const SampleRules& rules);
// Throws FileError, naming `file`, if the text is anything else or makes no sense.
SampleRules sample_rules_from_json(const std::string& text, const std::string& file);

// What a text of a model's file is about: its "kind"; "table" if it has none.
std::string kind_of_preprocessing(const std::string& text, const std::string& file);

// The samples as features. Throws UsageError if they are of another shape.
DatasetPtr standardised(DatasetPtr data, const SampleRules& rules);

}  // namespace espalier
