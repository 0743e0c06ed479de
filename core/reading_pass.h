// How a pass reads a sparse matrix with many lanes: by Panels or by Streams. Both give the same bits, so this may
// depend on the machine.
#pragma once

#include <cstdint>

#include "espalier/core/real.h"

namespace espalier {

enum class Pass { forward, transposed, outer };

// Streams pay where visits cost more than multiplications: measured on Intel with AVX-512. Zen 4, which wants half as
// many operations at a time, was 3 % slower with visits sorted, and keeps panels, as do processors without AVX-512.
bool reads_streams(Pass pass, Index lanes);

// For tests and benchmarks: every pass from now on reads so, if it can.
enum class Reading { as_measured, panels, streams };
void force_reading(Reading reading);

// While it lives, passes read so.
class ForcedReading {
 public:
  explicit ForcedReading(Reading reading) { force_reading(reading); }
  ~ForcedReading() { force_reading(Reading::as_measured); }
  ForcedReading(const ForcedReading&) = delete;
  ForcedReading& operator=(const ForcedReading&) = delete;
};

}  // namespace espalier
