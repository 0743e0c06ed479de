// The catalogue: one line per method.
#include "espalier/pruning/method.h"

#define ESPALIER_METHODS(X) \
  X(random)                 \
  X(magnitude)              \
  X(wanda)                  \
  X(obs)                    \
  X(movement)               \
  X(taylor)                 \
  X(obd)                    \
  X(dns)                    \
  X(str)                    \
  X(ac_dc)                  \
  X(l0)                     \
  X(variational)            \
  X(snip)                   \
  X(grasp)                  \
  X(synflow)                \
  X(static_pattern)         \
  X(set)                    \
  X(rigl)                   \
  X(snfs)                   \
  X(lottery)                \
  X(edge_popup)             \
  X(supermask)              \
  X(neuron_subnetwork)      \
  X(neuron_magnitude)       \
  X(fpgm)                   \
  X(slimming)               \
  X(group_lasso)

namespace espalier {
namespace method_pages {  // one function in each file of pruning/methods
#define ESPALIER_DECLARE(name) MethodInfo name();
ESPALIER_METHODS(ESPALIER_DECLARE)
#undef ESPALIER_DECLARE
}  // namespace method_pages

Catalogue<MethodInfo>& methods() {
#define ESPALIER_CALL(name) method_pages::name(),
  static Catalogue<MethodInfo> all("method", {ESPALIER_METHODS(ESPALIER_CALL)});
#undef ESPALIER_CALL
  return all;
}

}  // namespace espalier
