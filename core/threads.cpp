#include "core/threads.h"

#include <omp.h>

#include <exception>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace espalier {

int default_threads() {
  return omp_get_num_procs();
}

void flush_subnormals_to_zero() {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);  // flush-to-zero | denormals-are-zero
#elif defined(__aarch64__)
  std::uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr | (1ull << 24)));
#endif
}

void detail::parallel_run(Index count, int threads, void (*body)(void*, Index), void* context) {
  std::exception_ptr failure;
#pragma omp parallel num_threads(threads) if (threads > 1 && count > 1)
  {
    flush_subnormals_to_zero();
#pragma omp for schedule(dynamic, 1)
    for (Index i = 0; i < count; ++i) {
      try {
        body(context, i);
      } catch (...) {
#pragma omp critical(espalier_failure)
        if (!failure) failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace espalier
