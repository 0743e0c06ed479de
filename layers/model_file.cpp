#include "espalier/layers/model_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

constexpr std::string_view format_key = "format", format_name = "espalier-1";
constexpr std::string_view form_prefix = "form/", shape_prefix = "shape/", state_prefix = "state/";
constexpr std::string_view seed_prefix = "seed/", initialiser_prefix = "initialiser/", scale_prefix = "scale/",
                           check_prefix = "check/", value_prefix = "value/";
constexpr std::string_view real_dtype = std::is_same_v<Real, double> ? "F64" : "F32";
constexpr std::uint8_t skip_and_continue = 255;  // as a delta: that many dead positions, and no weight yet

constexpr std::size_t limit = std::numeric_limits<std::uint32_t>::max() - 1;  // of live weights: slots are 32-bit

enum class Form { dense, bitmap, delta8, csr, seed, seed_bitmap, seed_delta8, constant };
constexpr std::array forms{Form::dense, Form::bitmap,      Form::delta8,      Form::csr,
                           Form::seed,  Form::seed_bitmap, Form::seed_delta8, Form::constant};

std::string_view name_of(Form form) {
  switch (form) {
    case Form::dense:
      return "dense";
    case Form::bitmap:
      return "bitmap";
    case Form::delta8:
      return "delta8";
    case Form::csr:
      return "csr";
    case Form::seed:
      return "seed";
    case Form::seed_bitmap:
      return "seed+bitmap";
    case Form::seed_delta8:
      return "seed+delta8";
    case Form::constant:
      return "constant";
  }
  return "?";
}

std::string key_of(std::string_view prefix, const std::string& name) {
  return std::string(prefix) + name;
}

bool reserved(const std::string& key) {
  constexpr std::array prefixes{form_prefix,  shape_prefix, seed_prefix, initialiser_prefix,
                                scale_prefix, check_prefix, value_prefix};
  return key == format_key || std::ranges::any_of(prefixes, [&](auto prefix) { return key.starts_with(prefix); });
}

std::string shape_text(const Parameter& W) {
  return fmt::format("{}x{}", W.rows(), W.cols());
}

Index bitmap_length(const Parameter& W) {
  return W.positions() / 8 + (W.positions() % 8 != 0);
}
std::string_view column_dtype(const Parameter& W) {
  return W.cols() <= Index{1} << 16 ? "U16" : "U32";
}
std::string_view row_begin_dtype(const Parameter& W) {
  return W.nonzeros() <= Index{std::numeric_limits<std::uint32_t>::max()} ? "U32" : "I64";
}

// visit(number of dead positions before the weight) for each live weight, in row-major order.
template <typename Visit>
void for_each_gap(const Parameter& W, Visit&& visit) {
  Index next = 0;
  W.for_each_weight([&](Index r, Index c, Index) {
    const Index position = r * W.cols() + c;
    visit(position - next);
    next = position + 1;
  });
}

Index delta_count(const Parameter& W) {
  if (!W.pattern()) return W.positions();
  Index count = 0;
  for_each_gap(W, [&](Index gap) { count += gap / skip_and_continue + 1; });
  return count;
}

// The form to write. Biases are dense: what is not prunable is not pruned.
Form cheapest(const Parameter& W, const FormBytes& bytes) {
  if (!W.prunable() || W.nonzeros() == W.positions()) return Form::dense;
  const auto least = std::min({bytes.bitmap, bytes.delta8, bytes.csr});
  return least == bytes.bitmap ? Form::bitmap : least == bytes.delta8 ? Form::delta8 : Form::csr;
}

// --- weights that can be drawn again
// ----------------------------------------------------------------------------------

struct Drawn {
  Origin origin;
  Real scale = 1;
};

bool same_bits(Real a, Real b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Whether every live weight of W is scale * initial, to the bit.
bool is_drawn(const Parameter& W, const InitialValues& initial, Real scale) {
  bool same = true;
  W.for_each_weight(
      [&](Index r, Index c, Index i) { same = same && same_bits(W.value()[i], scale * initial.at(r * W.cols() + c)); });
  return same;
}

// How W comes from `origin`, if it does. The quotient of two rounded numbers is the scale but for its last bits.
std::optional<Drawn> drawn_from(const Parameter& W, const Origin& origin) {
  const InitialValues initial(W, W.positions(), origin);
  Real quotient = 0;
  W.for_each_weight([&](Index r, Index c, Index i) {
    const Real first = quotient == 0 ? initial.at(r * W.cols() + c) : Real{0};
    if (first != 0) quotient = W.value()[i] / first;
  });
  if (!std::isfinite(quotient) || quotient == 0) return {};
  const Real up = std::nextafter(quotient, 2 * quotient), down = std::nextafter(quotient, Real{0});
  for (const Real scale : {quotient, up, down, std::nextafter(up, 2 * up), std::nextafter(down, Real{0})})
    if (is_drawn(W, initial, scale)) return Drawn{origin, scale};
  return {};
}

// The live weights, in row-major order.
std::vector<Real> drawn_values(const Parameter& W, const Pattern* pattern, const Drawn& drawn) {
  const InitialValues initial(W, W.positions(), drawn.origin);
  std::vector<Real> values;
  for (Index r = 0; r < W.rows(); ++r) {
    if (!pattern)
      for (Index c = 0; c < W.cols(); ++c) values.push_back(drawn.scale * initial.at(r * W.cols() + c));
    else
      for (const std::uint32_t c : pattern->row(r))
        values.push_back(drawn.scale * initial.at(r * W.cols() + static_cast<Index>(c)));
  }
  return values;
}

std::string check_of(std::span<const Real> values) {
  const auto bytes = std::as_bytes(values);
  return fmt::format("{:016x}", Random::hash({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

bool is_constant(const Parameter& W) {
  const auto value = W.value();
  return !W.pattern() && std::isfinite(value[0]) &&
         std::ranges::all_of(value, [&](Real v) { return same_bits(v, value[0]); });
}

// --- writing: first what tensors there will be, then what is in them ------------------------------------------------

std::vector<SafeTensor> describe(const Parameter& W, Form form) {
  const auto tensor = [&](std::string_view suffix, std::string_view dtype, std::vector<Index> shape) {
    return SafeTensor{W.name() + std::string(suffix), std::string(dtype), std::move(shape), {}};
  };
  const SafeTensor values = tensor(".values", real_dtype, {W.nonzeros()});
  switch (form) {
    case Form::dense:
      return {tensor("", real_dtype, {W.rows(), W.cols()})};
    case Form::bitmap:
      return {values, tensor(".bitmap", "U8", {bitmap_length(W)})};
    case Form::delta8:
      return {values, tensor(".deltas", "U8", {delta_count(W)})};
    case Form::csr:
      return {values, tensor(".row_begin", row_begin_dtype(W), {W.rows() + 1}),
              tensor(".columns", column_dtype(W), {W.nonzeros()})};
    case Form::seed_bitmap:
      return {tensor(".bitmap", "U8", {bitmap_length(W)})};
    case Form::seed_delta8:
      return {tensor(".deltas", "U8", {delta_count(W)})};
    case Form::seed:
    case Form::constant:
      return {};
  }
  return {};
}

std::uintmax_t bytes_of(const SafeTensor& tensor) {
  std::uintmax_t bytes = dtype_bytes(tensor.dtype);
  for (const Index extent : tensor.shape) bytes *= static_cast<std::uintmax_t>(extent);
  return bytes;
}

std::uintmax_t bytes_of(const std::vector<SafeTensor>& tensors) {
  std::uintmax_t bytes = 0;
  for (const SafeTensor& tensor : tensors) bytes += bytes_of(tensor);
  return bytes;
}

// tensor.data = numbers, each converted to Stored
template <typename Stored, typename Numbers>
void store(SafeTensor& tensor, const Numbers& numbers) {
  tensor.data.resize(numbers.size() * sizeof(Stored));
  std::byte* to = tensor.data.data();
  for (const auto number : numbers) {
    const auto stored = static_cast<Stored>(number);
    std::memcpy(to, &stored, sizeof stored);
    to += sizeof stored;
  }
}

void fill_bitmap(const Parameter& W, SafeTensor& tensor) {
  tensor.data.resize(static_cast<std::size_t>(bitmap_length(W)));
  W.for_each_weight([&](Index r, Index c, Index) {
    const Index position = r * W.cols() + c;
    tensor.data[position / 8] |= std::byte{1} << (position % 8);
  });
}

void fill_deltas(const Parameter& W, SafeTensor& tensor) {
  tensor.data.reserve(static_cast<std::size_t>(tensor.shape[0]));
  for_each_gap(W, [&](Index gap) {
    tensor.data.insert(tensor.data.end(), static_cast<std::size_t>(gap / skip_and_continue),
                       std::byte{skip_and_continue});
    tensor.data.push_back(static_cast<std::byte>(gap % skip_and_continue));
  });
}

// Fills what describe(W, form) returned.
void fill(const Parameter& W, Form form, std::vector<SafeTensor>& tensors) {
  if (tensors.empty()) return;
  if (form == Form::seed_bitmap) return fill_bitmap(W, tensors[0]);
  if (form == Form::seed_delta8) return fill_deltas(W, tensors[0]);
  if (form == Form::dense) {
    std::vector<Real> values(static_cast<std::size_t>(W.positions()), Real{0});
    W.for_each_weight([&](Index r, Index c, Index i) { values[r * W.cols() + c] = W.value()[i]; });
    store<Real>(tensors[0], values);
    return;
  }
  std::vector<Real> values;
  values.reserve(static_cast<std::size_t>(W.nonzeros()));
  W.for_each_weight([&](Index, Index, Index i) { values.push_back(W.value()[i]); });
  store<Real>(tensors[0], values);

  if (form == Form::bitmap) {
    fill_bitmap(W, tensors[1]);
  } else if (form == Form::delta8) {
    fill_deltas(W, tensors[1]);
  } else {
    const Pattern& pattern = *W.pattern();
    if (tensors[1].dtype == "U32")
      store<std::uint32_t>(tensors[1], pattern.row_begin());
    else
      store<std::int64_t>(tensors[1], pattern.row_begin());
    if (tensors[2].dtype == "U16")
      store<std::uint16_t>(tensors[2], pattern.column());
    else
      store<std::uint32_t>(tensors[2], pattern.column());
  }
}

enum class Data { absent, present };

struct Packed {
  SafeTensors file;
  std::vector<StoredLayer> layers;
};

// The form without values in which W can be written, if it can; `metadata` then says how to draw it again.
std::optional<Form> form_without_values(const Parameter& W, const Origin& origin, const FormBytes& bytes,
                                        std::map<std::string, std::string>& metadata) {
  if (!W.prunable()) {
    if (!is_constant(W)) return {};
    metadata.emplace(key_of(value_prefix, W.name()), fmt::format("{}", W.value()[0]));
    return Form::constant;
  }
  const std::optional<Drawn> drawn = drawn_from(W, origin);
  if (!drawn) return {};
  metadata.emplace(key_of(seed_prefix, W.name()), fmt::format("{}", origin.seed));
  metadata.emplace(key_of(initialiser_prefix, W.name()), name_of(origin.initialiser));
  metadata.emplace(key_of(scale_prefix, W.name()), fmt::format("{}", drawn->scale));
  metadata.emplace(key_of(check_prefix, W.name()), check_of(drawn_values(W, W.pattern().get(), *drawn)));
  if (W.nonzeros() == W.positions()) return Form::seed;
  return bytes.bitmap <= bytes.delta8 ? Form::seed_bitmap : Form::seed_delta8;
}

Packed pack(const Module& model, const std::map<std::string, std::string>& metadata, const std::optional<Origin>& origin,
            Data data) {
  Packed packed;
  SafeTensors& file = packed.file;
  for (const auto& [key, value] : metadata) {
    require(!reserved(key), "[save_model] {}: expected metadata without the format's own keys, got \"{}\"",
            model.name(), key);
    file.metadata.emplace(key, value);
  }
  file.metadata.emplace(format_key, format_name);

  model.visit_parameters([&](const Parameter& W) {
    const FormBytes bytes = form_bytes(W);
    const std::optional<Form> without = origin ? form_without_values(W, *origin, bytes, file.metadata) : std::nullopt;
    const Form form = without ? *without : cheapest(W, bytes);
    std::vector<SafeTensor> tensors = describe(W, form);
    packed.layers.push_back({W.name(), std::string(name_of(form)), bytes_of(tensors)});
    file.metadata.emplace(key_of(form_prefix, W.name()), name_of(form));
    if (form != Form::dense) file.metadata.emplace(key_of(shape_prefix, W.name()), shape_text(W));
    if (data == Data::present) fill(W, form, tensors);
    std::ranges::move(tensors, std::back_inserter(file.tensors));
  });
  model.visit_state([&](const std::string& name, std::span<const Real> numbers) {
    SafeTensor tensor{key_of(state_prefix, name), std::string(real_dtype), {static_cast<Index>(numbers.size())}, {}};
    packed.layers.push_back({tensor.name, std::string(name_of(Form::dense)), bytes_of(tensor)});
    if (data == Data::present) store<Real>(tensor, numbers);
    file.tensors.push_back(std::move(tensor));
  });
  std::ranges::stable_sort(file.tensors, std::greater{}, [](const SafeTensor& t) { return dtype_bytes(t.dtype); });
  return packed;
}

// --- reading --------------------------------------------------------------------------------------------------------

// The numbers of a tensor, converted to Number.
template <typename Stored, typename Number>
std::vector<Number> numbers_stored_as(const SafeTensor& tensor) {
  std::vector<Number> numbers(tensor.data.size() / sizeof(Stored));
  const std::byte* from = tensor.data.data();
  for (Number& number : numbers) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);
    number = static_cast<Number>(stored);
    from += sizeof stored;
  }
  return numbers;
}

// What a file says about one parameter.
struct Content {
  PatternPtr pattern;  // null: dense
  std::vector<Real> values;
};

class ModelFile final {
 public:
  explicit ModelFile(const std::filesystem::path& path) : path_(path), file_(load_safetensors(path)) {
    for (const SafeTensor& tensor : file_.tensors) tensors_.emplace(tensor.name, &tensor);
    metadata_ = file_.metadata;
    if (const std::string found = take_metadata(std::string(format_key)); found != format_name)
      fail_about("metadata", std::string(format_key), in_quotes(format_name),
                 found.empty() ? "none" : in_quotes(found));
  }

  // Each of these may be asked for once.
  Content parameter(const Parameter& W);
  std::vector<Real> state(const std::string& name, std::size_t count) {
    return values(take(key_of(state_prefix, name), {real_dtype}, {static_cast<Index>(count)}));
  }

  // To be called last: what the caller of save_model said.
  std::map<std::string, std::string> rest() {
    if (!tensors_.empty()) {
      const SafeTensor& extra = *tensors_.begin()->second;
      fail(extra.name, "no tensor of this name in this model", type_text(extra));
    }
    for (const auto& [key, value] : metadata_)
      if (reserved(key)) fail_about("metadata", key, "no parameter of this name in this model", in_quotes(value));
    return std::move(metadata_);
  }

 private:
  [[noreturn]] void fail_about(std::string_view kind, const std::string& name, std::string_view expected,
                               std::string_view found) const {
    throw FileError(
        fmt::format("{}: {} {}: expected {}, found {}", path_.string(), kind, in_quotes(name), expected, found));
  }
  [[noreturn]] void fail(const std::string& tensor, std::string_view expected, std::string_view found) const {
    fail_about("tensor", tensor, expected, found);
  }
  static std::string type_text(const SafeTensor& tensor) {
    return fmt::format("{} [{}]", tensor.dtype, fmt::join(tensor.shape, ", "));
  }
  static std::vector<Real> values(const SafeTensor& tensor) { return numbers_stored_as<Real, Real>(tensor); }

  // Empty if there is none.
  std::string take_metadata(const std::string& key) {
    const auto found = metadata_.extract(key);
    return found.empty() ? std::string() : found.mapped();
  }
  // A tensor of one of these dtypes and of this shape, in which -1 stands for any extent.
  const SafeTensor& take(const std::string& name, std::initializer_list<std::string_view> dtypes,
                         const std::vector<Index>& shape);

  // What metadata `prefix/W` says, as a number: all of it.
  template <typename Number>
  Number number(std::string_view prefix, const Parameter& W, std::string_view expected);
  Drawn drawn(const Parameter& W);
  // Of a mask: that it has a bit, or a delta, for each of the values, if the file has any.
  void check_count(const SafeTensor& tensor, std::string_view what, std::size_t found,
                   std::optional<std::size_t> values) const;
  // values: how many the file has
  PatternPtr bitmap(const Parameter& W, std::optional<std::size_t> values);
  PatternPtr delta8(const Parameter& W, std::optional<std::size_t> values);
  PatternPtr csr(const Parameter& W, std::size_t values);
  PatternPtr mask(const Parameter& W, Form form, std::optional<std::size_t> values) {
    return form == Form::bitmap || form == Form::seed_bitmap   ? bitmap(W, values)
           : form == Form::delta8 || form == Form::seed_delta8 ? delta8(W, values)
                                                               : csr(W, *values);
  }

  std::filesystem::path path_;
  SafeTensors file_;
  std::map<std::string, const SafeTensor*> tensors_;  // not yet taken
  std::map<std::string, std::string> metadata_;       // not yet taken
};

const SafeTensor& ModelFile::take(const std::string& name, std::initializer_list<std::string_view> dtypes,
                                  const std::vector<Index>& shape) {
  std::vector<std::string> extents;
  for (const Index extent : shape) extents.push_back(extent < 0 ? "any" : fmt::format("{}", extent));
  const std::string expected = fmt::format("{} [{}]", fmt::join(dtypes, " or "), fmt::join(extents, ", "));

  const auto found = tensors_.extract(name);
  if (found.empty()) fail(name, expected, "no tensor of this name");
  const SafeTensor& tensor = *found.mapped();
  const bool fits = std::ranges::equal(tensor.shape, shape, [](Index is, Index be) { return be < 0 || is == be; });
  if (!fits || std::ranges::find(dtypes, tensor.dtype) == dtypes.end()) fail(name, expected, type_text(tensor));
  return tensor;
}

template <typename Number>
Number ModelFile::number(std::string_view prefix, const Parameter& W, std::string_view expected) {
  const std::string key = key_of(prefix, W.name()), text = take_metadata(key);
  Number found{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, found);
  const bool whole = error == std::errc() && stop == end;
  if (!whole || !std::isfinite(static_cast<double>(found)))
    fail_about("metadata", key, expected, text.empty() ? "none" : in_quotes(text));
  return found;
}

Drawn ModelFile::drawn(const Parameter& W) {
  Drawn drawn;
  drawn.origin.seed = number<std::uint64_t>(seed_prefix, W, "a seed");
  drawn.scale = number<Real>(scale_prefix, W, "a number");
  const std::string key = key_of(initialiser_prefix, W.name()), name = take_metadata(key);
  try {
    drawn.origin.initialiser = initialiser_named(name);
  } catch (const UsageError&) {
    fail_about("metadata", key, "an initialiser such as signed-constant", name.empty() ? "none" : in_quotes(name));
  }
  return drawn;
}

Content ModelFile::parameter(const Parameter& W) {
  const std::string form_key = key_of(form_prefix, W.name()), shape_key = key_of(shape_prefix, W.name());
  const std::string name = take_metadata(form_key);
  const auto known = std::ranges::find(forms, name, [](Form form) { return name_of(form); });
  if (known == forms.end())
    fail_about("metadata", form_key, "dense, bitmap, delta8, csr, seed, seed+bitmap, seed+delta8 or constant",
               name.empty() ? "none" : in_quotes(name));
  const Form form = *known;
  if (form == Form::dense) return {nullptr, values(take(W.name(), {real_dtype}, {W.rows(), W.cols()}))};

  if ((form == Form::constant) == W.prunable())
    fail_about("metadata", form_key,
               W.prunable() ? "not constant, for this is a weight" : "dense or constant, for this is a bias",
               in_quotes(name));
  if (const std::string shape = take_metadata(shape_key); shape != shape_text(W))
    fail_about("metadata", shape_key, in_quotes(shape_text(W)), shape.empty() ? "none" : in_quotes(shape));
  if (form == Form::constant)
    return {nullptr,
            std::vector<Real>(static_cast<std::size_t>(W.positions()), number<Real>(value_prefix, W, "a number"))};

  Content content;
  if (form == Form::seed || form == Form::seed_bitmap || form == Form::seed_delta8) {
    const Drawn drawn = this->drawn(W);
    if (form != Form::seed) content.pattern = mask(W, form, {});
    content.values = drawn_values(W, content.pattern.get(), drawn);
    const std::string check_key = key_of(check_prefix, W.name()), check = take_metadata(check_key);
    if (const std::string found = check_of(content.values); check != found)
      fail_about("metadata", check_key, in_quotes(found) + ", that of the weights as they are drawn here",
                 check.empty() ? "none" : in_quotes(check));
    return content;
  }
  content.values = values(take(W.name() + ".values", {real_dtype}, {-1}));
  if (content.values.size() > limit)
    fail(W.name() + ".values", fmt::format("at most {} weights", limit), fmt::format("{}", content.values.size()));
  content.pattern = mask(W, form, content.values.size());
  return content;
}

void ModelFile::check_count(const SafeTensor& tensor, std::string_view what, std::size_t found,
                            std::optional<std::size_t> values) const {
  if (values && found != *values)
    fail(tensor.name, fmt::format("as many {} as there are values, {}", what, *values), fmt::format("{}", found));
  if (found > limit) fail(tensor.name, fmt::format("at most {} weights", limit), fmt::format("{}", found));
}

PatternPtr ModelFile::bitmap(const Parameter& W, std::optional<std::size_t> values) {
  const SafeTensor& tensor = take(W.name() + ".bitmap", {"U8"}, {bitmap_length(W)});
  const auto bits = numbers_stored_as<std::uint8_t, std::uint8_t>(tensor);
  std::size_t live = 0;
  for (const std::uint8_t byte : bits) live += static_cast<std::size_t>(std::popcount(byte));
  check_count(tensor, "bits set", live, values);
  if (const int used = static_cast<int>(W.positions() % 8); used != 0 && bits.back() >> used != 0)
    fail(tensor.name, fmt::format("no bit set after position {}", W.positions() - 1),
         fmt::format("a last byte of {:#04x}", bits.back()));

  std::vector<Index> positions;
  positions.reserve(live);
  for (std::size_t i = 0; i < bits.size(); ++i)
    for (unsigned byte = bits[i]; byte != 0; byte &= byte - 1)  // clears the lowest bit that is set
      positions.push_back(static_cast<Index>(i) * 8 + std::countr_zero(byte));
  return Pattern::from_positions(W.rows(), W.cols(), positions);
}

PatternPtr ModelFile::delta8(const Parameter& W, std::optional<std::size_t> values) {
  const SafeTensor& tensor = take(W.name() + ".deltas", {"U8"}, {-1});
  const auto deltas = numbers_stored_as<std::uint8_t, std::uint8_t>(tensor);
  const auto live = deltas.size() - static_cast<std::size_t>(std::ranges::count(deltas, skip_and_continue));
  check_count(tensor, "deltas below 255", live, values);
  if (!deltas.empty() && deltas.back() == skip_and_continue)
    fail(tensor.name, "a last delta below 255", "255 with no weight to come");

  std::vector<Index> positions;
  positions.reserve(live);
  Index next = 0;  // no overflow: at most 255 times the bytes of a file
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    next += deltas[i];
    if (deltas[i] == skip_and_continue) continue;
    if (next >= W.positions())
      fail(tensor.name, fmt::format("positions below {} = {}", shape_text(W), W.positions()),
           fmt::format("{} at delta {}", next, i));
    positions.push_back(next++);
  }
  return Pattern::from_positions(W.rows(), W.cols(), positions);
}

PatternPtr ModelFile::csr(const Parameter& W, std::size_t values) {
  const auto nonzeros = static_cast<Index>(values);
  const SafeTensor& begin_tensor = take(W.name() + ".row_begin", {"U32", "I64"}, {W.rows() + 1});
  const SafeTensor& column_tensor = take(W.name() + ".columns", {"U16", "U32"}, {nonzeros});
  auto begin = begin_tensor.dtype == "U32" ? numbers_stored_as<std::uint32_t, Index>(begin_tensor)
                                           : numbers_stored_as<std::int64_t, Index>(begin_tensor);
  auto column = column_tensor.dtype == "U16" ? numbers_stored_as<std::uint16_t, std::uint32_t>(column_tensor)
                                             : numbers_stored_as<std::uint32_t, std::uint32_t>(column_tensor);
  if (begin.front() != 0 || begin.back() != nonzeros)
    fail(begin_tensor.name, fmt::format("row beginnings from 0 to the number of values, {}", nonzeros),
         fmt::format("{} to {}", begin.front(), begin.back()));
  for (Index r = 0; r < W.rows(); ++r)
    if (begin[r] > begin[r + 1])
      fail(begin_tensor.name, "ascending row beginnings",
           fmt::format("{} for row {} and then {}", begin[r], r, begin[r + 1]));
  for (Index r = 0; r < W.rows(); ++r)
    for (Index n = begin[r]; n < begin[r + 1]; ++n) {
      if (column[n] >= W.cols())
        fail(column_tensor.name, fmt::format("columns below {}", W.cols()), fmt::format("{} in row {}", column[n], r));
      if (n > begin[r] && column[n] <= column[n - 1])
        fail(column_tensor.name, "ascending columns within a row",
             fmt::format("{} after {} in row {}", column[n], column[n - 1], r));
    }
  return Pattern::make(W.rows(), W.cols(), std::move(begin), std::move(column));
}

}  // namespace

FormBytes form_bytes(const Parameter& W) {
  const auto bytes = [&](Form form) { return bytes_of(describe(W, form)); };
  return {bytes(Form::dense), bytes(Form::bitmap), bytes(Form::delta8), bytes(Form::csr)};
}

double mask_entropy_bytes(const Parameter& W) {
  const double d = W.density();
  if (d <= 0 || d >= 1) return 0;
  return -(d * std::log2(d) + (1 - d) * std::log2(1 - d)) * static_cast<double>(W.positions()) / 8;
}

SavedModel save_model(const Module& model, const std::map<std::string, std::string>& metadata,
                      const std::filesystem::path& path, const std::optional<Origin>& origin) {
  Packed packed = pack(model, metadata, origin, Data::present);
  return {save_safetensors(packed.file, path), std::move(packed.layers)};
}

SavedModel model_bytes(const Module& model, const std::map<std::string, std::string>& metadata,
                       const std::optional<Origin>& origin) {
  Packed packed = pack(model, metadata, origin, Data::absent);
  return {encode_header(packed.file).size() + bytes_of(packed.file.tensors), std::move(packed.layers)};
}

std::map<std::string, std::string> load_model(Module& model, const std::filesystem::path& path) {
  ModelFile file(path);
  // Everything that can throw happens to copies.
  std::vector<std::pair<Parameter*, Parameter>> parameters;
  model.visit_parameters([&](Parameter& W) {
    const Content content = file.parameter(W);
    Parameter& fresh = parameters.emplace_back(&W, W).second;
    fresh.become(content.pattern, content.pattern ? Storage::csr : Storage::dense);
    std::ranges::copy(content.values, fresh.value().begin());
  });
  std::vector<std::pair<std::span<Real>, std::vector<Real>>> states;
  model.visit_state([&](const std::string& name, std::span<Real> numbers) {
    states.emplace_back(numbers, file.state(name, numbers.size()));
  });
  std::map<std::string, std::string> metadata = file.rest();

  // Nothing below throws.
  static_assert(std::is_nothrow_move_assignable_v<Parameter>);
  for (auto& [target, fresh] : parameters) *target = std::move(fresh);
  for (auto& [target, fresh] : states) std::ranges::copy(fresh, target.begin());
  return metadata;
}

}  // namespace espalier
