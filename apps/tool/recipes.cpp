// espalier recipes: the configurations for kinds of data that are built in.
#include "espalier/experiment/recipes.h"

#include <fmt/format.h>

#include <memory>

#include "apps/tool/commands.h"

namespace espalier {

Command add_recipes(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "Print this recipe's file");
  return [name] {
    if (!name->empty()) {
      fmt::print("{}", recipe_named(*name).text);
      return;
    }
    for (const std::string& kind : recipe_kinds()) {
      fmt::print("{}\n", kind);
      for (const Recipe& recipe : shipped_recipes())
        if (recipe.kind == kind) fmt::print("  {:<28}{}\n", recipe.name, recipe.summary);
      fmt::print("\n");
    }
    fmt::print("espalier recommend DATA races those that fit; espalier train --recipe NAME runs one.\n");
  };
}

}  // namespace espalier
