#include "espalier/core/reading_pass.h"

#include <atomic>
#include <cstring>

#include "espalier/core/kernels/sparse_stream.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace espalier {
namespace {

std::atomic<Reading> forced = Reading::as_measured;

bool is_intel() {
#if defined(__x86_64__)
  static const bool intel = [] {
    unsigned highest = 0, vendor[3] = {};
    return __get_cpuid(0, &highest, &vendor[0], &vendor[2], &vendor[1]) != 0 &&
           std::memcmp(vendor, "GenuineIntel", sizeof(vendor)) == 0;
  }();
  return intel;
#else
  return false;
#endif
}

}  // namespace

void force_reading(Reading reading) {
  forced = reading;
}

bool reads_streams(Pass, Index lanes) {
  if (lanes == 1 || !kernels::has_streams()) return false;
  const Reading reading = forced.load(std::memory_order_relaxed);
  return reading == Reading::as_measured ? is_intel() : reading == Reading::streams;
}

}  // namespace espalier
