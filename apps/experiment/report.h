// report.html: what came of a run, to be looked at. One file, which needs nothing besides, and asks no network.
//
//   result.json ─┐
//   metrics.jsonl├─►  one JSON  ─►  apps/report/page.html  ◄─  page.css, page.js, a library of charts
//   masks.jsonl  │    of data
//   model file  ─┘
//
// It is made of what is in the run's folder alone, so that there can be one of any run, however old; what the folder
// does not have is left out of the page. Names are data, and stay text whatever they are.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace espalier {

// By which a page of ours is known.
constexpr const char* report_mark = R"(<meta name="generator" content="Espalier">)";

// The finished runs that a folder holds: it is one, or those of a sweep stand in it. Throws FileError if there is none.
std::vector<std::filesystem::path> runs_in(const std::filesystem::path& folder);

// The page: of one run with all that is known of it, of several as a comparison. Throws FileError.
std::string report_of(const std::vector<std::filesystem::path>& runs);

// The page of a folder's run or runs, into that folder; returns where it is. Throws FileError.
std::filesystem::path write_report(const std::filesystem::path& folder);
// Throws FileError as well if something stands there that is no such page.
void write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& file);

}  // namespace espalier
