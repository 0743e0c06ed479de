#include "espalier/layers/model_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

constexpr std::string_view format_key = "format", format_name = "espalier-1";
constexpr std::string_view form_prefix = "form/", shape_prefix = "shape/", state_prefix = "state/";
constexpr std::string_view seed_prefix = "seed/", initialiser_prefix = "initialiser/", scale_prefix = "scale/",
                           check_prefix = "check/", value_prefix = "value/";

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

// --- writing: first what tensors there will be, then what is in them ------------------------------------------------

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

Packed pack(const Module& model, const std::map<std::string, std::string>& metadata,
            const std::optional<Origin>& origin, Data data) {
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
    const Form form = without ? *without : cheapest_form(W, bytes);
    std::vector<SafeTensor> tensors = form_tensors(W, form);
    packed.layers.push_back({W.name(), std::string(name_of(form)), bytes_of(tensors)});
    file.metadata.emplace(key_of(form_prefix, W.name()), name_of(form));
    if (form != Form::dense) file.metadata.emplace(key_of(shape_prefix, W.name()), shape_text(W));
    if (data == Data::present) fill_form(W, form, tensors);
    std::ranges::move(tensors, std::back_inserter(file.tensors));
  });
  model.visit_state([&](const std::string& name, std::span<const Real> numbers) {
    SafeTensor tensor{key_of(state_prefix, name), std::string(real_dtype), {static_cast<Index>(numbers.size())}, {}};
    packed.layers.push_back({tensor.name, std::string(name_of(Form::dense)), bytes_of(tensor)});
    if (data == Data::present) store_reals(tensor, numbers);
    file.tensors.push_back(std::move(tensor));
  });
  std::ranges::stable_sort(file.tensors, std::greater{}, [](const SafeTensor& t) { return dtype_bytes(t.dtype); });
  return packed;
}

// --- reading --------------------------------------------------------------------------------------------------------

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
    return reals_in(take(key_of(state_prefix, name), {real_dtype}, {static_cast<Index>(count)}));
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
    refuse_in_file(path_.string(), kind, name, expected, found);
  }
  [[noreturn]] void fail(const std::string& tensor, std::string_view expected, std::string_view found) const {
    fail_about("tensor", tensor, expected, found);
  }
  static std::string type_text(const SafeTensor& tensor) {
    return fmt::format("{} [{}]", tensor.dtype, fmt::join(tensor.shape, ", "));
  }

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
  // values: how many the file has; none in the forms with a seed
  PatternPtr mask(const Parameter& W, Form form, std::optional<std::size_t> values);

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
  const std::optional<Form> form_named = find_form(name);
  if (!form_named)
    fail_about("metadata", form_key, "dense, bitmap, delta8, csr, seed, seed+bitmap, seed+delta8 or constant",
               name.empty() ? "none" : in_quotes(name));
  const Form form = *form_named;
  if (form == Form::dense) return {nullptr, reals_in(take(W.name(), {real_dtype}, {W.rows(), W.cols()}))};

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
  content.values = reals_in(take(W.name() + ".values", {real_dtype}, {-1}));
  if (content.values.size() > most_weights)
    fail(W.name() + ".values", fmt::format("at most {} weights", most_weights),
         fmt::format("{}", content.values.size()));
  content.pattern = mask(W, form, content.values.size());
  return content;
}

PatternPtr ModelFile::mask(const Parameter& W, Form form, std::optional<std::size_t> values) {
  const std::string file = path_.string();
  if (form == Form::bitmap || form == Form::seed_bitmap)
    return bitmap_pattern(take(W.name() + ".bitmap", {"U8"}, {bitmap_length(W)}), W, values, file);
  if (form == Form::delta8 || form == Form::seed_delta8)
    return delta8_pattern(take(W.name() + ".deltas", {"U8"}, {-1}), W, values, file);
  const SafeTensor& row_begin = take(W.name() + ".row_begin", {"U32", "I64"}, {W.rows() + 1});
  const SafeTensor& columns = take(W.name() + ".columns", {"U16", "U32"}, {static_cast<Index>(*values)});
  return csr_pattern(row_begin, columns, W, file);
}

}  // namespace

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
