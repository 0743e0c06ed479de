#include "apps/bench/ruler.h"

#include <cblas.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace espalier {
namespace {

constexpr const char* core_variable = "OPENBLAS_CORETYPE";
char** restart_arguments = nullptr;

template <std::size_t n>
bool contains(const std::array<const char*, n>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

Ruler ruler_of_this_process() {
  Ruler ruler{.core = openblas_get_corename(), .wanted = "", .fits = true};
#ifdef __x86_64__
  const bool amd = __builtin_cpu_is("amd") != 0;
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
  ruler.fits = kernels_fit(ruler.core, avx512 ? Vectors::avx512 : avx2 ? Vectors::avx2 : Vectors::sse, amd);
  if (avx2) ruler.wanted = amd ? "Zen" : avx512 ? "SkylakeX" : "Haswell";
#endif
  return ruler;
}

}  // namespace

bool kernels_fit(const std::string& core, Vectors processor, bool amd) {
  constexpr std::array avx2{"Haswell", "Zen", "Excavator"};
  constexpr std::array avx512{"SkylakeX", "Cooperlake", "SapphireRapids"};
  switch (processor) {
    case Vectors::sse:
      return true;
    case Vectors::avx2:
      return contains(avx2, core) || contains(avx512, core);
    case Vectors::avx512:
      return contains(avx512, core) || (amd && contains(avx2, core));
  }
  return true;
}

std::string Ruler::text() const {
  const std::string said = std::getenv(core_variable) ? fmt::format(", by {}", core_variable) : "";
  if (fits) return fmt::format("OpenBLAS uses its kernels for {}{}", core, said);
  return fmt::format("OpenBLAS uses its kernels for {}{}, which are too old for this processor: no ruler (try {}={})",
                     core, said, core_variable, wanted);
}

void allow_restart(char** arguments) {
  restart_arguments = arguments;
}

Ruler fitting_ruler() {
  Ruler ruler = ruler_of_this_process();
  // The variable is also what ends the second attempt: it is set then, whatever OpenBLAS made of it.
  if (ruler.fits || !restart_arguments || std::getenv(core_variable)) return ruler;
  fmt::print(stderr, "{}; starting again with {}={}\n", "OpenBLAS took its kernels for " + ruler.core, core_variable,
             ruler.wanted);
  if (setenv(core_variable, ruler.wanted.c_str(), 1) == 0) execv("/proc/self/exe", restart_arguments);
  unsetenv(core_variable);  // still here: the ruler is what it was
  return ruler;
}

}  // namespace espalier
