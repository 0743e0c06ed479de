#include "espalier/core/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "espalier/core/error.h"

namespace espalier {
namespace {

const std::string state_prefix = "state/";
constexpr const char *format_key = "format", *format = "espalier-checkpoint-3";

template <typename T>
SafeTensor tensor_of(const std::string& name, std::string_view dtype, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {name, std::string(dtype), {static_cast<std::int64_t>(values.size())}, {bytes.begin(), bytes.end()}};
}

std::string within(const CheckpointPart& part, const std::string& name) {
  return part.name.empty() ? name : part.name + "@" + name;
}

void add_part(SafeTensors& file, const CheckpointPart& part) {
  for (const Parameter* W : part.parameters) {
    const std::string name = within(part, W->name());
    file.metadata["storage/" + name] = name_of(W->storage());
    file.tensors.push_back(tensor_of(name + ".value", real_dtype, W->value()));
    for (const std::string& slot : W->slot_names())
      file.tensors.push_back(tensor_of(name + ".slot/" + slot, real_dtype, W->slot(slot)));
    if (!W->pattern()) continue;
    file.tensors.push_back(tensor_of(name + ".row_begin", "I64", W->pattern()->row_begin()));
    file.tensors.push_back(tensor_of(name + ".columns", "U32", W->pattern()->column()));
  }
  for (const NamedNumbers& array : part.state)
    file.tensors.push_back(
        tensor_of(state_prefix + within(part, array.name), real_dtype, std::span<const Real>(array.numbers)));
}

// The tensors of a file by name.
class Reader {
 public:
  Reader(const std::string& path, const SafeTensors& file) : path_(path), file_(file) {
    for (const SafeTensor& tensor : file_.tensors) by_name_[tensor.name] = &tensor;
  }
  // count < 0: any length
  template <typename T>
  std::vector<T> values(const std::string& name, std::string_view dtype, std::int64_t count) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) throw FileError(fmt::format("{}: expected a tensor {}, found none", path_, name));
    const SafeTensor& tensor = *found->second;
    if (tensor.dtype != dtype || tensor.shape.size() != 1 || (count >= 0 && tensor.shape[0] != count))
      throw FileError(fmt::format("{}: {}: expected {} numbers of type {}, found {} bytes of {}", path_, name,
                                  count < 0 ? "any" : std::to_string(count), dtype, tensor.data.size(), tensor.dtype));
    std::vector<T> numbers(tensor.data.size() / sizeof(T));
    std::memcpy(numbers.data(), tensor.data.data(), numbers.size() * sizeof(T));
    return numbers;
  }
  // Infinities: what an optimizer sums up may overflow, and be of use all the same.
  std::vector<Real> reals(const std::string& name, std::int64_t count, bool infinities) {
    std::vector<Real> numbers = values<Real>(name, real_dtype, count);
    const bool sound =
        std::ranges::all_of(numbers, [&](Real x) { return std::isfinite(x) || (infinities && !std::isnan(x)); });
    if (!sound) throw FileError(fmt::format("{}: {}: expected finite numbers, found others", path_, name));
    return numbers;
  }
  std::vector<std::string> names_beginning(const std::string& prefix) const {
    std::vector<std::string> names;
    for (auto at = by_name_.lower_bound(prefix); at != by_name_.end() && at->first.starts_with(prefix); ++at)
      names.push_back(at->first);
    return names;
  }
  Storage storage(const std::string& name) const {
    const auto found = file_.metadata.find("storage/" + name);
    const std::string word = found == file_.metadata.end() ? "" : found->second;
    for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr})
      if (word == name_of(storage)) return storage;
    throw FileError(
        fmt::format("{}: {}: expected storage dense, masked or csr, found {}", path_, name, in_quotes(word)));
  }
  const std::string& path() const { return path_; }

 private:
  const std::string& path_;
  const SafeTensors& file_;
  std::map<std::string, const SafeTensor*> by_name_;
};

// A parameter of this one's name and shape with what the file says of it under `name`.
Parameter read(Reader& reader, const Parameter& like, const std::string& name) {
  Parameter W(like.name(), 1, 1, like.role());
  const Storage storage = reader.storage(name);
  if (storage == Storage::dense) {
    W = Parameter(like.name(), like.rows(), like.cols(), like.role());
  } else {
    auto row_begin = reader.values<Index>(name + ".row_begin", "I64", like.rows() + 1);
    auto columns = reader.values<std::uint32_t>(name + ".columns", "U32", -1);
    try {
      W = Parameter(like.name(), Pattern::make(like.rows(), like.cols(), std::move(row_begin), std::move(columns)));
    } catch (const UsageError& error) {
      throw FileError(fmt::format("{}: {}: {}", reader.path(), name, error.what()));
    }
    W.become(W.pattern(), storage);
  }
  const auto count = static_cast<std::int64_t>(W.value().size());
  const auto fill = [&](std::span<Real> array, const std::string& tensor, bool infinities) {
    std::ranges::copy(reader.reals(tensor, count, infinities), array.begin());
    Index live = 0;
    W.for_each_weight([&](Index, Index, Index at) { live += array[at] != 0; });
    if (live != std::ranges::count_if(array, [](Real x) { return x != 0; }))
      throw FileError(
          fmt::format("{}: {}: expected 0 for weights that are not live, found others", reader.path(), tensor));
  };
  fill(W.value(), name + ".value", /*infinities=*/false);
  const std::string prefix = name + ".slot/";
  std::vector<std::string> slots = like.slot_names();
  for (const std::string& tensor : reader.names_beginning(prefix)) slots.push_back(tensor.substr(prefix.size()));
  for (const std::string& slot : slots) {
    if (W.has_slot(slot)) continue;
    W.add_slot(slot);
    fill(W.slot(slot), prefix + slot, /*infinities=*/true);
  }
  return W;
}

}  // namespace

void save_checkpoint(std::span<const CheckpointPart> parts, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path) {
  SafeTensors file{.metadata = metadata, .tensors = {}, .sealed = true};
  file.metadata[format_key] = format;
  for (const CheckpointPart& part : parts) add_part(file, part);
  save_safetensors(file, path);
}

void save_checkpoint(std::span<Parameter* const> parameters, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path, std::span<const NamedNumbers> state) {
  const CheckpointPart only{.parameters = {parameters.begin(), parameters.end()},
                            .state = {state.begin(), state.end()}};
  save_checkpoint(std::span(&only, 1), metadata, path);
}

CheckpointFile::CheckpointFile(const std::filesystem::path& path) : path_(path.string()) {
  file_ = load_safetensors(path);
  const auto kind = file_.metadata.find(format_key);
  if (kind == file_.metadata.end() || kind->second != format || !file_.sealed)
    throw FileError(fmt::format("{}: expected a checkpoint of this version, {} with checksums, found {}", path_, format,
                                kind == file_.metadata.end() ? "none" : in_quotes(kind->second)));
  metadata_ = file_.metadata;
  metadata_.erase(format_key);
  std::erase_if(metadata_, [](const auto& entry) { return entry.first.find('/') != std::string::npos; });
}

void CheckpointFile::load(std::span<const CheckpointPart> parts) const {
  Reader reader(path_, file_);
  std::vector<Parameter> fresh;
  std::vector<std::vector<Real>> arrays;
  for (const CheckpointPart& part : parts) {
    for (const Parameter* W : part.parameters) fresh.push_back(read(reader, *W, within(part, W->name())));
    for (const NamedNumbers& array : part.state)
      arrays.push_back(reader.reals(state_prefix + within(part, array.name),
                                    static_cast<std::int64_t>(array.numbers.size()), /*infinities=*/true));
  }
  // Nothing below throws.
  auto next = fresh.begin();
  auto numbers = arrays.begin();
  for (const CheckpointPart& part : parts) {
    for (Parameter* W : part.parameters) *W = std::move(*next++);
    for (const NamedNumbers& array : part.state) std::ranges::copy(*numbers++, array.numbers.begin());
  }
}

std::map<std::string, std::string> load_checkpoint(std::span<Parameter* const> parameters,
                                                   const std::filesystem::path& path,
                                                   std::span<const NamedNumbers> state) {
  const CheckpointFile file(path);
  const CheckpointPart only{.parameters = {parameters.begin(), parameters.end()},
                            .state = {state.begin(), state.end()}};
  file.load(std::span(&only, 1));
  return file.metadata();
}

}  // namespace espalier
