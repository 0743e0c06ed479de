#include "espalier/core/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>

#include "espalier/core/atomic_file.h"
#include "espalier/core/checksum.h"
#include "espalier/core/error.h"

namespace espalier {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied into little-endian files as they are");

using nlohmann::json;

constexpr std::size_t length_bytes = 8;
constexpr std::size_t header_limit_bytes = 100'000'000;  // the reference implementation's
// Of tensors and of keys of metadata: each takes some hundred bytes of memory, and may be seven of the file.
constexpr std::size_t most_entries = 100'000;
constexpr std::size_t data_alignment = 8;
constexpr std::string_view metadata_key = "__metadata__";
constexpr std::string_view seal_key = "crc32", seal_prefix = "crc32/", blank_seal = "00000000";

struct DType {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array dtypes{DType{"BOOL", 1},    DType{"U8", 1},  DType{"I8", 1},  DType{"F8_E5M2", 1},
                            DType{"F8_E4M3", 1}, DType{"U16", 2}, DType{"I16", 2}, DType{"F16", 2},
                            DType{"BF16", 2},    DType{"U32", 4}, DType{"I32", 4}, DType{"F32", 4},
                            DType{"U64", 8},     DType{"I64", 8}, DType{"F64", 8}};

// bytes = width * product of the extents; false if that is more than a size_t holds, or an extent is negative.
bool shape_bytes(std::size_t width, const std::vector<std::int64_t>& shape, std::size_t& bytes) {
  bytes = width;
  for (const std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(extent), &bytes)) return false;
  return true;
}

// --- checksums -----------------------------------------------------------------------------------------------------

std::string digits_of(std::string_view bytes) {
  return fmt::format("{:08x}", crc32_of(bytes));
}
std::string digits_of(const SafeTensor& tensor) {
  return digits_of({reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()});
}
std::string key_of_seal(const SafeTensor& tensor) {
  return fmt::format("{}{}", seal_prefix, tensor.name);
}
bool names_seal(const std::string& key) {
  return key == seal_key || key.starts_with(seal_prefix);
}

// Where in a header the digits of its own checksum stand, if they are these; else npos. No string can hold what is
// looked for: its quotes would have backslashes before them.
std::size_t seal_position(std::string_view header, std::string_view digits) {
  const std::size_t found = header.find(fmt::format(R"("{}":"{}")", seal_key, digits));
  return found == header.npos ? found : found + seal_key.size() + 4;
}

// --- writing -------------------------------------------------------------------------------------------------------

std::string json_string(std::string_view text) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    throw UsageError(fmt::format("[safetensors] expected names and metadata in UTF-8, got {}", in_quotes(text)));
  }
}

std::size_t checked_bytes(const SafeTensor& tensor) {
  const std::size_t width = dtype_bytes(tensor.dtype);
  require(width > 0, "[safetensors] {}: expected a known dtype, got {}", in_quotes(tensor.name),
          in_quotes(tensor.dtype));
  std::size_t bytes = 0;
  require(shape_bytes(width, tensor.shape, bytes),
          "[safetensors] {}: expected a shape whose bytes can be counted, got [{}]", in_quotes(tensor.name),
          fmt::join(tensor.shape, ", "));
  return bytes;
}

// The metadata as they are written, but for the checksum of the header, which is still blank.
std::map<std::string, std::string> sealed_metadata(const SafeTensors& file) {
  for (const auto& [key, value] : file.metadata)
    require(!names_seal(key), "[safetensors] expected metadata that are not called like checksums, got {}",
            in_quotes(key));
  std::map<std::string, std::string> metadata = file.metadata;
  if (!file.sealed) return metadata;
  metadata.emplace(seal_key, blank_seal);
  for (const SafeTensor& tensor : file.tensors) metadata.emplace(key_of_seal(tensor), digits_of(tensor));
  return metadata;
}

// --- reading -------------------------------------------------------------------------------------------------------

struct Entry {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0, end = 0;  // of its data
};

// Receives the header piece by piece as the parser meets it. A parser that built a tree would have to decide which of
// two equal keys to believe; here the second one is seen, and refused.
class HeaderReader final : public json::json_sax_t {
 public:
  explicit HeaderReader(const std::string& source) : source_(source) {}

  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::file;
        return true;
      case Place::file:
        place_ = entry_.name == metadata_key ? Place::metadata : Place::tensor;
        return true;
      default:
        unexpected("an object");
    }
  }

  bool key(std::string& name) override {
    if (place_ != Place::tensor && ++found_ > most_entries)
      throw FileError(
          fmt::format("{}: expected at most {} tensors and keys of metadata, found more", source_, most_entries));
    if (place_ == Place::file) {
      if (!names_.insert(name).second) fail(name, "a name that occurs once", "it a second time");
      entry_ = Entry{};
      entry_.name = std::move(name);
      fields_.clear();
    } else if (place_ == Place::metadata) {
      if (metadata.contains(name)) unexpected(fmt::format("the key {} a second time", in_quotes(name)));
      field_ = std::move(name);
    } else {
      if (name != "dtype" && name != "shape" && name != "data_offsets")
        fail(entry_.name, "the keys dtype, shape and data_offsets", in_quotes(name));
      if (!fields_.insert(name).second) fail(entry_.name, "each key once", fmt::format("{} a second time", name));
      field_ = std::move(name);
    }
    return true;
  }

  bool string(std::string& text) override {
    if (place_ == Place::metadata) {
      metadata.emplace(std::move(field_), std::move(text));
    } else if (place_ == Place::tensor && field_ == "dtype") {
      if (dtype_bytes(text) == 0) fail(entry_.name, "a known dtype", in_quotes(text));
      entry_.dtype = std::move(text);
    } else {
      unexpected(fmt::format("the string {}", in_quotes(text)));
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || field_ == "dtype") unexpected("an array");
    place_ = Place::numbers;
    numbers_.clear();
    return true;
  }

  bool number_unsigned(std::uint64_t number) override {
    if (place_ != Place::numbers || number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      unexpected(fmt::format("the number {}", number));
    numbers_.push_back(static_cast<std::int64_t>(number));
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    if (field_ == "shape") {
      entry_.shape = std::move(numbers_);
    } else {
      if (numbers_.size() != 2 || numbers_[0] > numbers_[1])
        fail(entry_.name, "data_offsets [begin, end]", fmt::format("[{}]", fmt::join(numbers_, ", ")));
      entry_.begin = static_cast<std::size_t>(numbers_[0]);
      entry_.end = static_cast<std::size_t>(numbers_[1]);
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      if (fields_.size() != 3)
        fail(entry_.name, "the keys dtype, shape and data_offsets",
             fields_.empty() ? "none of them" : fmt::format("only {}", fmt::join(fields_, " and ")));
      entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::file ? Place::outside : Place::file;
    return true;
  }

  bool number_integer(std::int64_t number) override { unexpected(fmt::format("the signed number {}", number)); }
  bool number_float(double, const std::string& text) override {
    unexpected(fmt::format("the number {}", in_quotes(text)));
  }
  bool boolean(bool value) override { unexpected(value ? "true" : "false"); }
  bool null() override { unexpected("null"); }
  bool binary(json::binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string& last_token, const json::exception&) override {
    throw FileError(fmt::format("{}: byte {}: expected a header in JSON, found {}", source_,
                                length_bytes + (position == 0 ? 0 : position - 1), in_quotes(last_token)));
  }

 private:
  enum class Place { outside, file, metadata, tensor, numbers };

  [[noreturn]] void fail(const std::string& tensor, std::string_view expected, std::string_view found) const {
    throw FileError(fmt::format("{}: tensor {}: expected {}, found {}", source_, in_quotes(tensor), expected, found));
  }
  [[noreturn]] void unexpected(std::string_view found) const {
    switch (place_) {
      case Place::outside:
        throw FileError(fmt::format("{}: byte {}: expected a header that is a JSON object, found {}", source_,
                                    length_bytes, found));
      case Place::metadata:
        throw FileError(
            fmt::format("{}: {}: expected strings under different keys, found {}", source_, metadata_key, found));
      case Place::file:
        fail(entry_.name, "an object", found);
      case Place::tensor:
        fail(entry_.name, field_ == "dtype" ? "a dtype in a string" : fmt::format("{} in an array", field_), found);
      case Place::numbers:
        fail(entry_.name, fmt::format("numbers from 0 to 2^63 - 1 in {}", field_), found);
    }
    std::abort();
  }

  const std::string& source_;
  Place place_ = Place::outside;
  std::size_t found_ = 0;  // tensors and keys of metadata
  std::set<std::string> names_, fields_;
  Entry entry_;                        // the tensor being read; its name may also be the metadata's
  std::string field_;                  // the last key in it, or in the metadata
  std::vector<std::int64_t> numbers_;  // the array being read
};

// Rules 3 and 4. Sorts the entries by where their data are.
void require_gapless(std::vector<Entry>& entries, std::size_t data_bytes, const std::string& source) {
  std::ranges::stable_sort(entries, {}, [](const Entry& entry) { return std::pair(entry.begin, entry.end); });
  std::size_t end = 0;
  for (const Entry& entry : entries) {
    const auto fail = [&](const std::string& expected, const std::string& found) {
      throw FileError(
          fmt::format("{}: tensor {}: expected {}, found {}", source, in_quotes(entry.name), expected, found));
    };
    std::size_t bytes = 0;
    if (!shape_bytes(dtype_bytes(entry.dtype), entry.shape, bytes))
      fail("a shape whose bytes can be counted", fmt::format("[{}]", fmt::join(entry.shape, ", ")));
    if (entry.end - entry.begin != bytes)
      fail(fmt::format("{} bytes for {} [{}]", bytes, entry.dtype, fmt::join(entry.shape, ", ")),
           fmt::format("data_offsets [{}, {}]", entry.begin, entry.end));
    if (entry.end > data_bytes)
      fail(fmt::format("data_offsets up to {}, the end of the file", data_bytes),
           fmt::format("[{}, {}]", entry.begin, entry.end));
    if (entry.begin != end)
      fail(fmt::format("data to begin at offset {}, where the tensor before ends", end),
           fmt::format("{} at {}", entry.begin < end ? "an overlap" : "a hole", entry.begin));
    end = entry.end;
  }
  if (end != data_bytes)
    throw FileError(fmt::format("{}: expected tensors up to the end of the file, {} bytes of data, found {}", source,
                                data_bytes, end));
}

[[noreturn]] void fail_seal(const std::string& source, const std::string& key, const std::string& expected,
                            const std::string& found) {
  throw FileError(fmt::format("{}: metadata {}: expected {}, found {}; the file is damaged", source, in_quotes(key),
                              expected, found));
}

// Rule 5, of the header.
void require_seal(std::string_view header, const std::string& found, const std::string& source) {
  const std::string key(seal_key);
  const std::size_t at = found.size() == blank_seal.size() ? seal_position(header, found) : header.npos;
  if (at == header.npos) fail_seal(source, key, "a checksum of eight digits", in_quotes(found));
  std::string blank(header);
  blank.replace(at, blank_seal.size(), blank_seal);
  if (const std::string is = digits_of(blank); found != is)
    fail_seal(source, key, in_quotes(is) + ", the checksum of the header", in_quotes(found));
}

// Rule 5, of the tensors. Takes the checksums away from the metadata.
void require_seals(SafeTensors& file, const std::string& source) {
  file.metadata.erase(std::string(seal_key));
  for (const SafeTensor& tensor : file.tensors) {
    const auto found = file.metadata.extract(key_of_seal(tensor));
    if (const std::string is = digits_of(tensor); found.empty() || found.mapped() != is)
      fail_seal(source, key_of_seal(tensor), in_quotes(is) + ", the checksum of the tensor",
                found.empty() ? "none" : in_quotes(found.mapped()));
  }
  for (const auto& [key, value] : file.metadata)
    if (names_seal(key)) fail_seal(source, key, "checksums of tensors that are there", in_quotes(value));
}

}  // namespace

std::size_t dtype_bytes(std::string_view dtype) {
  const auto found = std::ranges::find(dtypes, dtype, &DType::name);
  return found == dtypes.end() ? 0 : found->bytes;
}

std::uintmax_t bytes_of(const SafeTensor& tensor) {
  std::uintmax_t bytes = dtype_bytes(tensor.dtype);
  for (const std::int64_t extent : tensor.shape) bytes *= static_cast<std::uintmax_t>(extent);
  return bytes;
}

std::uintmax_t bytes_of(const std::vector<SafeTensor>& tensors) {
  std::uintmax_t bytes = 0;
  for (const SafeTensor& tensor : tensors) bytes += bytes_of(tensor);
  return bytes;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t limit = 80;
  const std::string shown = json(text.substr(0, limit)).dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= limit ? shown : shown + "...";
}

std::string encode_header(const SafeTensors& file) {
  std::string header = "{";
  const auto begin_entry = [&](std::string_view name) {
    if (header.size() > 1) header += ',';
    header += json_string(name) + ':';
  };
  if (const auto metadata = sealed_metadata(file); !metadata.empty()) {
    begin_entry(metadata_key);
    char separator = '{';
    for (const auto& [key, value] : metadata) {
      header += separator + json_string(key) + ':' + json_string(value);
      separator = ',';
    }
    header += '}';
  }
  std::set<std::string_view> names{metadata_key};
  std::size_t at = 0;
  for (const SafeTensor& tensor : file.tensors) {
    require(names.insert(tensor.name).second, "[safetensors] expected names that occur once, got {} again",
            in_quotes(tensor.name));
    std::size_t end = 0;
    require(!__builtin_add_overflow(at, checked_bytes(tensor), &end),
            "[safetensors] {}: expected data whose bytes can be counted, got too many", in_quotes(tensor.name));
    begin_entry(tensor.name);
    header += fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", tensor.dtype,
                          fmt::join(tensor.shape, ","), at, end);
    at = end;
  }
  header += '}';
  header.resize((header.size() + data_alignment - 1) / data_alignment * data_alignment, ' ');
  require(header.size() <= header_limit_bytes, "[safetensors] expected a header of at most {} bytes, got {}",
          header_limit_bytes, header.size());
  if (file.sealed) header.replace(seal_position(header, blank_seal), blank_seal.size(), digits_of(header));

  const std::uint64_t length = header.size();
  std::string result(length_bytes, '\0');
  std::memcpy(result.data(), &length, length_bytes);
  return result + header;
}

std::string encode(const SafeTensors& file) {
  std::string bytes = encode_header(file);
  std::size_t total = bytes.size();
  for (const SafeTensor& tensor : file.tensors) {
    require(tensor.data.size() == checked_bytes(tensor), "[safetensors] {}: expected {} bytes for {} [{}], got {}",
            in_quotes(tensor.name), checked_bytes(tensor), tensor.dtype, fmt::join(tensor.shape, ", "),
            tensor.data.size());
    total += tensor.data.size();
  }
  bytes.reserve(total);
  for (const SafeTensor& tensor : file.tensors)
    bytes.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
  return bytes;
}

SafeTensors decode(std::string_view bytes, const std::string& source_name) {
  const auto fail = [&](std::size_t at, const std::string& expected, const std::string& found) {
    throw FileError(fmt::format("{}: byte {}: expected {}, found {}", source_name, at, expected, found));
  };
  if (bytes.size() < length_bytes)
    fail(0, "8 bytes with the length of the header", fmt::format("a file of {}", bytes.size()));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > header_limit_bytes)
    fail(0, fmt::format("a header of at most {} bytes", header_limit_bytes), fmt::format("{}", length));
  if (length > bytes.size() - length_bytes)
    fail(0, fmt::format("a header inside the file's {} bytes", bytes.size()), fmt::format("a header of {}", length));
  const std::string_view header = bytes.substr(length_bytes, length), data = bytes.substr(length_bytes + length);
  if (!header.starts_with('{'))
    fail(length_bytes, "{", header.empty() ? "an empty header" : in_quotes(header.substr(0, 1)));
  // The parser takes a zero byte for the end of its input, and would not look at what comes after.
  if (const std::size_t zero = header.find('\0'); zero != header.npos)
    fail(length_bytes + zero, "a header in JSON", "a zero byte");

  HeaderReader reader(source_name);
  json::sax_parse(header, &reader);
  const auto seal = reader.metadata.find(std::string(seal_key));
  const bool sealed = seal != reader.metadata.end();
  if (sealed) require_seal(header, seal->second, source_name);
  require_gapless(reader.entries, data.size(), source_name);

  SafeTensors file{.metadata = std::move(reader.metadata), .tensors = {}, .sealed = sealed};
  file.tensors.reserve(reader.entries.size());
  for (Entry& entry : reader.entries) {
    const auto part = std::as_bytes(std::span(data.substr(entry.begin, entry.end - entry.begin)));
    file.tensors.push_back(
        {std::move(entry.name), std::move(entry.dtype), std::move(entry.shape), {part.begin(), part.end()}});
  }
  if (sealed) require_seals(file, source_name);
  return file;
}

std::uintmax_t save_safetensors(const SafeTensors& file, const std::filesystem::path& path) {
  const std::string bytes = encode(file);
  write_file_atomically(path, bytes);
  return bytes.size();
}

std::uintmax_t largest_safetensors() {
  const std::uintmax_t memory_bytes =
      static_cast<std::uintmax_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uintmax_t>(sysconf(_SC_PAGESIZE));
  return memory_bytes / 2;
}

SafeTensors load_safetensors(const std::filesystem::path& path) {
  return decode(read_file(path, largest_safetensors()), path.string());
}

}  // namespace espalier
