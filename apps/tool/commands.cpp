#include "apps/tool/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/bench/bench.h"
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

int run_command_line(int argc, char** argv) {
  CLI::App app("Espalier: train, prune and measure sparse networks on the processor.", "espalier");
  app.set_version_flag("--version", fmt::format("espalier {}", version()));
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad, missing or unwritable file,\n"
      "4 interrupted (train --resume goes on), 5 training diverged.");
  CLI::App* train = app.add_subcommand("train", "Train a network dense and pruned, compare, leave a run folder");
  CLI::App* predict = app.add_subcommand("predict", "What a trained network says of other rows or samples");
  CLI::App* evaluate = app.add_subcommand("evaluate", "How good a trained network is on other data");
  CLI::App* exported = app.add_subcommand("export", "A trained network's weights for other programs");
  CLI::App* shrunk = app.add_subcommand("shrink", "A trained network without its dead units, as a smaller file");
  CLI::App* inspect = app.add_subcommand("inspect", "What is in a trained network");
  CLI::App* report = app.add_subcommand("report", "The page that shows a run, or compares several");
  CLI::App* bench = app.add_subcommand("bench", "Time a dense and a sparse network side by side");
  CLI::App* kernels = bench->add_subcommand("kernels", "Time the kernels against the machine's limits");
  CLI::App* convolution = bench->add_subcommand("convolution", "The same for a convolution, from naive to threads");
  CLI::App* updates = bench->add_subcommand("pruning", "Time mask updates beside the training steps between them");
  CLI::App* tables = bench->add_subcommand("csv", "Time reading a table");
  CLI::App* forms = bench->add_subcommand("forms", "Count the bytes of a matrix in each form of a model's file");
  CLI::App* methods = app.add_subcommand("methods", "List the pruning methods");
  CLI::App* method = app.add_subcommand("explain", "What a pruning method computes, costs and is not good at");
  CLI::App* reproduce = app.add_subcommand("reproduce", "Run a table of experiments, as far as it is not finished");
  CLI::App* recipes = app.add_subcommand("recipes", "List the recipes: configurations for kinds of data");
  CLI::App* recommend = app.add_subcommand("recommend", "Race the recipes that fit some data, and pick one");
  // Nested commands before those they stand in: the first that was named runs.
  const std::vector<std::pair<CLI::App*, Command>> commands{{train, add_train(*train)},
                                                            {predict, add_predict(*predict)},
                                                            {evaluate, add_evaluate(*evaluate)},
                                                            {exported, add_export(*exported)},
                                                            {shrunk, add_shrink(*shrunk)},
                                                            {inspect, add_inspect(*inspect)},
                                                            {report, add_report(*report)},
                                                            {kernels, add_bench_kernels(*kernels)},
                                                            {convolution, add_bench_convolution(*convolution)},
                                                            {updates, add_bench_pruning(*updates)},
                                                            {tables, add_bench_csv(*tables)},
                                                            {forms, add_bench_forms(*forms)},
                                                            {bench, add_bench(*bench)},
                                                            {methods, add_methods(*methods)},
                                                            {method, add_explain(*method)},
                                                            {reproduce, add_reproduce(*reproduce)},
                                                            {recipes, add_recipes(*recipes)},
                                                            {recommend, add_recommend(*recommend)}};
  const auto named = [&] {
    return std::ranges::find_if(commands, [](const auto& candidate) { return candidate.first->parsed(); });
  };
  try {
    app.parse(argc, argv);
    named()->second();
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const UsageError& error) {
    throw named() == commands.end() ? error : in_flags(error, *named()->first);
  }
  return exit_done;
}

}  // namespace

int run_tool(int argc, char** argv) {
  return run_guarded([&] { return run_command_line(argc, argv); });
}

}  // namespace espalier
