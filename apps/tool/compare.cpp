// espalier compare: the table of runs that exist.
#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "apps/tool/train.h"
#include "espalier/core/atomic_file.h"
#include "espalier/experiment/comparison.h"

namespace espalier {

void add_comparison_flags(CLI::App& app, ComparisonFiles& files) {
  app.option_defaults()->group("The table, as a file as well");
  app.add_option("--csv", files.csv, "For programs: mean, deviation and number of every figure")->check(a_path());
  app.add_option("--markdown", files.markdown, "For a page of Markdown")->check(a_path());
  app.add_option("--svg", files.svg, "As a picture: a curve for each method")->check(a_path());
  app.add_option("--json", files.json, "For programs, with what every seed came to")->check(a_path());
  app.option_defaults()->group("Options");
}

std::string print_comparison(const std::vector<std::filesystem::path>& runs, const ComparisonFiles& files) {
  const Comparison comparison = comparison_of(compared_runs(runs));
  std::string table = comparison_text(comparison);
  fmt::print("{}", table);
  const auto write = [](const std::string& file, const std::string& text) {
    if (!file.empty()) write_file_atomically(file, text);
  };
  write(files.csv, comparison_csv(comparison));
  write(files.markdown, comparison_markdown(comparison));
  write(files.svg, comparison_svg(comparison));
  write(files.json, comparison_json(comparison).dump(2) + "\n");
  return table;
}

Command add_compare(CLI::App& app) {
  struct CompareFlags {
    std::vector<std::string> runs;
    ComparisonFiles files;
  };
  auto flags = std::make_shared<CompareFlags>();
  app.add_option("runs", flags->runs, "Folders of finished runs, or of sweeps")->required();
  add_comparison_flags(app, flags->files);
  app.footer(
      "Examples:\n"
      "  espalier compare runs/first runs/second\n"
      "  espalier compare runs/mnist-lenet-300-100-sweep --svg sweep.svg --markdown sweep.md");
  return [flags] { print_comparison({flags->runs.begin(), flags->runs.end()}, flags->files); };
}

}  // namespace espalier
