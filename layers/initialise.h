// Initial weights. A weight's value depends only on the seed, the parameter's name and the weight's position. So a
// layer that is born sparse has the weights that the dense layer has at the same positions, up to the scale.
//
// fan_in is the mean number of live inputs of a row: in a layer born at density 0.01 a row sums a hundredth of the
// terms, and keeps its variance only if they are ten times larger (Evci et al., "Gradient Flow in Sparse Neural
// Networks", 2022).
#pragma once

#include <cstdint>
#include <string_view>

#include "espalier/core/parameter.h"
#include "espalier/core/random.h"

namespace espalier {

enum class Initialiser {
  kaiming,          // normal, variance 2 / fan_in                      He et al. 2015
  kaiming_uniform,  // uniform in +-sqrt(6 / fan_in)                    He et al. 2015
  xavier,           // uniform in +-sqrt(6 / (fan_in + fan_out))        Glorot & Bengio 2010
  lecun_uniform,    // uniform in +-sqrt(1 / fan_in)                    PyTorch's default for linear layers
  signed_constant,  // +-sqrt(2 / fan_in), the sign drawn               Ramanujan et al. 2020
  unit_normal       // normal, variance 1, whatever the extents         PyTorch's default for embeddings
};

// Where weights that were never trained come from: all that a file has to say to have them again.
struct Origin {
  Initialiser initialiser = Initialiser::kaiming;
  std::uint64_t seed = 1;
};

// The values that initialise() gives to a matrix of W's name and shape with `live` weights, one by one.
class InitialValues final {
 public:
  InitialValues(const Parameter& W, Index live, const Origin& origin);
  Real at(Index position) const;  // row * cols + column

 private:
  Random random_;
  Initialiser initialiser_;
  double scale_;
};

// Sets every live weight of W. Leaves the slots as they are.
void initialise(Parameter& W, Initialiser initialiser, std::uint64_t seed);

// Throws UsageError, listing the known names, for any other.
Initialiser initialiser_named(std::string_view name);
std::string_view name_of(Initialiser initialiser);

}  // namespace espalier
