// A pattern with rows and columns exchanged: what dX = W' dY walks over.
#pragma once

#include "espalier/core/pattern.h"

namespace espalier {

// Weight n of the transpose is weight slot[n] of the pattern: values need not be moved.
struct Transpose : Compressed {
  explicit Transpose(const Pattern& pattern);
};

}  // namespace espalier
