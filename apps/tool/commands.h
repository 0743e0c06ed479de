// The tool's commands. Each adds its flags to a subcommand and returns what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "apps/tool/run_guarded.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/recommend.h"

namespace espalier {

using Command = std::function<void()>;

// Which data, and how they are read: the same flags wherever there are data.
constexpr const char *data_group = "Data", *table_group = "Data: tables";
void add_data_flags(CLI::App& app, RunConfig& config);
// --header, --delimiter, --decimal, --charset, --skip-bad-rows: what a table's file is written in.
void add_csv_flags(CLI::App& app, CsvOptions& options);
// Names apart by commas, quoted as in CSV where they hold one themselves.
std::vector<std::string> names_in(const std::vector<std::string>& texts);
// A word as a shell takes it: in quotes if need be.
std::string in_a_shell(const std::string& word);
// A note about data as people see it: the options in brackets at its end, which change a guess, as this command's
// flags.
std::string in_flags(const std::string& note, const CLI::App& command);
// What the flags say, on top of `base`: each is set once more. bound: the configuration that they set.
RunConfig with_flags(CLI::App& app, RunConfig& bound, RunConfig base);

// --budget and --recipes of a race.
void add_race_flags(CLI::App& app, RecommendOptions& options);

Command add_train(CLI::App& app);
Command add_sweep(CLI::App& app);
Command add_compare(CLI::App& app);
Command add_predict(CLI::App& app);
Command add_evaluate(CLI::App& app);
Command add_export(CLI::App& app);
Command add_shrink(CLI::App& app);
Command add_sensitivity(CLI::App& app);
Command add_report(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_trace(CLI::App& app);
Command add_completion(CLI::App& app);
Command add_methods(CLI::App& app);
Command add_explain(CLI::App& app);
Command add_reproduce(CLI::App& app);
Command add_recipes(CLI::App& app);
Command add_recommend(CLI::App& app);

// Runs a whole command line, guarded (run_guarded.h); returns the exit code.
int run_tool(int argc, char** argv);

}  // namespace espalier
