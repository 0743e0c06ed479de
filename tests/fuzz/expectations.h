// What every harness asks of what it reads.
#pragma once

#include <cmath>
#include <cstdlib>
#include <span>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/core/real.h"

namespace espalier {

// libFuzzer keeps the input of a process that aborts.
inline void expect(bool condition) {
  if (!condition) std::abort();
}

inline void expect_finite(std::span<const Real> numbers) {
  for (const Real x : numbers) expect(std::isfinite(x));
}

// A complaint about a file is one line.
inline void expect_one_line(const Error& error) {
  expect(std::string_view(error.what()).find('\n') == std::string_view::npos);
}

}  // namespace espalier
