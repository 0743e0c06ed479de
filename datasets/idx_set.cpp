#include "espalier/datasets/idx_set.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <span>
#include <string_view>
#include <system_error>

#include "espalier/core/catalogue.h"
#include "espalier/core/error.h"
#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

using Path = std::filesystem::path;

constexpr std::array<std::string_view, 1> train_parts{"train"};
constexpr std::array<std::string_view, 2> test_parts{"t10k", "test"};
constexpr std::array<std::string_view, 4> places{"", "raw", "MNIST/raw", "gzip"};

// --- which files there are -------------------------------------------------------------------------------------------

struct Kind {
  std::string_view name;
  int rank;
};
constexpr Kind images{"images", 3}, labels{"labels", 1};

std::string file_name(std::string_view prefix, std::string_view part, Kind kind, char separator) {
  return fmt::format("{}{}{}-{}{}idx{}-ubyte", prefix, prefix.empty() ? "" : "-", part, kind.name, separator,
                     kind.rank);
}

// The first spelling that exists, or an empty path.
Path find(const Path& folder, std::string_view prefix, std::span<const std::string_view> parts, Kind kind) {
  for (const std::string_view part : parts)
    for (const char separator : {'-', '.'})
      for (const char* compression : {"", ".gz"}) {
        Path path = folder / (file_name(prefix, part, kind, separator) + compression);
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored)) return path;
      }
  return {};
}

// "emnist-letters-train-images-idx3-ubyte.gz" -> "emnist-letters". False: no name of such a file.
bool take_prefix(const std::string& file, std::string& prefix) {
  for (const std::string_view part : {"train", "t10k", "test"})
    for (const Kind kind : {images, labels})
      for (const char separator : {'-', '.'}) {
        const std::size_t at = file.find(file_name("", part, kind, separator));
        if (at == std::string::npos || (at > 0 && file[at - 1] != '-')) continue;
        prefix = file.substr(0, at > 0 ? at - 1 : 0);
        return true;
      }
  return false;
}

std::vector<IdxSet> idx_sets_in(const Path& folder) {
  std::set<std::string> prefixes;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (std::string prefix; take_prefix(entry.path().filename().string(), prefix)) prefixes.insert(prefix);
  std::vector<IdxSet> sets;
  for (const std::string& prefix : prefixes) {
    IdxSet set{.folder = folder,
               .prefix = prefix,
               .train = {find(folder, prefix, train_parts, images), find(folder, prefix, train_parts, labels)},
               .test = {find(folder, prefix, test_parts, images), find(folder, prefix, test_parts, labels)}};
    if (!(set.train.images.empty() && set.train.labels.empty() && set.test.images.empty() && set.test.labels.empty()))
      sets.push_back(std::move(set));
  }
  return sets;
}

// --- what is in them -------------------------------------------------------------------------------------------------

// parts: what may stand in the file's name.
void require_there(const Path& path, const IdxSet& set, std::span<const std::string_view> parts, Kind kind) {
  if (!path.empty()) return;
  std::vector<std::string> names;
  for (const std::string_view part : parts) names.push_back(file_name(set.prefix, part, kind, '-'));
  throw FileError(fmt::format("{}: expected {} (also with .gz, or with .idx for -idx), found no such file",
                              set.folder.string(), listed(names)));
}

IdxPart read_part(const IdxFiles& files) {
  IdxPart part{.images = {}, .labels = read_idx(files.labels, labels.rank), .files = files};
  part.images = read_idx(files.images, images.rank);
  if (part.images.extents[0] != part.labels.extents[0])
    throw FileError(fmt::format("{}: expected as many images as labels, found {} images, but {} labels in {}",
                                files.images.string(), part.images.extents[0], part.labels.extents[0],
                                files.labels.string()));
  return part;
}

// --- a set of its own ------------------------------------------------------------------------------------------------

// The set in or below the folder, of several the one without a prefix; or the one that the folder's last name is the
// prefix of.
IdxSet chosen_set(const Path& folder) {
  std::vector<IdxSet> sets = idx_sets_below(folder);
  if (sets.empty() && folder.has_parent_path()) {
    sets = idx_sets_below(folder.parent_path());
    std::erase_if(sets, [&](const IdxSet& set) { return set.prefix != folder.filename(); });
  }
  if (sets.empty())
    throw FileError(
        fmt::format("{}: expected train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
                    "t10k-labels-idx1-ubyte (also test- for t10k-, .idx for -idx, with .gz, or behind a prefix such as "
                    "emnist-letters-) in it or in its sub-folders raw, MNIST/raw or gzip, found none of them",
                    folder.string()));
  const Path home = sets.front().folder;
  std::erase_if(sets, [&](const IdxSet& set) { return set.folder != home; });
  std::vector<std::string> names;
  for (const IdxSet& set : sets) names.push_back(set.prefix);
  require(sets.size() == 1 || sets.front().prefix.empty(),
          "[data] {}: expected one set, or a name behind the folder, as in {}, got {} sets: {}", folder.string(),
          (folder / names.back()).string(), sets.size(), fmt::join(names, ", "));
  return std::move(sets.front());
}

// The prefix, or the name of the folder; "raw" and "gzip" name nothing.
std::string name_of(const IdxSet& set) {
  if (!set.prefix.empty()) return set.prefix;
  std::error_code ignored;
  Path folder = std::filesystem::absolute(set.folder, ignored).lexically_normal();
  while (folder.has_relative_path() &&
         (!folder.has_filename() || folder.filename() == "raw" || folder.filename() == "gzip"))
    folder = folder.parent_path();
  return folder.has_filename() ? folder.filename().string() : "images";
}

// The labels less `lowest`. Throws FileError, naming the first that is not in [lowest, highest].
std::vector<std::int32_t> shifted(const IdxPart& part, int lowest, int highest) {
  std::vector<std::int32_t> result;
  result.reserve(part.labels.values.size());
  for (const std::uint8_t label : part.labels.values) {
    if (label < lowest || label > highest)
      throw FileError(fmt::format("{}: label {} (byte {}): expected {} to {}, as in the training labels, found {}",
                                  part.files.labels.string(), result.size(), 8 + result.size(), lowest, highest,
                                  label));
    result.push_back(label - lowest);
  }
  return result;
}

}  // namespace

std::vector<IdxSet> idx_sets_below(const Path& folder) {
  std::vector<IdxSet> all;
  for (const std::string_view place : places)
    std::ranges::move(idx_sets_in(place.empty() ? folder : folder / place), std::back_inserter(all));
  return all;
}

IdxParts read_idx_set(const IdxSet& set) {
  require_there(set.train.images, set, train_parts, images);
  require_there(set.train.labels, set, train_parts, labels);
  require_there(set.test.images, set, test_parts, images);
  require_there(set.test.labels, set, test_parts, labels);
  IdxParts parts{.train = read_part(set.train), .test = read_part(set.test)};
  const std::vector<Index>&train = parts.train.images.extents, &test = parts.test.images.extents;
  if (train[1] != test[1] || train[2] != test[2])
    throw FileError(fmt::format("{}: byte 8: expected images of {} x {} pixels as in {}, found {} x {}",
                                set.test.images.string(), train[1], train[2], set.train.images.string(), test[1],
                                test[2]));
  return parts;
}

DataParts idx_set(const Path& folder, Turned turned) {
  const IdxSet set = chosen_set(folder);
  const std::string name = name_of(set);
  IdxParts parts = read_idx_set(set);
  DataParts result{.name = name};
  if (turned == Turned::yes || (turned == Turned::by_name && in_small_letters(name).starts_with("emnist"))) {
    turn(parts.train.images);
    turn(parts.test.images);
    result.turned = true;
    if (turned == Turned::by_name)
      result.notes.push_back(
          fmt::format("{}: images were turned, for by the name they are EMNIST's, stored column by column "
                      "[data idx:{},as-stored]",
                      name, folder.string()));
  }
  const auto [least, most] = std::ranges::minmax(parts.train.labels.values);
  if (least == most)
    throw FileError(fmt::format("{}: expected labels of at least two classes, found {} with every image",
                                set.train.labels.string(), least));
  const int lowest = least == 1 ? 1 : 0, highest = most;
  const Index classes = highest - lowest + 1;
  if (lowest > 0) {
    for (int label = lowest; label <= highest; ++label) result.class_names.push_back(fmt::format("{}", label));
    result.notes.push_back(
        fmt::format("{}: labels are 1 to {}, and the first class is that of label 1", name, highest));
  }
  const Shape shape{1, parts.train.images.extents[1], parts.train.images.extents[2]};
  const auto part = [&](IdxPart& from, const char* which) {
    std::vector<std::int32_t> own = shifted(from, lowest, highest);
    return std::make_shared<const ByteSamples>(fmt::format("{} {}", name, which), shape, classes,
                                               std::move(from.images.values), std::move(own));
  };
  result.train = part(parts.train, "train");
  result.test = part(parts.test, "test");
  result.provenance =
      fmt::format("{}, in MNIST's format: {} images of {} x {} in {} classes, {} to test on, from {}", name,
                  result.train->samples(), shape[1], shape[2], classes, result.test->samples(), set.folder.string());
  return result;
}

}  // namespace espalier
