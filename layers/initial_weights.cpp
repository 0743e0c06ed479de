#include "espalier/layers/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/layers/model_file.h"

namespace espalier {
namespace {

constexpr std::string_view counter = "num_batches_tracked";

// The layer that a parameter belongs to: fc1 of fc1.weight.
std::string layer_of(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

bool is_of_ours(const SafeTensors& file) {
  const auto format = file.metadata.find("format");
  return format != file.metadata.end() && format->second.starts_with("espalier-");
}

class ForeignFile final {
 public:
  ForeignFile(const std::filesystem::path& path, SafeTensors file, std::map<std::string, std::string> names)
      : path_(path.string()), file_(std::move(file)), names_(std::move(names)), unused_names_(names_) {
    for (const SafeTensor& tensor : file_.tensors)
      if (!tensor.name.ends_with(counter)) left_.emplace(tensor.name, &tensor);
  }

  // extents: the first of the tensor's, and all of them multiplied
  std::vector<Real> numbers(const std::string& name, Index first, Index count) {
    const std::string called = name_in_file(name);
    const auto found = left_.extract(called);
    if (found.empty())
      fail(called, fmt::format("this tensor, for {}", name),
           left_.empty() ? "no more" : "only others such as " + in_quotes(left_.begin()->first));
    const SafeTensor& tensor = *found.mapped();
    Index product = 1;
    for (const Index extent : tensor.shape) product *= extent;  // no overflow: the data are there
    if (tensor.shape.empty() || tensor.shape[0] != first || product != count ||
        (tensor.dtype != "F32" && tensor.dtype != "F64"))
      fail(called, fmt::format("{} numbers F32 or F64 [{}, ...] for {}", count, first, name),
           fmt::format("{} [{}]", tensor.dtype, fmt::join(tensor.shape, ", ")));
    std::vector<Real> numbers = tensor.dtype == "F32" ? read<float>(tensor) : read<double>(tensor);
    if (!std::ranges::all_of(numbers, [](Real x) { return std::isfinite(x); }))
      fail(called, "finite numbers", "NaN or Inf");
    return numbers;
  }

  void require_nothing_left() const {
    if (!left_.empty()) fail(left_.begin()->first, "no tensor of this name", "it");
    if (!unused_names_.empty())
      throw UsageError(fmt::format("[init-names] expected layers and parameters of the model, got {}",
                                   in_quotes(unused_names_.begin()->first)));
  }

 private:
  [[noreturn]] void fail(const std::string& tensor, std::string_view expected, std::string_view found) const {
    refuse_in_file(path_, "tensor", tensor, expected, found);
  }
  std::string name_in_file(const std::string& name) {
    if (const auto own = names_.find(name); own != names_.end()) {
      unused_names_.erase(name);
      return own->second;
    }
    const std::string layer = layer_of(name);
    const auto own = names_.find(layer);
    if (own == names_.end()) return name;
    unused_names_.erase(layer);
    return own->second + name.substr(layer.size());
  }
  template <typename Stored>
  static std::vector<Real> read(const SafeTensor& tensor) {
    std::vector<Real> numbers;
    for (std::size_t at = 0; at < tensor.data.size(); at += sizeof(Stored)) {
      Stored stored;
      std::memcpy(&stored, tensor.data.data() + at, sizeof stored);
      numbers.push_back(static_cast<Real>(stored));
    }
    return numbers;
  }

  std::string path_;
  SafeTensors file_;
  std::map<std::string, std::string> names_, unused_names_;
  std::map<std::string, const SafeTensor*> left_;
};

}  // namespace

void initialise_from(Module& model, const std::filesystem::path& file,
                     const std::map<std::string, std::string>& names) {
  SafeTensors content = load_safetensors(file);
  if (is_of_ours(content)) {
    require(names.empty(), "[init-names] {}: expected none for a model's file of ours, got {}", file.string(),
            names.begin()->first);
    load_model(model, file);
    for (Parameter* W : parameters_of(model)) W->become(nullptr, Storage::dense);
    return;
  }
  ForeignFile foreign(file, std::move(content), names);
  std::vector<std::pair<std::span<Real>, std::vector<Real>>> read;
  model.visit_parameters([&](Parameter& W) {
    require(!W.pattern(), "[init] {}: expected a dense model, got a sparse one", W.name());
    read.emplace_back(W.value(), foreign.numbers(W.name(), W.rows(), W.positions()));
  });
  model.visit_state([&](const std::string& name, std::span<Real> numbers) {
    const auto count = static_cast<Index>(numbers.size());
    read.emplace_back(numbers, foreign.numbers(name, count, count));
  });
  foreign.require_nothing_left();
  for (auto& [to, from] : read) std::ranges::copy(from, to.begin());
}

std::string model_of_weights(const std::filesystem::path& file) {
  return is_of_ours(load_safetensors(file)) ? read_card(file).model : "";
}

}  // namespace espalier
