#include "espalier/experiment/trained_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/datasets/fingerprint.h"

namespace espalier {
namespace {

constexpr const char *tensor_name = "fingerprints", *kept_key = "kept", *all_rows = "all", *lowest_rows = "lowest";

}  // namespace

TrainedRows::TrainedRows(const Dataset& train, std::size_t most) {
  std::vector<Real> features(static_cast<std::size_t>(train.shape().features()));
  const auto keep_lowest = [&] {
    if (prints_.size() <= most) return;
    std::ranges::nth_element(prints_, prints_.begin() + static_cast<std::ptrdiff_t>(most));
    prints_.resize(most);
    all_ = false;
  };
  for (Index i = 0; i < train.samples(); ++i) {
    train.read(i, features);
    prints_.push_back(fingerprint(features));
    if (prints_.size() >= 2 * most) keep_lowest();
  }
  keep_lowest();
  std::ranges::sort(prints_);
}

void TrainedRows::save(const std::filesystem::path& file) const {
  SafeTensor tensor{.name = tensor_name, .dtype = "U64", .shape = {static_cast<std::int64_t>(prints_.size())}};
  const auto bytes = std::as_bytes(std::span(prints_));
  tensor.data.assign(bytes.begin(), bytes.end());
  save_safetensors({.metadata = {{kept_key, all_ ? all_rows : lowest_rows}}, .tensors = {std::move(tensor)}}, file);
}

std::optional<TrainedRows> TrainedRows::load(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  const SafeTensors read = load_safetensors(file);
  const auto kept = read.metadata.find(kept_key);
  if (kept == read.metadata.end() || read.tensors.size() != 1 || read.tensors[0].name != tensor_name ||
      read.tensors[0].dtype != "U64")
    throw FileError(fmt::format("{}: expected fingerprints of rows, found other tensors", file.string()));
  TrainedRows rows;
  rows.all_ = kept->second == all_rows;
  const std::vector<std::byte>& data = read.tensors[0].data;
  rows.prints_.resize(data.size() / sizeof(std::uint64_t));
  std::memcpy(rows.prints_.data(), data.data(), rows.prints_.size() * sizeof(std::uint64_t));
  std::ranges::sort(rows.prints_);  // in a file they could be in any order
  for (const std::uint64_t print : rows.prints_) ++rows.left_[print];
  return rows;
}

void TrainedRows::ask(std::span<const Real> features) {
  ++asked_;
  const std::uint64_t print = fingerprint(features);
  if (prints_.empty() || (!all_ && print > prints_.back())) return;
  ++comparable_;
  const auto known = left_.find(print);
  if (known == left_.end() || known->second == 0) return;
  --known->second;
  ++found_;
}

std::string TrainedRows::found() const {
  if (found_ == 0) return "";
  const double share = static_cast<double>(found_) / static_cast<double>(comparable_);
  const Index rows = all_ ? found_ : std::llround(share * static_cast<double>(asked_));
  return fmt::format("{}{} of the {} rows are rows that the network was trained on", all_ ? "" : "about ", rows,
                     asked_);
}

}  // namespace espalier
