// espalier methods, espalier explain NAME: the catalogue, for people.
#include <fmt/format.h>

#include <algorithm>

#include "apps/tool/commands.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

// Family by family, each where its first method stands in the catalogue.
void list_methods() {
  std::vector<std::string> families;
  for (const MethodInfo& method : methods().entries())
    if (std::ranges::count(families, method.family) == 0) families.push_back(method.family);
  for (const std::string& family : families) {
    fmt::print("{}\n", family);
    for (const MethodInfo& method : methods().entries())
      if (method.family == family)
        fmt::print("  {:<20}{}\n  {:<20}  {}\n", method.name, method.line, "", method.source);
    fmt::print("\n");
  }
  fmt::print(
      "To begin with: magnitude, which is hard to beat; random, which every method has to beat; rigl, which is sparse\n"
      "from the first step. espalier explain NAME says more; espalier train --method NAME runs it.\n");
}

void explain(const std::string& name) {
  const MethodInfo& m = methods().named(name);
  const Schedule& s = m.defaults.schedule;
  fmt::print("{}: {}\n{}\n\n", m.name, m.line, m.source);
  fmt::print("formula    {}\n", m.formula);
  fmt::print("costs      {}\n", m.cost);
  fmt::print("caveat     {}\n", m.caveat);
  fmt::print("defaults   density {:g}, structure {}, allocation {}, schedule {} from {:g} to {:g} of the steps{}{}\n",
             s.density, name_of(m.defaults.structure), name_of(m.defaults.allocation), name_of(s.kind), s.begin, s.end,
             s.kind == Schedule::Kind::iterative  ? fmt::format(", {} rounds", s.rounds)
             : s.kind == Schedule::Kind::one_shot ? std::string()
                                                  : fmt::format(", every {} steps", s.interval),
             m.defaults.rewind ? ", rewinding to " + name_of(m.defaults.rewind) : "");
  for (const Setting& setting : m.settings)
    fmt::print("{:<11}{} = {:g}: {}\n", &setting == m.settings.data() ? "settings" : "", setting.name, setting.value,
               setting.meaning);
  fmt::print("try        {}\n", m.example);
}

}  // namespace

Command add_methods(CLI::App&) {
  return list_methods;
}

Command add_explain(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("method", *name, "One of those that `espalier methods` lists")->required();
  app.footer("Examples:\n  espalier explain magnitude\n  espalier explain rigl");
  return [name] { explain(*name); };
}

}  // namespace espalier
