#include "apps/tool/sample.h"

#include <fmt/format.h>

#include "apps/tool/run_guarded.h"
#include "espalier/core/error.h"
#include "espalier/experiment/interrupt.h"

namespace espalier {

int run_sample(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  return run_guarded([&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& wanted) {  // --help
      return app.exit(wanted);
    }
    watch_for_interrupt();
    try {
      body();
    } catch (const InterruptedError& error) {
      throw InterruptedError(fmt::format("{}; the same command goes on from there", error.what()));
    }
    return static_cast<int>(exit_done);
  });
}

}  // namespace espalier
