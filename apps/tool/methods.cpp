// espalier methods, espalier explain NAME: the catalogue, for people.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

void list_methods() {
  std::string_view family;
  for (const MethodInfo& method : known_methods()) {
    if (method.family != family) fmt::print("{}{}\n", family.empty() ? "" : "\n", method.family);
    family = method.family;
    fmt::print("  {:<20}{}\n  {:<20}  {}\n", method.name, method.essence, "", method.source);
  }
  fmt::print("\nespalier explain NAME says more; espalier train --method NAME runs it.\n");
}

void explain(const std::string& name) {
  const MethodInfo& m = method_named(name);
  const Schedule& s = m.defaults.schedule;
  fmt::print("{}: {}\n{}\n\n", m.name, m.essence, m.source);
  fmt::print("formula    {}\n", m.formula);
  fmt::print("costs      {}\n", m.cost);
  fmt::print("caveat     {}\n", m.caveat);
  fmt::print("defaults   density {:g}, structure {}, allocation {}, schedule {} from {:g} to {:g} of the steps{}{}\n",
             s.density, m.defaults.structure, m.defaults.allocation, s.kind, s.begin, s.end,
             s.kind == "iterative"  ? fmt::format(", {} rounds", s.rounds)
             : s.kind == "one-shot" ? std::string()
                                    : fmt::format(", every {} steps", s.interval),
             m.defaults.rewind == "none" ? "" : ", rewinding to " + m.defaults.rewind);
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
  return [name] { explain(*name); };
}

}  // namespace espalier
