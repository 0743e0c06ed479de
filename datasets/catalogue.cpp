#include "espalier/datasets/catalogue.h"

#include <algorithm>
#include <array>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/datasets/cifar.h"
#include "espalier/datasets/idx_set.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/locate.h"
#include "espalier/datasets/mnist.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/synthetic_text.h"
#include "espalier/datasets/utf8.h"

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
  std::string_view name, ending;
  DataParts (*read)(const Path& file, const LoadOptions& options);
};

constexpr std::array file_formats{FileFormat{"csv", ".csv", read_csv}, FileFormat{"csv", ".tsv", read_csv},
                                  FileFormat{"libsvm", ".svm", read_libsvm},
                                  FileFormat{"libsvm", ".libsvm", read_libsvm}, FileFormat{"text", ".txt", read_text}};

// "folder/Adult.CSV.gz" -> "Adult" and ".csv"
std::pair<std::string, std::string> stem_and_ending(const std::string& name) {
  Path path = Path(name).filename();
  if (in_small_letters(path.extension().string()) == ".gz") path = path.stem();
  return {path.stem().string(), in_small_letters(path.extension().string())};
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const FileFormat& format : file_formats)
    if (names.empty() || names.back() != format.name) names.emplace_back(format.name);
  return names;
}

std::vector<std::string> auto_and_formats() {
  std::vector<std::string> names = format_names();
  names.insert(names.begin(), "auto");
  return names;
}

// The format that is given, or the one of the ending; null: the name is not that of a file.
const FileFormat* format_of(const std::string& name, const std::string& given) {
  const auto find = [](const std::string& text, std::string_view FileFormat::*member) {
    const auto found = std::ranges::find(file_formats, text, member);
    return found == file_formats.end() ? nullptr : &*found;
  };
  if (given == "auto") return source_of(name) ? nullptr : find(stem_and_ending(name).second, &FileFormat::ending);
  const FileFormat* format = find(given, &FileFormat::name);
  if (format == nullptr) throw not_among(auto_and_formats(), "format", given);
  return format;
}

// Files are read from the beginning several times. What is missing is for the reader to say.
void require_no_pipe(const Path& file) {
  std::error_code none;
  const auto status = std::filesystem::status(file, none);
  if (std::filesystem::exists(status) && std::filesystem::is_other(status))
    throw FileError(fmt::format("{}: expected a file that can be read more than once, found a pipe, device or socket",
                                file.string()));
}

// A file: where its name says, or else in a folder where data are looked for. Nowhere: the name, for the error.
Path found_file(const Path& file, const std::string& folder) {
  std::error_code ignored;
  if (file.empty() || std::filesystem::exists(file, ignored)) return file;
  const Path found = find_data(
      folder, file.string(), [&](const Path& candidate) { return std::filesystem::exists(candidate / file, ignored); });
  return found.empty() ? file : found / file;
}

// The same for a folder, or for what only the folder above is there of.
Path found_folder(const Path& folder, const std::string& data_dir) {
  std::vector<Path> roots = data_roots(data_dir);
  roots.insert(roots.begin(), Path());
  for (const Path& part : {folder, folder.parent_path()})
    for (const Path& root : roots) {
      std::error_code ignored;
      if (!part.empty() && std::filesystem::exists(root / part, ignored)) return root / folder;
    }
  return folder;
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

// idx:FOLDER, idx:FOLDER,turned or idx:FOLDER,as-stored
DataSource idx_folders() {
  return {.name = "idx:",
          .line = "any set in MNIST's format, from any folder: Fashion-MNIST, EMNIST, your own",
          .title = "images in MNIST's format",
          .read = [](const Path& argument, const LoadOptions& options) {
            std::string folder = argument.string();
            Turned turned = Turned::by_name;
            const auto take = [&](std::string_view suffix, Turned choice) {
              if (!folder.ends_with(suffix)) return;
              folder.resize(folder.size() - suffix.size());
              turned = choice;
            };
            take(",turned", Turned::yes);
            take(",as-stored", Turned::no);
            require(!folder.empty(), "[data] expected a folder behind idx:, got none");
            return idx_set(found_folder(folder, options.folder), turned);
          }};
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
      {files(
           "mnist", "MNIST", "handwritten digits, 28 x 28, 10 classes",
           "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (also "
           "with .gz, and in sub-folders raw or MNIST/raw)",
           holds_mnist, mnist, "synthetic-digits"),
       files("cifar10", "CIFAR-10", "colour photographs, 32 x 32, 10 classes",
             "data_batch_1.bin to data_batch_5.bin and test_batch.bin, the binary version (also in a sub-folder "
             "cifar-10-batches-bin)",
             holds_cifar10, cifar10, "synthetic-images"),
       files("cifar100", "CIFAR-100", "colour photographs, 32 x 32, 100 classes",
             "train.bin and test.bin, the binary version (also in a sub-folder cifar-100-binary)", holds_cifar100,
             cifar100, "synthetic-images"),
       idx_folders(),
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

const DataSource* source_of(const std::string& name) {
  for (const DataSource& source : data_sources().entries())
    if (source.takes_folder() ? name.starts_with(source.name) : name == source.name) return &source;
  return nullptr;
}

bool names_file(const std::string& name, const std::string& format) {
  return format_of(name, format) != nullptr;
}

bool names_libsvm(const std::string& name, const std::string& format) {
  const FileFormat* found = format_of(name, format);
  return found != nullptr && found->read == read_libsvm;
}

bool names_table(const std::string& name, const std::string& format) {
  if (const FileFormat* found = format_of(name, format)) return found->read != read_text;
  const DataSource* source = source_of(name);
  return source != nullptr && source->is_table;
}

bool knows_data(const std::string& name, const std::string& format) {
  return names_file(name, format) || source_of(name) != nullptr;
}

std::string data_help() {
  std::string text;
  for (const DataSource& source : data_sources().entries()) text += source.form() + ", ";
  std::vector<std::string> endings;
  for (const FileFormat& format : file_formats) endings.emplace_back(format.ending);
  return fmt::format("{}or a file that ends in {} (or .gz), or another file with the format {}", text, listed(endings),
                     listed(format_names()));
}

std::string format_help() {
  return listed(auto_and_formats());
}

UsageError unknown_data(const std::string& name, const std::string& beside) {
  const Path path(name);
  std::vector<std::string> known = data_sources().all_names();
  if (path.has_extension())  // people.cvs
    for (const FileFormat& format : file_formats) known.push_back(Path(path).replace_extension(format.ending).string());
  std::string guess = did_you_mean(name, known);
  if (path.has_parent_path() && source_of(path.filename().string()))  // data/mnist
    guess = fmt::format("; did you mean {} in the folder {}?", path.filename().string(), path.parent_path().string());
  return UsageError(fmt::format("[data] expected {}{}, got \"{}\"{}", beside, data_help(), name, guess));
}

std::filesystem::path folder_of(const DataSource& source, const std::string& folder) {
  return source.from_files() ? find_data(folder, source.name, source.holds, source.files) : Path();
}

DataParts load(const std::string& name, const LoadOptions& options) {
  if (const FileFormat* format = format_of(name, options.format)) {
    LoadOptions found = options;
    found.test_file = found_file(options.test_file, options.folder);
    const Path file = found_file(name, options.folder);
    for (const Path& read : {file, found.test_file}) require_no_pipe(read);
    DataParts parts = format->read(file, found);
    parts.name = stem_and_ending(name).first;
    return parts;
  }
  const DataSource* source = source_of(name);
  if (source == nullptr) throw unknown_data(name);
  require(options.test_file.empty(), "[data] test file: expected none for {}, which is not a file, got {}", name,
          options.test_file.string());
  const Path folder =
      source->takes_folder() ? Path(name.substr(source->name.size())) : folder_of(*source, options.folder);
  if (source->from_files() && folder.empty()) {
    std::vector<std::string> tried;
    for (const Path& path : data_folders(options.folder, name)) tried.push_back(path.string());
    throw FileError(fmt::format("{}: expected {} in {}, found none of them{}", name, source->files, listed(tried),
                                source->substitute.empty() ? "" : "; " + source->substitute + " does without"));
  }
  DataParts parts = source->read(folder, options);
  if (!source->takes_folder()) parts.name = name;
  parts = hold_out(std::move(parts), options.validation, options.seed);
  return options.standardise ? standardised(std::move(parts)) : parts;
}

}  // namespace espalier
