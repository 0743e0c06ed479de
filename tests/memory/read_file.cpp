// Reads one file as the program would, and does nothing else, for tests/memory.sh to see what that takes:
//
//   espalier_read_file READER FILE [SHAPE]       SHAPE: of samples, 1x28x28 if none is given
//
// Exit code 0 if the file was read, else the error's, with its line on standard error; on standard output the most
// memory that was resident, in KB. (What the system tells a parent also counts the memory of the parent.)
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "espalier/core/atomic_file.h"
#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/datasets/csv.h"
#include "espalier/datasets/idx.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/preprocessing.h"
#include "espalier/datasets/sample_files.h"
#include "espalier/datasets/table.h"
#include "espalier/datasets/text.h"
#include "espalier/experiment/config.h"
#include "espalier/experiment/trained_network.h"

namespace espalier {
namespace {

Shape shape_of(const std::string& text) {
  int extents[3] = {};
  const int rank = std::sscanf(text.c_str(), "%dx%dx%d", &extents[0], &extents[1], &extents[2]);
  return rank == 3 ? Shape{extents[0], extents[1], extents[2]} : Shape{extents[0]};
}

void read_preprocessing(const std::string& file) {
  constexpr std::uintmax_t limit_bytes = std::uintmax_t{1} << 30;  // as of a file beside a model
  const std::string text = read_file(file, limit_bytes);
  if (kind_of_preprocessing(text, file) == "table")
    preprocessing_from_json(text, file);
  else
    sample_rules_from_json(text, file);
}

using Read = std::function<void(const std::string& file, const Shape& shape)>;

const std::map<std::string, Read> readers{
    {"idx", [](const auto& file, const auto&) { read_idx(file, 3); }},
    {"labels", [](const auto& file, const auto&) { read_idx(file, 1); }},
    {"samples",
     [](const auto& file, const auto& shape) {
       constexpr Index classes = 10;
       read_samples(file, {.shape = shape}, classes);
     }},
    {"csv",
     [](const auto& file, const auto&) {
       CsvReader reader{std::filesystem::path(file)};
       while (reader.next()) continue;
     }},
    {"table", [](const auto& file, const auto&) { load_table(file, {}, {}); }},
    {"libsvm", [](const auto& file, const auto&) { load_libsvm(file, {}, {}); }},
    {"text", [](const auto& file, const auto&) { load_text(file); }},
    {"safetensors", [](const auto& file, const auto&) { load_safetensors(file); }},
    {"model", [](const auto& file, const auto&) { open_network(file); }},
    {"checkpoint", [](const auto& file, const auto&) { CheckpointFile{file}; }},
    {"config", [](const auto& file, const auto&) { settled(from_toml(file)); }},
    {"preprocessing", [](const auto& file, const auto&) { read_preprocessing(file); }}};

}  // namespace
}  // namespace espalier

namespace {

void print_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) std::printf("%ld\n", std::strtol(line.c_str() + 6, nullptr, 10));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace espalier;
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto reader = argc >= 3 ? readers.find(arguments[1]) : readers.end();
  if (reader == readers.end()) {
    std::fputs("espalier_read_file: expected READER FILE [SHAPE]\n", stderr);
    return exit_usage;
  }
  try {
    reader->second(arguments[2], shape_of(argc > 3 ? arguments[3] : "1x28x28"));
  } catch (const Error& error) {
    std::fputs((std::string(error.what()) + "\n").c_str(), stderr);
    print_peak();
    return error.code();
  }
  print_peak();
  return exit_done;
}
