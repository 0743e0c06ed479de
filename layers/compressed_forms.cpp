#include "espalier/layers/compressed_forms.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "espalier/core/deflate.h"
#include "espalier/core/error.h"
#include "espalier/layers/weight_sharing.h"

namespace espalier {
namespace {

constexpr std::string_view packed_suffix = ".zlib";
constexpr int code_of_zero = 128;  // of equal steps

SafeTensor zlib_stream_of(const SafeTensor& tensor) {
  std::vector<std::byte> stream = deflated(tensor.data);
  const auto length = static_cast<std::int64_t>(stream.size());
  return {tensor.name + std::string(packed_suffix), "U8", {length}, std::move(stream)};
}

SafeTensor few_reals(std::string name, std::span<const Real> numbers) {
  SafeTensor tensor{std::move(name), std::string(real_dtype), {static_cast<std::int64_t>(numbers.size())}, {}};
  store_reals(tensor, numbers);
  return tensor;
}

}  // namespace

std::optional<CompressedWeights> compressed(const Parameter& W) {
  const std::optional<Sharing> sharing = sharing_of(W);
  if (!sharing) return {};
  const std::optional<Real> step = step_of(*sharing);
  SafeTensor codes{W.name() + ".codes", "U8", {W.nonzeros()}, {}};
  for (const std::uint8_t code : sharing->codes)
    codes.data.push_back(static_cast<std::byte>(step ? steps_in(sharing->codebook[code], *step) + code_of_zero : code));
  CompressedWeights result{.form = step ? Form::linear8 : Form::shared, .tensors = {zlib_stream_of(codes)}};
  result.tensors.push_back(step ? few_reals(W.name() + ".step", std::span(&*step, 1))
                                : few_reals(W.name() + ".codebook", sharing->codebook));
  if (W.nonzeros() < W.positions()) {
    result.form = step ? Form::linear8_delta8 : Form::shared_delta8;
    result.tensors.push_back(zlib_stream_of(deltas_of(W)));
  }
  return result;
}

SafeTensor unpacked(const SafeTensor& stream, std::size_t most, const std::string& file) {
  std::optional<std::vector<std::byte>> bytes = inflated(stream.data, most);
  if (!bytes)
    refuse_in_file(file, "tensor", stream.name, fmt::format("a zlib stream of at most {} bytes", most),
                   "something else");
  const auto length = static_cast<std::int64_t>(bytes->size());
  return {stream.name.substr(0, stream.name.size() - packed_suffix.size()), "U8", {length}, std::move(*bytes)};
}

std::vector<Real> decoded_values(Form form, const std::vector<Real>& codebook, const SafeTensor& codes,
                                 const std::string& file) {
  const bool linear = form == Form::linear8 || form == Form::linear8_delta8;
  std::vector<Real> values;
  values.reserve(codes.data.size());
  for (const std::byte byte : codes.data) {
    const auto code = static_cast<std::size_t>(byte);
    if (linear ? code == 0 : code >= codebook.size())
      refuse_in_file(file, "tensor", codes.name,
                     linear ? "codes from 1 to 255" : fmt::format("codes below {}", codebook.size()),
                     fmt::format("{}", code));
    values.push_back(linear ? codebook[0] * static_cast<Real>(static_cast<int>(code) - code_of_zero) : codebook[code]);
  }
  return values;
}

}  // namespace espalier
