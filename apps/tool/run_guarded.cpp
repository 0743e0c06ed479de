#include "apps/tool/run_guarded.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <new>

#include "espalier/core/error.h"

namespace espalier {

int run_guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return error.code();
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "error: {} (see --help)\n", error.what());
    return exit_usage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
    return exit_internal;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return exit_internal;
  }
}

}  // namespace espalier
