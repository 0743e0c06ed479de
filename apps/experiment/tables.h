// What the tool knows of tables besides the data themselves.
#pragma once

#include <string>
#include <vector>

#include "espalier/datasets/preprocessing.h"
#include "espalier/experiment/result.h"
#include "espalier/layers/module.h"

namespace espalier {

constexpr const char* default_table_model = "tabular:256-256";
constexpr const char* preprocessing_file = "preprocessing.json";

// The source columns of which the first layer still reads something: whose features have a weight that is not zero in
// the first matrix as wide as a sample.
std::vector<std::string> surviving_inputs(Module& model, const Preprocessing& preprocessing);

// "inputs: 3 of 40 columns left: x1, w0, x7"; empty for results without tables.
std::string inputs_line_of(const Json& result);

}  // namespace espalier
