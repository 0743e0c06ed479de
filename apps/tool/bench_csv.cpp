// espalier bench csv: how fast one core reads a table, and how much memory that takes.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "apps/tool/commands.h"
#include "apps/tool/result.h"
#include "core/error.h"
#include "datasets/synthetic_table.h"
#include "datasets/table.h"

namespace espalier {
namespace {

struct CsvFlags {
  std::string file, size = "256MB", target;
  bool json = false;
};

// "256MB", "1GB", "500000" -> bytes
std::uintmax_t bytes_of(const std::string& text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
  const double factor = unit.empty() ? 1 : unit == "KB" ? 1e3 : unit == "MB" ? 1e6 : unit == "GB" ? 1e9 : 0;
  require(error == std::errc() && factor > 0 && number * factor >= 1e4 && number * factor <= 1e12,
          "[--size] expected 10KB to 1000GB, got \"{}\"", text);
  return static_cast<std::uintmax_t>(number * factor);
}

// A generated table of at least that size, gone with the object.
class TemporaryTable {
 public:
  explicit TemporaryTable(std::uintmax_t bytes)
      : path_(std::filesystem::temp_directory_path() / fmt::format("espalier-bench-{}.csv", ::getpid())) {
    std::ofstream file(path_, std::ios::binary);
    std::uintmax_t written = 0;
    for (SyntheticTable part{.rows = 5000}; written < bytes; ++part.seed) {
      std::string text = synthetic_table_csv(part);
      if (part.seed > 1) text.erase(0, text.find('\n') + 1);  // the columns' order is the seed's: no matter here
      file << text;
      written += text.size();
    }
    file.close();
    if (!file) {
      std::error_code ignored;
      std::filesystem::remove(path_, ignored);
      throw FileError(fmt::format("{}: cannot be written (disk full?)", path_.string()));
    }
  }
  ~TemporaryTable() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryTable(const TemporaryTable&) = delete;
  TemporaryTable& operator=(const TemporaryTable&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <typename Work>
double seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void run_bench_csv(const CsvFlags& f) {
  std::optional<TemporaryTable> generated;
  if (f.file.empty()) generated.emplace(bytes_of(f.size));
  const std::filesystem::path path = generated ? generated->path() : std::filesystem::path(f.file);
  Index rows = 0;
  std::size_t columns = 0;
  const double tokenize = seconds_of([&] {
    CsvReader reader(path);
    columns = reader.columns().size();
    while (reader.next()) ++rows;
  });
  TableParts parts;
  const double load = seconds_of([&] { parts = load_table(path, {}, {.target = f.target}); });
  const auto megabytes = static_cast<double>(std::filesystem::file_size(path)) * 1e-6;
  const Json result = {{"megabytes", megabytes},
                       {"rows", rows},
                       {"columns", columns},
                       {"features", parts.preprocessing->features()},
                       {"tokenize_megabytes_per_second", megabytes / tokenize},
                       {"load_megabytes_per_second", megabytes / load},
                       {"peak_resident_bytes", peak_resident_bytes()},
                       {"processor", processor_name()}};
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{:.0f} MB, {} rows of {} columns, one core of {}\n\n", megabytes, rows, columns, processor_name());
  fmt::print("rows into fields                         {:>8.2f} s {:>8.0f} MB/s\n", tokenize, megabytes / tokenize);
  fmt::print("profile, encode, split and fit           {:>8.2f} s {:>8.0f} MB/s   (the file is read twice)\n", load,
             megabytes / load);
  fmt::print("peak resident set                        {:>8.0f} MB\n",
             static_cast<double>(peak_resident_bytes()) * 1e-6);
}

}  // namespace

Command add_bench_csv(CLI::App& bench) {
  auto flags = std::make_shared<CsvFlags>();
  bench.add_option("file", flags->file, "A table (default: a generated one, of --size)");
  bench.add_option("--size", flags->size, "Of the generated table, such as 256MB or 1GB")->capture_default_str();
  bench.add_option("--target", flags->target, "The target's column (default: the last)");
  bench.add_flag("--json", flags->json, "Print JSON");
  return [flags] { run_bench_csv(*flags); };
}

}  // namespace espalier
