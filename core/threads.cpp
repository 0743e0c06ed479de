#include "espalier/core/threads.h"

#include <omp.h>

#include <exception>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace espalier {

int default_threads() {
  return omp_get_num_procs();
}

namespace {

// The floating point control register: read it, write it.
#if defined(__x86_64__)
using ControlWord = unsigned;
constexpr ControlWord flush_bits = 0x8040;  // flush-to-zero | denormals-are-zero
ControlWord control_word() {
  return _mm_getcsr();
}
void set_control_word(ControlWord word) {
  _mm_setcsr(word);
}
#elif defined(__aarch64__)
using ControlWord = std::uint64_t;
constexpr ControlWord flush_bits = 1ull << 24;
ControlWord control_word() {
  ControlWord word;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
void set_control_word(ControlWord word) {
  asm volatile("msr fpcr, %0" ::"r"(word));
}
#else
using ControlWord = int;
constexpr ControlWord flush_bits = 0;
ControlWord control_word() {
  return 0;
}
void set_control_word(ControlWord) {}
#endif

}  // namespace

void flush_subnormals_to_zero() {
  set_control_word(control_word() | flush_bits);
}

SubnormalsFlushed::SubnormalsFlushed() : before_(control_word()) {
  flush_subnormals_to_zero();
}

SubnormalsFlushed::~SubnormalsFlushed() {
  set_control_word(static_cast<ControlWord>(before_));
}

void detail::parallel_run(Index count, int threads, void (*body)(void*, Index), void* context) {
  const ControlWord callers = control_word();
  std::exception_ptr failure;
  const auto run = [&](Index i) {
    try {
      body(context, i);
    } catch (...) {
#pragma omp critical(espalier_failure)
      if (!failure) failure = std::current_exception();
    }
  };
  if (threads == 1 || count <= 1) {
    flush_subnormals_to_zero();
    for (Index i = 0; i < count; ++i) run(i);
  } else {
#pragma omp parallel num_threads(threads)
    {
      flush_subnormals_to_zero();
#pragma omp for schedule(dynamic, 1) nowait  // the region itself ends with a barrier; one is enough
      for (Index i = 0; i < count; ++i) run(i);
    }
  }
  set_control_word(callers);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace espalier
