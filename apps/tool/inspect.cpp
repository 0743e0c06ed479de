// espalier inspect: what a trained network looks like, in letters, and what goes together in it.
#include <fmt/format.h>

#include "apps/tool/commands.h"
#include "apps/tool/inspect_model.h"
#include "espalier/core/error.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/layers/widths.h"

namespace espalier {
namespace {

struct InspectFlags {
  std::string model, layer;
  Index unit = 0;
  bool groups = false;
};

// "block1.fc1: 48 units. When number 3 goes, these go:", and what they are.
std::string group_text(const Width& width, Index unit) {
  require(unit >= 0 && unit < width.groups, "[unit] {}: expected 0 to {}, got {}", width.name, width.groups - 1, unit);
  if (!width.fixed.empty())
    return fmt::format("{}: none of its {} can go, for {}\n", width.name, width.groups, width.fixed);
  return fmt::format("{}: {}, of which one at least stays. When number {} goes, these go:\n{}", width.name,
                     width.groups, unit, text_of(width, unit));
}

void print_groups(const TrainedNetwork& network, const InspectFlags& f) {
  const Shape input =
      network.card.input.rank() == 0 && network.encoder ? Shape{network.encoder->features()} : network.card.input;
  const std::vector<Width> widths = widths_of(*network.model, input);
  if (!f.layer.empty()) {
    fmt::print("{}", group_text(width_named(widths, f.layer), f.unit));
    return;
  }
  for (const Width& width : widths) fmt::print("{}\n", group_text(width, std::min(f.unit, width.groups - 1)));
}

void run_inspect(const InspectFlags& f) {
  if (f.groups)
    print_groups(open_network(f.model), f);
  else
    fmt::print("{}", inspection_of(f.model));
}

}  // namespace

Command add_inspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  app.add_option("model", flags->model, "The folder of a run, or a model's file")->required();
  app.add_flag("--groups", flags->groups, "What goes together when a unit goes, and why, of each layer");
  CLI::Option* groups = app.get_option("--groups");
  app.add_option("--layer", flags->layer, "With --groups: of this layer only, such as fc1")->needs(groups);
  app.add_option("--unit", flags->unit, "With --groups: of the unit of this number")
      ->capture_default_str()
      ->needs(groups);
  app.footer(
      "Examples:\n"
      "  espalier inspect runs/mnist\n"
      "  espalier inspect income.safetensors\n"
      "  espalier inspect runs/mnist --groups --layer fc1");
  return [flags] { run_inspect(*flags); };
}

}  // namespace espalier
