#include "apps/tool/commands.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>

#include "apps/bench/bench.h"
#include "apps/tool/command_line_error.h"
#include "espalier/core/error.h"
#include "espalier/core/version.h"

namespace espalier {

namespace {

// The libraries name options: "[lanes] expected ...", "[loss] huber_delta: expected ...". Where the command has a flag
// of that name, people see the flag.
UsageError in_flags(const UsageError& error, const CLI::App& command) {
  const std::string text = error.what();
  const std::size_t end = text.find("] "), colon = text.find(": ");
  if (!text.starts_with('[') || end == std::string::npos) return error;
  const auto flagged = [&](std::string option, const std::string& rest) -> std::optional<UsageError> {
    for (char& c : option) c = c == '_' || c == ' ' ? '-' : c;
    if (!command.get_option_no_throw("--" + option)) return {};
    return UsageError(fmt::format("[--{}] {}", option, rest));
  };
  if (colon != std::string::npos && colon > end)
    if (const auto inner = flagged(text.substr(end + 2, colon - end - 2), text.substr(colon + 2))) return *inner;
  return flagged(text.substr(1, end - 1), text.substr(end + 2)).value_or(error);
}

// Descriptions in lines of at most 100 letters, each word whole.
class Wrapping final : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    constexpr std::size_t line_width = 100;
    const std::size_t room = line_width - get_column_width();
    std::string text;
    std::size_t used = 0;
    std::istringstream words(option->get_description());
    for (std::string word; words >> word; used += word.size()) {
      if (used > 0) text += used + 1 + word.size() > room ? "\n" : " ";
      used = used > 0 && text.back() == ' ' ? used + 1 : 0;
      text += word;
    }
    return text;
  }
};

constexpr const char *train_group = "Train", *use_group = "Use what was trained", *look_group = "Look and learn",
                     *measure_group = "Measure", *shell_group = "Shell";

struct CommandEntry {
  const char *name, *line, *group;
  Command (*add)(CLI::App&);
};
constexpr CommandEntry command_entries[] = {
    {"train", "Train a network dense and pruned, compare, leave a run folder", train_group, add_train},
    {"sweep", "Train methods x densities x structures x seeds side by side, and compare", train_group, add_sweep},
    {"recommend", "Race the recipes that fit some data, and pick one", train_group, add_recommend},
    {"reproduce", "Run a table of experiments, as far as it is not finished", train_group, add_reproduce},
    {"predict", "What a trained network says of other rows or samples", use_group, add_predict},
    {"evaluate", "How good a trained network is on other data", use_group, add_evaluate},
    {"export", "A trained network's weights for other programs", use_group, add_export},
    {"shrink", "A trained network without its dead units, as a smaller file", use_group, add_shrink},
    {"report", "The page that shows a run, or compares several", look_group, add_report},
    {"compare", "The table of several runs: what each is good at, and what it costs", look_group, add_compare},
    {"inspect", "What a trained network looks like: layers, weights, first layer, curves", look_group, add_inspect},
    {"sensitivity", "What a trained network loses when one layer alone is pruned", look_group, add_sensitivity},
    {"trace", "One pruning step on a small net, every number of it", look_group, add_trace},
    {"methods", "List the pruning methods", look_group, add_methods},
    {"explain", "What a pruning method computes, costs and is not good at", look_group, add_explain},
    {"recipes", "List the recipes: configurations for kinds of data", look_group, add_recipes},
    {"bench", "Time a dense and a sparse network side by side", measure_group, add_bench},
    {"completion", "Make the Tab key of a shell know commands, flags and names", shell_group, add_completion}};
constexpr CommandEntry bench_entries[] = {
    {"kernels", "Time the kernels against the machine's limits", measure_group, add_bench_kernels},
    {"convolution", "The same for a convolution, from naive to threads", measure_group, add_bench_convolution},
    {"pruning", "Time mask updates beside the training steps between them", measure_group, add_bench_pruning},
    {"csv", "Time reading a table", measure_group, add_bench_csv},
    {"forms", "Count the bytes of a matrix in each form of a model's file", measure_group, add_bench_forms}};

using Commands = std::map<const CLI::App*, Command>;

void add_commands(CLI::App& app, std::span<const CommandEntry> entries, Commands& commands) {
  for (const CommandEntry& entry : entries) {
    CLI::App* command = app.add_subcommand(entry.name, entry.line)->group(entry.group);
    if (entry.add == add_bench) add_commands(*command, bench_entries, commands);
    commands[command] = entry.add(*command);
  }
}

int run_command_line(int argc, char** argv) {
  CLI::App app("Espalier: train, prune and measure sparse networks on the processor.", "espalier");
  app.set_version_flag("--version", fmt::format("espalier {}", version()));
  app.formatter(std::make_shared<Wrapping>());
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  espalier train --data mnist --density 0.05        dense and pruned, compared, in runs/\n"
      "  espalier train --data people.csv --target income --recipe auto\n"
      "  espalier inspect runs/mnist-lenet-300-100-magnitude\n"
      "  espalier train --help                             all flags of a command\n\n"
      "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad, missing or unwritable file,\n"
      "4 interrupted (train --resume goes on), 5 training diverged.");
  Commands commands;
  add_commands(app, command_entries, commands);
  try {
    if (const std::optional<int> code = parse(app, argc, argv)) return *code;
    commands.at (&named_command(app))();
  } catch (const UsageError& error) {
    throw in_flags(error, named_command(app));
  }
  return exit_done;
}

}  // namespace

int run_tool(int argc, char** argv) {
  return run_guarded([&] { return run_command_line(argc, argv); });
}

}  // namespace espalier
