#include "espalier/datasets/catalogue.h"

#include <algorithm>
#include <array>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/datasets/cifar.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/locate.h"
#include "espalier/datasets/mnist.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/synthetic_text.h"

namespace espalier {
namespace {

using Path = std::filesystem::path;

// --- files, by their ending ----------------------------------------------------------------------------------------

TableOptions table_options(const LoadOptions& options) {
  TableOptions table = options.table;
  table.validation = options.validation;
  table.seed = options.seed;
  return table;
}

TextOptions text_options(const LoadOptions& options) {
  TextOptions text = options.text;
  text.validation = options.validation;
  return text;
}

DataParts read_csv(const Path& file, const LoadOptions& options) {
  return load_table(file, options.test_file, table_options(options));
}

DataParts read_libsvm(const Path& file, const LoadOptions& options) {
  return load_libsvm(file, options.test_file, table_options(options));
}

DataParts read_text(const Path& file, const LoadOptions& options) {
  require(options.test_file.empty(),
          "[data] test file: expected none for a text, whose last tenth is for testing, got {}",
          options.test_file.string());
  return load_text(file, text_options(options));
}

struct FileFormat {
  std::string_view ending;
  DataParts (*read)(const Path& file, const LoadOptions& options);
};

constexpr std::array file_formats{FileFormat{".csv", read_csv}, FileFormat{".tsv", read_csv},
                                  FileFormat{".svm", read_libsvm}, FileFormat{".libsvm", read_libsvm},
                                  FileFormat{".txt", read_text}};

// "folder/adult.csv.gz" -> "adult" and ".csv"
std::pair<std::string, std::string> stem_and_ending(const std::string& name) {
  Path path = Path(name).filename();
  if (path.extension() == ".gz") path = path.stem();
  return {path.stem().string(), path.extension().string()};
}

const FileFormat* format_of(const std::string& name) {
  const std::string ending = stem_and_ending(name).second;
  const auto found = std::ranges::find(file_formats, ending, &FileFormat::ending);
  return found == file_formats.end() ? nullptr : &*found;
}

// A file: where its name says, or else in a folder where data are looked for. Nowhere: the name, for the error.
Path found_file(const Path& file, const std::string& folder) {
  std::error_code ignored;
  if (file.empty() || std::filesystem::exists(file, ignored)) return file;
  const Path found = find_data(
      folder, file.string(), [&](const Path& candidate) { return std::filesystem::exists(candidate / file, ignored); });
  return found.empty() ? file : found / file;
}

// --- sources, by their name ----------------------------------------------------------------------------------------

DataSource files(const std::string& name, const std::string& title, const std::string& line, const std::string& which,
                 bool (*holds)(const Path&), DataParts (*read)(const Path&), const std::string& substitute) {
  return {.name = name,
          .line = line,
          .title = title,
          .read = [read](const Path& folder, const LoadOptions&) { return read(folder); },
          .files = which,
          .holds = holds,
          .substitute = substitute};
}

DataSource drawing(const std::string& name, const std::string& title, const std::string& line, DataParts (*draw)()) {
  return {
      .name = name, .line = line, .title = title, .read = [draw](const Path&, const LoadOptions&) { return draw(); }};
}

DataSource generated_table(const std::string& name, const std::string& line, const SyntheticTable& table) {
  return {.name = name,
          .line = line,
          .title = "a generated table",
          .read =
              [name, table](const Path&, const LoadOptions& options) {
                DataParts parts = load_table_text(name, synthetic_table_csv(table), table_options(options));
                parts.provenance = "a generated table, of which 10 of 40 columns bear on the target";
                return parts;
              },
          .is_table = true};
}

DataSource generated_text() {
  return {.name = "synthetic-text",
          .line = "sentences of a small grammar, the next character to be predicted",
          .title = "generated text",
          .read = [](const Path&, const LoadOptions& options) {
            DataParts parts = load_text_string("synthetic-text", synthetic_text(), text_options(options));
            parts.provenance = "text written by a program, in sentences of a small grammar";
            return parts;
          }};
}

}  // namespace

Catalogue<DataSource>& data_sources() {
  static Catalogue<DataSource> sources(
      "data",
      {files("mnist", "MNIST", "handwritten digits, 28 x 28, 10 classes",
             "train-images-idx3-ubyte[.gz] and its three companions", holds_mnist, mnist, "synthetic-digits"),
       files("cifar10", "CIFAR-10", "colour photographs, 32 x 32, 10 classes",
             "data_batch_1.bin to data_batch_5.bin and test_batch.bin", holds_cifar10, cifar10, "synthetic-images"),
       files("cifar100", "CIFAR-100", "colour photographs, 32 x 32, 100 classes", "train.bin and test.bin",
             holds_cifar100, cifar100, "synthetic-images"),
       drawing("synthetic-digits", "generated digits", "digits drawn by a program, in MNIST's shape",
               [] { return synthetic_digits(); }),
       drawing("synthetic-images", "generated images", "figures and textures drawn by a program, in CIFAR-10's shape",
               [] { return synthetic_images(); }),
       drawing("synthetic-signals", "generated signals", "signals of three sensors, 64 steps, 8 classes",
               [] { return synthetic_signals(); }),
       generated_text(), generated_table("synthetic-table", "a table of 40 columns of which 10 matter, 2 classes", {}),
       generated_table("synthetic-table-regression", "the same with a number to predict", {.regression = true})});
  return sources;
}

bool names_file(const std::string& name) {
  return format_of(name) != nullptr;
}

bool names_libsvm(const std::string& name) {
  const FileFormat* format = format_of(name);
  return format != nullptr && format->read == read_libsvm;
}

bool names_table(const std::string& name) {
  if (const FileFormat* format = format_of(name)) return format->read != read_text;
  const DataSource* source = data_sources().find(name);
  return source != nullptr && source->is_table;
}

bool knows_data(const std::string& name) {
  return names_file(name) || data_sources().find(name) != nullptr;
}

std::string data_help() {
  std::string text;
  for (const DataSource& source : data_sources().entries()) text += source.name + ", ";
  std::vector<std::string> endings;
  for (const FileFormat& format : file_formats) endings.emplace_back(format.ending);
  return text + "or a file that ends in " + listed(endings) + " (or .gz)";
}

std::filesystem::path folder_of(const DataSource& source, const std::string& folder) {
  return source.from_files() ? find_data(folder, source.name, source.holds) : Path();
}

DataParts load(const std::string& name, const LoadOptions& options) {
  if (const FileFormat* format = format_of(name)) {
    LoadOptions found = options;
    found.test_file = found_file(options.test_file, options.folder);
    DataParts parts = format->read(found_file(name, options.folder), found);
    parts.name = stem_and_ending(name).first;
    return parts;
  }
  const DataSource* source = data_sources().find(name);
  require(source != nullptr, "[data] expected {}, got \"{}\"", data_help(), name);
  require(options.test_file.empty(), "[data] test file: expected none for {}, which is not a file, got {}", name,
          options.test_file.string());
  const Path folder = folder_of(*source, options.folder);
  if (source->from_files() && folder.empty())
    throw FileError(fmt::format("{}: expected {} in $ESPALIER_DATA, in ./data or in the folder given, found none{}",
                                name, source->files,
                                source->substitute.empty() ? "" : "; " + source->substitute + " does without"));
  DataParts parts = source->read(folder, options);
  parts.name = name;
  return standardised(hold_out(std::move(parts), options.validation, options.seed));
}

}  // namespace espalier
