// What a network loses when one layer alone is pruned (pruning/sensitivity.h), for people and for other programs.
#pragma once

#include <string>

#include "espalier/pruning/sensitivity.h"

namespace espalier {

// A line for each layer: its weights, and at each density what is right (or the RMSE) and what that is in points more
// or less than before. "as it is" where no more weights live than would be kept.
std::string text_of(const Sensitivity& sensitivity, const std::string& data);
// A line for each layer and density. Behind a head: layer, weights, live, density, kept, accuracy or rmse, difference.
std::string csv_of(const Sensitivity& sensitivity);
// {"data", "samples", "accuracy" or "rmse", "layers": [{"name", "weights", "live", "curve": [{"density", "kept",
// "accuracy" or "rmse", "difference"}]}]}; what is not finite is null.
std::string json_of(const Sensitivity& sensitivity, const std::string& data);
// A curve for each layer over densities on a logarithmic axis, from all weights on the left to few on the right. The
// ground is transparent, and text and lines are as light or dark as the page around them wants it.
std::string svg_of(const Sensitivity& sensitivity, const std::string& data);

}  // namespace espalier
