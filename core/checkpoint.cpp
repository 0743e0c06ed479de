#include "espalier/core/checkpoint.h"

#include <cstring>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

const std::string state_prefix = "state/";

template <typename T>
SafeTensor tensor_of(const std::string& name, std::string_view dtype, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {name, std::string(dtype), {static_cast<std::int64_t>(values.size())}, {bytes.begin(), bytes.end()}};
}

// The tensors of a file by name; each is asked for once.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path.string()), file_(load_safetensors(path)) {
    for (const SafeTensor& tensor : file_.tensors) by_name_[tensor.name] = &tensor;
  }
  std::map<std::string, std::string>& metadata() { return file_.metadata; }
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
  std::vector<std::string> names_beginning(const std::string& prefix) const {
    std::vector<std::string> names;
    for (auto at = by_name_.lower_bound(prefix); at != by_name_.end() && at->first.starts_with(prefix); ++at)
      names.push_back(at->first);
    return names;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  SafeTensors file_;
  std::map<std::string, const SafeTensor*> by_name_;
};

Storage storage_in(Reader& reader, const std::string& name) {
  const std::string& word = reader.metadata()["storage/" + name];
  for (const Storage storage : {Storage::dense, Storage::masked, Storage::csr})
    if (word == name_of(storage)) return storage;
  throw FileError(
      fmt::format("{}: {}: expected storage dense, masked or csr, found {}", reader.path(), name, in_quotes(word)));
}

// A parameter of this one's name and shape with what the file says of it.
Parameter read(Reader& reader, const Parameter& like) {
  Parameter W(like.name(), 1, 1, like.role());
  const Storage storage = storage_in(reader, like.name());
  if (storage == Storage::dense) {
    W = Parameter(like.name(), like.rows(), like.cols(), like.role());
  } else {
    auto row_begin = reader.values<Index>(like.name() + ".row_begin", "I64", like.rows() + 1);
    auto columns = reader.values<std::uint32_t>(like.name() + ".columns", "U32", -1);
    try {
      W = Parameter(like.name(), Pattern::make(like.rows(), like.cols(), std::move(row_begin), std::move(columns)));
    } catch (const UsageError& error) {
      throw FileError(fmt::format("{}: {}: {}", reader.path(), like.name(), error.what()));
    }
    W.become(W.pattern(), storage);
  }
  const auto count = static_cast<std::int64_t>(W.value().size());
  const auto fill = [&](std::span<Real> array, const std::string& tensor) {
    std::ranges::copy(reader.values<Real>(tensor, real_dtype, count), array.begin());
  };
  fill(W.value(), like.name() + ".value");
  const std::string prefix = like.name() + ".slot/";
  for (const std::string& tensor : reader.names_beginning(prefix)) {
    W.add_slot(tensor.substr(prefix.size()));
    fill(W.slot(tensor.substr(prefix.size())), tensor);
  }
  return W;
}

}  // namespace

void save_checkpoint(std::span<Parameter* const> parameters, const std::map<std::string, std::string>& metadata,
                     const std::filesystem::path& path, std::span<const NamedNumbers> state) {
  SafeTensors file{metadata, {}};
  for (const Parameter* W : parameters) {
    file.metadata["storage/" + W->name()] = name_of(W->storage());
    file.tensors.push_back(tensor_of(W->name() + ".value", real_dtype, W->value()));
    for (const std::string& slot : W->slot_names())
      file.tensors.push_back(tensor_of(W->name() + ".slot/" + slot, real_dtype, W->slot(slot)));
    if (!W->pattern()) continue;
    file.tensors.push_back(tensor_of(W->name() + ".row_begin", "I64", W->pattern()->row_begin()));
    file.tensors.push_back(tensor_of(W->name() + ".columns", "U32", W->pattern()->column()));
  }
  for (const NamedNumbers& array : state)
    file.tensors.push_back(tensor_of(state_prefix + array.name, real_dtype, std::span<const Real>(array.numbers)));
  save_safetensors(file, path);
}

std::map<std::string, std::string> load_checkpoint(std::span<Parameter* const> parameters,
                                                   const std::filesystem::path& path,
                                                   std::span<const NamedNumbers> state) {
  Reader reader(path);
  std::vector<Parameter> fresh;
  for (const Parameter* W : parameters) fresh.push_back(read(reader, *W));
  std::vector<std::vector<Real>> arrays;
  for (const NamedNumbers& array : state)
    arrays.push_back(
        reader.values<Real>(state_prefix + array.name, real_dtype, static_cast<std::int64_t>(array.numbers.size())));
  // Nothing below throws.
  for (std::size_t i = 0; i < arrays.size(); ++i) std::ranges::copy(arrays[i], state[i].numbers.begin());
  for (std::size_t i = 0; i < fresh.size(); ++i) *parameters[i] = std::move(fresh[i]);
  std::erase_if(reader.metadata(), [](const auto& entry) { return entry.first.find('/') != std::string::npos; });
  return reader.metadata();
}

}  // namespace espalier
