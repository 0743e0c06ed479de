// espalier reproduce: run a table of experiments, as far as it is not finished, and print it.
#include "espalier/experiment/reproduce.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <memory>

#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {
namespace {

struct ReproduceFlags {
  std::string experiments = "pruning/reproduce.toml", only, write;
  ReproduceOptions options;
  std::uint64_t seeds = most_seeds;
  bool list = false, table_only = false;
};

void run_reproduce(const ReproduceFlags& f) {
  require(f.seeds >= 1 && f.seeds <= most_seeds, "[--seeds] expected 1 to {}, got {}", most_seeds, f.seeds);
  const std::vector<ReproduceRow> rows = read_experiments(f.experiments);
  const std::filesystem::path file = std::filesystem::path(f.experiments).parent_path() / "results.jsonl";
  ReproduceResults results = read_results(file);
  std::vector<const ReproduceRow*> wanted;
  for (const ReproduceRow& row : rows)
    if (f.only.empty() || fnmatch(f.only.c_str(), row.name.c_str(), 0) == 0 ||
        fnmatch(f.only.c_str(), row.label().c_str(), 0) == 0)
      wanted.push_back(&row);
  std::vector<std::string> names;
  for (const ReproduceRow& row : rows)
    if (std::ranges::count(names, row.name) == 0) names.push_back(row.name);
  require(!wanted.empty(), "[--only] expected the name of an experiment (--list shows them), got \"{}\"{}", f.only,
          did_you_mean(f.only, names));
  std::vector<Pending> pending;
  for (const ReproduceRow* row : wanted) {
    const std::size_t before = pending.size();
    const std::uint64_t seeds = std::min(row->seeds, f.seeds);
    for (std::uint64_t seed = 1; seed <= seeds; ++seed)
      if (!results.contains(row->key(seed))) pending.push_back({row, seed});
    if (f.list) fmt::print("{:<36}{:>3} of {} seeds done\n", row->label(), seeds - (pending.size() - before), seeds);
  }
  if (f.list) return;
  if (!f.table_only) run_pending(pending, f.options, file, results);
  const std::string table = reproduce_table(rows, results);
  if (f.write.empty())
    fmt::print("{}", table);
  else
    write_between_markers(f.write, std::filesystem::path(f.experiments).stem(), table);
}

}  // namespace

Command add_reproduce(CLI::App& app) {
  auto f = std::make_shared<ReproduceFlags>();
  app.add_option("--experiments", f->experiments, "What to run; results.jsonl beside it keeps what is finished")
      ->capture_default_str();
  app.add_option("--only", f->only, "Experiments of this name, such as 'rigl' or '*@0.05'");
  app.add_option("--seeds", f->seeds, "At most the first so many of each experiment")->check(counted());
  app.add_option("--threads", f->options.threads, "0: one per processor; never changes the result")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--data-dir", f->options.data_dir, "Where the data's files are (else $ESPALIER_DATA, else ./data)");
  app.add_option("--write", f->write,
                 "Put the table between the reproduce:begin and :end comments of this file; of several, between those "
                 "that say reproduce:begin NAME for NAME.toml");
  app.add_flag("--list", f->list, "List the experiments and how far they are; run nothing");
  app.add_flag("--table-only", f->table_only, "Run nothing");
  app.footer(
      "Examples, in the project's folder:\n"
      "  espalier reproduce --list\n"
      "  espalier reproduce --only 'rigl*' --seeds 1");
  return [f] { run_reproduce(*f); };
}

}  // namespace espalier
