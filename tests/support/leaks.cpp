// What LeakSanitizer must not report: LLVM's OpenMP runtime keeps the pool of a larger team when a smaller one follows.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libomp.so\n";
}
