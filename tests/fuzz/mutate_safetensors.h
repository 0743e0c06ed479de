// Changes safetensors files so that they stay such: bytes that were changed anywhere would hardly ever get past the
// header, whose sizes have to fit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t bytes, std::size_t most);

namespace espalier {

class SafeTensorsMutator {
 public:
  explicit SafeTensorsMutator(unsigned seed) : dice_(seed) {}

  // Changes the file in place, to at most so many bytes, and returns how many it has. To be called by
  // LLVMFuzzerCustomMutator.
  std::size_t mutate(std::uint8_t* data, std::size_t bytes, std::size_t most) {
    constexpr std::size_t whatever_it_means = 16;  // one in so many times
    if (below(whatever_it_means) > 0) try {
        SafeTensors file = decode({reinterpret_cast<const char*>(data), bytes}, "fuzz");
        change(file);
        if (const std::string changed = encode(file); changed.size() <= most) {
          std::memcpy(data, changed.data(), changed.size());
          return changed.size();
        }
      } catch (const Error&) {  // no file before, or none any more
      }
    return LLVMFuzzerMutate(data, bytes, most);
  }

 private:
  std::size_t below(std::size_t n) { return dice_() % n; }

  void change(SafeTensors& file) {
    const std::size_t entries = file.metadata.size(), tensors = file.tensors.size(), which = below(8);
    if (which < 4 && entries > 0) {
      change_text(std::next(file.metadata.begin(), static_cast<std::ptrdiff_t>(below(entries)))->second);
    } else if (which < 6 && tensors > 0) {
      change_data(file.tensors[below(tensors)]);
    } else if (which == 6 && tensors > 0) {
      const auto at = file.tensors.begin() + static_cast<std::ptrdiff_t>(below(tensors));
      if (below(2))
        change_text(at->name);
      else
        file.tensors.erase(at);
    } else if (entries > 0) {
      auto entry = file.metadata.extract(std::next(file.metadata.begin(), static_cast<std::ptrdiff_t>(below(entries))));
      change_text(entry.key());
      if (below(2)) file.metadata.insert(std::move(entry));
    }
  }

  // To ASCII, which may stand in a header.
  void change_text(std::string& text) {
    constexpr std::size_t more = 32;
    std::vector<std::uint8_t> bytes(text.begin(), text.end());
    bytes.resize(text.size() + more);
    bytes.resize(LLVMFuzzerMutate(bytes.data(), text.size(), bytes.size()));
    for (std::uint8_t& byte : bytes) byte &= 0x7f;
    text.assign(bytes.begin(), bytes.end());
  }

  // Numbers, their type, how many there are; as a list, or as so many rows as before.
  void change_data(SafeTensor& tensor) {
    constexpr std::size_t more = 16;
    const char* const dtypes[] = {"U8", "U16", "U32", "I64", "F32"};
    if (below(8) == 0) tensor.dtype = dtypes[below(5)];
    const std::size_t bytes = tensor.data.size(), width = dtype_bytes(tensor.dtype);
    tensor.data.resize(bytes + more);
    const std::size_t changed =
        LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(tensor.data.data()), bytes, tensor.data.size());
    tensor.data.resize(below(2) ? bytes / width * width : changed / width * width);
    const auto numbers = static_cast<std::int64_t>(tensor.data.size() / width);
    const std::int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 0;
    if (rows > 0 && numbers % rows == 0)
      tensor.shape = {rows, numbers / rows};
    else
      tensor.shape = {numbers};
  }

  std::minstd_rand dice_;
};

}  // namespace espalier
