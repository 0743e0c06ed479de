// espalier bench csv: how fast one core reads a table, and how much memory that takes. Reading is one thread; its
// processor time is what counts, so that others on the machine do not, and the time that passed is printed beside.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "apps/bench/bench.h"
#include "espalier/core/error.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/table.h"
#include "espalier/experiment/result.h"

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
    for (SyntheticTable part{.rows = 5000}; written < bytes; part.first += part.rows) {
      std::string text = synthetic_table_csv(part);
      if (part.first > 0) text.erase(0, text.find('\n') + 1);  // the header
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

struct Seconds {
  double processor = 0, passed = 0;
};

template <typename Work>
Seconds seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t start_clock = std::clock();
  work();
  return {static_cast<double>(std::clock() - start_clock) / CLOCKS_PER_SEC,
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

void run_bench_csv(const CsvFlags& f) {
  std::optional<TemporaryTable> generated;
  if (f.file.empty()) generated.emplace(bytes_of(f.size));
  const std::filesystem::path path = generated ? generated->path() : std::filesystem::path(f.file);
  Index rows = 0;
  std::size_t columns = 0;
  const Seconds tokenize = seconds_of([&] {
    CsvReader reader(path);
    columns = reader.columns().size();
    while (reader.next()) ++rows;
  });
  TableParts parts;
  const Seconds load = seconds_of([&] { parts = load_table(path, {}, {.target = f.target}); });
  const auto megabytes = static_cast<double>(std::filesystem::file_size(path)) * 1e-6;
  const Json result = {{"megabytes", megabytes},
                       {"rows", rows},
                       {"columns", columns},
                       {"features", parts.preprocessing->features()},
                       {"tokenize_megabytes_per_second", megabytes / tokenize.processor},
                       {"load_megabytes_per_second", megabytes / load.processor},
                       {"tokenize_seconds", tokenize.passed},
                       {"load_seconds", load.passed},
                       {"peak_resident_bytes", peak_resident_bytes()},
                       {"processor", processor_name()}};
  if (f.json) {
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{:.0f} MB, {} rows of {} columns, one core of {}\n\n", megabytes, rows, columns, processor_name());
  fmt::print("{:<40}{:>12}{:>12}{:>12}\n", "", "processor", "per core", "passed");
  const auto row = [&](const char* name, const Seconds& s) {
    fmt::print("{:<40}{:>10.2f} s{:>7.0f} MB/s{:>10.2f} s\n", name, s.processor, megabytes / s.processor, s.passed);
  };
  row("rows into fields", tokenize);
  row("profile, encode, split and fit", load);  // reads the file twice
  fmt::print("{:<40}{:>9.0f} MB\n", "peak resident set", static_cast<double>(peak_resident_bytes()) * 1e-6);
}

}  // namespace

std::function<void()> add_bench_csv(CLI::App& bench) {
  auto flags = std::make_shared<CsvFlags>();
  bench.add_option("file", flags->file, "A table (default: a generated one, of --size)");
  bench.add_option("--size", flags->size, "Of the generated table, such as 256MB or 1GB")->capture_default_str();
  bench.add_option("--target", flags->target, "The target's column (default: the last)");
  bench.add_flag("--json", flags->json, "Print JSON");
  return [flags] { run_bench_csv(*flags); };
}

}  // namespace espalier
