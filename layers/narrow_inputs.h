// Inputs that nothing reads. A network's inputs are a width that nothing else may narrow (layers/widths.h), for the
// samples are as they are. Where what stands before the network can leave features out as well, the columns of the
// matrices that read them can go.
#pragma once

#include <vector>

#include "espalier/layers/module.h"

namespace espalier {

// Keeps only these features (ascending) of a sample of so many. Returns false, and leaves the model as it was, if
// anything but matrices reads the sample. Outputs for samples without the other features are those that the network had
// when these were zero. Throws UsageError for features that there are not, or for none.
bool narrow_inputs(Module& model, Index features, const std::vector<Index>& kept);

}  // namespace espalier
