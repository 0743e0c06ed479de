// What `bench kernels` compares with: OpenBLAS, which picks its kernels when it is loaded, by the processor's name. Of
// a processor that is newer than itself it may take one for the oldest (Prescott, of 2004), ten times too slow.
#pragma once

#include <string>

namespace espalier {

struct Ruler {
  std::string core;    // the processor whose kernels OpenBLAS uses, by its names: SkylakeX, Haswell, Zen, Prescott
  std::string wanted;  // the processor whose kernels it should use; empty where that is not known
  bool fits = true;    // they use the widest vectors that this processor has
  std::string text() const;  // one line for people
};

// How wide vectors are, in the order of age.
enum class Vectors { sse, avx2, avx512 };

// Whether the kernels that OpenBLAS has for `core` are as wide as `processor` allows. `amd`: two 256-bit units are as
// fast as one of 512 bits there.
bool kernels_fit(const std::string& core, Vectors processor, bool amd);

// The program may start itself again, with these arguments, to have OpenBLAS take other kernels. Only main() says so:
// not every process that runs a command is the program.
void allow_restart(char** arguments);

// The ruler of this process. Where it does not fit, and $OPENBLAS_CORETYPE leaves the choice open, this starts the
// program again with that variable set, and says so on stderr.
Ruler fitting_ruler();

}  // namespace espalier
