#include "apps/tool/data.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/datasets/cifar.h"
#include "espalier/datasets/libsvm.h"
#include "espalier/datasets/locate.h"
#include "espalier/datasets/mnist.h"
#include "espalier/datasets/synthetic_digits.h"
#include "espalier/datasets/synthetic_images.h"
#include "espalier/datasets/synthetic_signals.h"
#include "espalier/datasets/synthetic_table.h"
#include "espalier/datasets/table.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

// Data that lies in files, and what is generated in its place.
struct Source {
  std::string_view name, title, files;
  bool (*holds)(const std::filesystem::path& folder);
  TrainTest (*read)(const std::filesystem::path& folder);
  std::string_view substitute;
};

constexpr std::array sources{
    Source{"mnist", "MNIST", "train-images-idx3-ubyte[.gz] and its three companions", holds_mnist, mnist,
           "synthetic-digits"},
    Source{"cifar10", "CIFAR-10", "data_batch_1.bin to data_batch_5.bin and test_batch.bin", holds_cifar10, cifar10,
           "synthetic-images"},
    Source{"cifar100", "CIFAR-100", "train.bin and test.bin", holds_cifar100, cifar100, "synthetic-images"}};

struct Generator {
  std::string_view name, what;
  TrainTest (*draw)();
};

constexpr std::array generators{Generator{"synthetic-digits", "digits", [] { return synthetic_digits(); }},
                                Generator{"synthetic-images", "images", [] { return synthetic_images(); }},
                                Generator{"synthetic-signals", "signals", [] { return synthetic_signals(); }}};

// The one of that name, or null.
template <typename List>
auto find(const List& list, std::string_view name) {
  const auto found = std::ranges::find(list, name, [](const auto& entry) { return entry.name; });
  return found == list.end() ? nullptr : &*found;
}

// Data under the name it was found or made as.
struct Loaded {
  std::string name;
  TrainTest parts;
};

// What a model is trained on if nobody says.
std::string suits(const std::string& model) {
  const ModelProfile profile = model_profile(model);
  if (profile.sequences) return "synthetic-signals";
  return profile.images && profile.input[0] == 3 ? "cifar10" : "mnist";
}

Loaded load_parts(const RunConfig& config) {
  const bool choose = config.data == "auto";
  const std::string name = choose ? suits(config.model) : config.data;
  if (const Generator* generator = find(generators, name)) return {name, generator->draw()};
  require_known_data(name);
  const Source* source = find(sources, name);
  const std::filesystem::path folder = find_data(config.data_dir, name, source->holds);
  if (!folder.empty()) return {name, source->read(folder)};
  if (!choose)
    throw FileError(
        fmt::format("{}: expected {} in --data-dir, $ESPALIER_DATA or ./data, found none; the README says where to get "
                    "them, --data {} does without",
                    name, source->files, source->substitute));
  const Generator* generator = find(generators, source->substitute);
  fmt::print(stderr, "no {} files in $ESPALIER_DATA or ./data: using generated {} instead\n", source->title,
             generator->what);
  return {std::string(generator->name), generator->draw()};
}

constexpr std::string_view generated_table = "synthetic-table", generated_regression = "synthetic-table-regression";

// "folder/adult.csv.gz" -> "adult" and ".csv"
std::pair<std::string, std::string> stem_and_ending(const std::string& name) {
  std::filesystem::path path = std::filesystem::path(name).filename();
  if (path.extension() == ".gz") path = path.stem();
  return {path.stem().string(), path.extension().string()};
}

// A table's file: where its name says, or else in a folder where data are looked for. Nowhere: the name, for the error.
std::string table_file(const RunConfig& config, const std::string& file) {
  std::error_code ignored;
  if (file.empty() || std::filesystem::exists(file, ignored)) return file;
  const std::filesystem::path folder = find_data(config.data_dir, file, [&](const std::filesystem::path& candidate) {
    return std::filesystem::exists(candidate / file, ignored);
  });
  return folder.empty() ? file : (folder / file).string();
}

Data load_table_data(const RunConfig& config) {
  TableOptions options = config.table;
  options.validation = config.validation;
  options.seed = config.seed;
  const bool regression = config.data == generated_regression;
  TableParts parts;
  if (regression || config.data == generated_table) {
    require(config.test_data.empty(), "[--test-data] expected none for a generated table, got {}", config.test_data);
    parts = load_table_text(config.data, synthetic_table_csv({.regression = regression}), options);
    parts.provenance = "a generated table, of which 10 of 40 columns bear on the target";
  } else {
    const auto load = names_libsvm(config.data) ? load_libsvm : load_table;
    parts = load(table_file(config, config.data), table_file(config, config.test_data), options);
  }
  return {stem_and_ending(config.data).first,
          parts.train,
          parts.validation,
          parts.test,
          parts.provenance,
          parts.preprocessing,
          parts.notes};
}

}  // namespace

bool names_libsvm(const std::string& name) {
  const std::string ending = stem_and_ending(name).second;
  return ending == ".svm" || ending == ".libsvm";
}

bool names_table(const std::string& name) {
  const std::string ending = stem_and_ending(name).second;
  return name == generated_table || name == generated_regression || ending == ".csv" || ending == ".tsv" ||
         names_libsvm(name);
}

Data load_data(RunConfig& config) {
  if (names_table(config.data)) return load_table_data(config);
  const Loaded loaded = load_parts(config);
  const TrainTest& parts = loaded.parts;
  config.data = loaded.name;

  // A small set gives at most a tenth of itself for validation.
  const Index held_out = std::min(config.validation, parts.train->samples() / 10);
  const Split split_parts = split(parts.train, held_out, config.seed);
  const Moments m = moments(*split_parts.train);
  const auto standardised = [&](const DatasetPtr& set) -> DatasetPtr {
    return std::make_shared<Standardised>(set, m.mean, m.deviation);
  };
  return {loaded.name, standardised(split_parts.train), standardised(split_parts.validation), standardised(parts.test),
          parts.provenance};
}

void require_known_data(const std::string& name) {
  if (name == "auto" || names_table(name) || find(sources, name) != nullptr || find(generators, name) != nullptr)
    return;
  std::string known = "auto";
  for (const Source& source : sources) known += fmt::format(", {}", source.name);
  for (const Generator& generator : generators) known += fmt::format(", {}", generator.name);
  known += fmt::format(", {}, {}", generated_table, generated_regression);
  throw UsageError(fmt::format(
      "[--data] expected one of {}, or a file that ends in .csv, .tsv, .svm or .libsvm (or .gz), got \"{}\"", known,
      name));
}

Augmentation augmentation_named(const std::string& name) {
  constexpr Index pad = 4;  // as all the literature on CIFAR has it
  if (name == "none") return {};
  if (name == "flip") return {.flip = true};
  if (name == "crop-flip") return {.pad = pad, .flip = true};
  throw UsageError(fmt::format("[--augment] expected none, flip or crop-flip, got \"{}\"", name));
}

}  // namespace espalier
