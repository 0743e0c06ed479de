// espalier inspect: what a trained network looks like, in letters.
#include <fmt/format.h>

#include <memory>

#include "apps/tool/commands.h"
#include "apps/tool/inspect_model.h"

namespace espalier {

Command add_inspect(CLI::App& app) {
  auto path = std::make_shared<std::string>();
  app.add_option("model", *path, "The folder of a run, or a model's file")->required();
  app.footer("Examples:\n  espalier inspect runs/mnist\n  espalier inspect income.safetensors");
  return [path] { fmt::print("{}", inspection_of(*path)); };
}

}  // namespace espalier
