// espalier report: the page of a run, or of several side by side.
#include "espalier/experiment/report.h"

#include <fmt/format.h>

#include <filesystem>

#include "apps/tool/commands.h"

namespace espalier {
namespace {

struct ReportFlags {
  std::vector<std::string> runs;
  std::string out;
};

void run_report(const ReportFlags& f) {
  std::filesystem::path file = f.out;
  if (f.runs.size() == 1 && f.out.empty()) {
    file = write_report(f.runs.front());
  } else {
    std::vector<std::filesystem::path> runs;
    for (const std::string& folder : f.runs)
      for (auto& run : runs_in(folder)) runs.push_back(std::move(run));
    if (file.empty()) file = "report.html";
    write_report(runs, file);
  }
  fmt::print("{}\n", file.string());
}

}  // namespace

Command add_report(CLI::App& app) {
  auto flags = std::make_shared<ReportFlags>();
  app.add_option("runs", flags->runs, "Folders of finished runs; several are compared")->required();
  app.add_option("--out", flags->out, "The page (default: report.html in the folder or, of several, here)");
  return [flags] { run_report(*flags); };
}

}  // namespace espalier
