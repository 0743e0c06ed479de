#include "apps/tool/sample.h"

#include <fmt/format.h>

#include "apps/tool/command_line_error.h"
#include "apps/tool/flag_checks.h"
#include "apps/tool/run_guarded.h"
#include "espalier/core/error.h"
#include "espalier/experiment/interrupt.h"

namespace espalier {

void add_out_flags(CLI::App& app, RunPlace& place, const std::string& name) {
  place.name = name;
  app.add_option("--out", place.out,
                 fmt::format("Run folder (default: {0} or, if that is used, {0}-2, {0}-3, ...)", name))
      ->check(a_path());
  app.add_flag("--overwrite", place.overwrite, "Remove what a run has left in the folder");
}

int run_sample(CLI::App& app, int argc, char** argv, const std::function<void()>& body) {
  return run_guarded([&] {
    if (const std::optional<int> code = parse(app, argc, argv)) return *code;
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
