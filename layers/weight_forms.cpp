#include "espalier/layers/weight_forms.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "espalier/core/error.h"

namespace espalier {
namespace {

constexpr std::uint8_t skip_and_continue = 255;  // as a delta: that many dead positions, and no weight yet

std::string matrix_text(const Parameter& W) {
  return fmt::format("{}x{}", W.rows(), W.cols());
}
std::string_view column_dtype(const Parameter& W) {
  return W.cols() <= Index{1} << 16 ? "U16" : "U32";
}
// scipy wants indptr as wide as indices, if that is enough.
std::string_view scipy_begin_dtype(const Parameter& W) {
  return W.nonzeros() <= Index{std::numeric_limits<std::int32_t>::max()} ? "I32" : "I64";
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

void fill_bitmap(const Parameter& W, SafeTensor& tensor) {
  tensor.data.resize(bitmap_length(W));
  W.for_each_weight([&](Index r, Index c, Index) {
    const Index position = r * W.cols() + c;
    tensor.data[position / 8] |= std::byte{1} << (position % 8);
  });
}

void fill_deltas(const Parameter& W, SafeTensor& tensor) {
  tensor.data.reserve(tensor.shape[0]);
  for_each_gap(W, [&](Index gap) {
    tensor.data.insert(tensor.data.end(), static_cast<std::size_t>(gap / skip_and_continue),
                       std::byte{skip_and_continue});
    tensor.data.push_back(static_cast<std::byte>(gap % skip_and_continue));
  });
}

// tensors: values, row beginnings, columns. Numbers below 2^31 have the same bits with a sign and without.
void fill_csr(const PatternPtr& pattern, std::vector<SafeTensor>& tensors) {
  if (dtype_bytes(tensors[1].dtype) == sizeof(std::uint32_t))
    store<std::uint32_t>(tensors[1], pattern->row_begin());
  else
    store<std::int64_t>(tensors[1], pattern->row_begin());
  if (tensors[2].dtype == "U16")
    store<std::uint16_t>(tensors[2], pattern->column());
  else
    store<std::uint32_t>(tensors[2], pattern->column());
}

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

[[noreturn]] void fail(const std::string& file, const std::string& tensor, std::string_view expected,
                       std::string_view found) {
  refuse_in_file(file, "tensor", tensor, expected, found);
}

// That a mask has a bit, or a delta, for each of the values, if the file has any.
void check_count(const SafeTensor& tensor, std::string_view what, std::size_t found, std::optional<std::size_t> values,
                 const std::string& file) {
  if (values && found != *values)
    fail(file, tensor.name, fmt::format("as many {} as there are values, {}", what, *values), fmt::format("{}", found));
  if (found > most_weights)
    fail(file, tensor.name, fmt::format("at most {} weights", most_weights), fmt::format("{}", found));
}

}  // namespace

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
    case Form::scipy_csr:
      return "scipy-csr";
    case Form::shared:
      return "shared";
    case Form::shared_delta8:
      return "shared+delta8";
    case Form::linear8:
      return "linear8";
    case Form::linear8_delta8:
      return "linear8+delta8";
  }
  return "?";
}

std::optional<Form> find_form(std::string_view name) {
  const auto found = std::ranges::find(all_forms, name, [](Form form) { return name_of(form); });
  return found == all_forms.end() ? std::nullopt : std::optional(*found);
}

void refuse_in_file(const std::string& file, std::string_view kind, const std::string& name, std::string_view expected,
                    std::string_view found) {
  throw FileError(fmt::format("{}: {} {}: expected {}, found {}", file, kind, in_quotes(name), expected, found));
}

FormBytes form_bytes(const Parameter& W) {
  const auto bytes = [&](Form form) { return bytes_of(form_tensors(W, form)); };
  return {bytes(Form::dense), bytes(Form::bitmap), bytes(Form::delta8), bytes(Form::csr)};
}

double mask_entropy_bytes(const Parameter& W) {
  const double d = W.density();
  if (d <= 0 || d >= 1) return 0;
  return -(d * std::log2(d) + (1 - d) * std::log2(1 - d)) * static_cast<double>(W.positions()) / 8;
}

// --- writing ---------------------------------------------------------------------------------------------------------

Form cheapest_form(const Parameter& W, const FormBytes& bytes) {
  if (!W.prunable() || W.nonzeros() == W.positions()) return Form::dense;
  const auto least = std::min({bytes.bitmap, bytes.delta8, bytes.csr});
  return least == bytes.bitmap ? Form::bitmap : least == bytes.delta8 ? Form::delta8 : Form::csr;
}

std::vector<SafeTensor> form_tensors(const Parameter& W, Form form) {
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
    case Form::scipy_csr:
      return {tensor(".data", real_dtype, {W.nonzeros()}), tensor(".indptr", scipy_begin_dtype(W), {W.rows() + 1}),
              tensor(".indices", "I32", {W.nonzeros()}), tensor(".shape", "I64", {2})};
    default:
      return {};
  }
}

void fill_form(const Parameter& W, Form form, std::vector<SafeTensor>& tensors) {
  if (tensors.empty()) return;
  if (form == Form::seed_bitmap) return fill_bitmap(W, tensors[0]);
  if (form == Form::seed_delta8) return fill_deltas(W, tensors[0]);
  if (form == Form::dense) {
    std::vector<Real> values(W.positions(), Real{0});
    W.for_each_weight([&](Index r, Index c, Index i) { values[r * W.cols() + c] = W.value()[i]; });
    store<Real>(tensors[0], values);
    return;
  }
  std::vector<Real> values;
  values.reserve(W.nonzeros());
  W.for_each_weight([&](Index, Index, Index i) { values.push_back(W.value()[i]); });
  store<Real>(tensors[0], values);

  if (form == Form::bitmap) {
    fill_bitmap(W, tensors[1]);
  } else if (form == Form::delta8) {
    fill_deltas(W, tensors[1]);
  } else {
    fill_csr(W.pattern() ? W.pattern() : Pattern::full(W.rows(), W.cols()), tensors);
    if (form == Form::scipy_csr) store<std::int64_t>(tensors[3], std::array{W.rows(), W.cols()});
  }
}

SafeTensor deltas_of(const Parameter& W) {
  SafeTensor deltas{W.name() + ".deltas", "U8", {delta_count(W)}, {}};
  fill_deltas(W, deltas);
  return deltas;
}

// --- weights that can be drawn again ---------------------------------------------------------------------------------

// The quotient of two rounded numbers is the scale but for its last bits.
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

// --- reading ---------------------------------------------------------------------------------------------------------

Index bitmap_length(const Parameter& W) {
  return W.positions() / 8 + (W.positions() % 8 != 0);
}

std::vector<Real> reals_in(const SafeTensor& tensor) {
  return numbers_stored_as<Real, Real>(tensor);
}

void store_reals(SafeTensor& tensor, std::span<const Real> numbers) {
  store<Real>(tensor, numbers);
}

PatternPtr bitmap_pattern(const SafeTensor& tensor, const Parameter& W, std::optional<std::size_t> values,
                          const std::string& file) {
  const auto bits = numbers_stored_as<std::uint8_t, std::uint8_t>(tensor);
  std::size_t live = 0;
  for (const std::uint8_t byte : bits) live += static_cast<std::size_t>(std::popcount(byte));
  check_count(tensor, "bits set", live, values, file);
  if (const int used = static_cast<int>(W.positions() % 8); used != 0 && bits.back() >> used != 0)
    fail(file, tensor.name, fmt::format("no bit set after position {}", W.positions() - 1),
         fmt::format("a last byte of {:#04x}", bits.back()));

  std::vector<Index> positions;
  positions.reserve(live);
  for (std::size_t i = 0; i < bits.size(); ++i)
    for (unsigned byte = bits[i]; byte != 0; byte &= byte - 1)  // clears the lowest bit that is set
      positions.push_back(static_cast<Index>(i) * 8 + std::countr_zero(byte));
  return Pattern::from_positions(W.rows(), W.cols(), positions);
}

PatternPtr delta8_pattern(const SafeTensor& tensor, const Parameter& W, std::optional<std::size_t> values,
                          const std::string& file) {
  const auto deltas = numbers_stored_as<std::uint8_t, std::uint8_t>(tensor);
  const auto live = deltas.size() - static_cast<std::size_t>(std::ranges::count(deltas, skip_and_continue));
  check_count(tensor, "deltas below 255", live, values, file);
  if (!deltas.empty() && deltas.back() == skip_and_continue)
    fail(file, tensor.name, "a last delta below 255", "255 with no weight to come");

  std::vector<Index> positions;
  positions.reserve(live);
  Index next = 0;  // no overflow: at most 255 times the bytes of a file
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    next += deltas[i];
    if (deltas[i] == skip_and_continue) continue;
    if (next >= W.positions())
      fail(file, tensor.name, fmt::format("positions below {} = {}", matrix_text(W), W.positions()),
           fmt::format("{} at delta {}", next, i));
    positions.push_back(next++);
  }
  return Pattern::from_positions(W.rows(), W.cols(), positions);
}

PatternPtr csr_pattern(const SafeTensor& begin_tensor, const SafeTensor& column_tensor, const Parameter& W,
                       const std::string& file) {
  auto begin = begin_tensor.dtype == "U32"   ? numbers_stored_as<std::uint32_t, Index>(begin_tensor)
               : begin_tensor.dtype == "I32" ? numbers_stored_as<std::int32_t, Index>(begin_tensor)
                                             : numbers_stored_as<std::int64_t, Index>(begin_tensor);
  auto column = column_tensor.dtype == "U16" ? numbers_stored_as<std::uint16_t, std::uint32_t>(column_tensor)
                                             : numbers_stored_as<std::uint32_t, std::uint32_t>(column_tensor);
  const auto nonzeros = static_cast<Index>(column.size());
  if (begin.front() != 0 || begin.back() != nonzeros)
    fail(file, begin_tensor.name, fmt::format("row beginnings from 0 to the number of values, {}", nonzeros),
         fmt::format("{} to {}", begin.front(), begin.back()));
  for (Index r = 0; r < W.rows(); ++r)
    if (begin[r] > begin[r + 1])
      fail(file, begin_tensor.name, "ascending row beginnings",
           fmt::format("{} for row {} and then {}", begin[r], r, begin[r + 1]));
  for (Index r = 0; r < W.rows(); ++r)
    for (Index n = begin[r]; n < begin[r + 1]; ++n) {
      if (column[n] >= W.cols())
        fail(file, column_tensor.name, fmt::format("columns below {}", W.cols()),
             fmt::format("{} in row {}", column[n], r));
      if (n > begin[r] && column[n] <= column[n - 1])
        fail(file, column_tensor.name, "ascending columns within a row",
             fmt::format("{} after {} in row {}", column[n], column[n - 1], r));
    }
  return Pattern::make(W.rows(), W.cols(), std::move(begin), std::move(column));
}

}  // namespace espalier
