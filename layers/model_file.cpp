#include "espalier/layers/model_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/core/version.h"
#include "espalier/layers/models.h"

namespace espalier {
namespace {

constexpr std::string_view format_key = "format", format_name = "espalier-2", older_format_name = "espalier-1";
constexpr std::string_view version_key = "version", model_key = "model", input_key = "input", outputs_key = "outputs",
                           preprocessing_key = "preprocessing", dataset_key = "dataset", seed_key = "seed",
                           fingerprint_key = "fingerprint", note_prefix = "note/";
constexpr std::string_view form_prefix = "form/", shape_prefix = "shape/", state_prefix = "state/";
constexpr std::string_view seed_prefix = "seed/", initialiser_prefix = "initialiser/", scale_prefix = "scale/",
                           check_prefix = "check/", value_prefix = "value/";

std::string key_of(std::string_view prefix, const std::string& name) {
  return std::string(prefix) + name;
}

bool about_parameter(const std::string& key) {
  constexpr std::array prefixes{form_prefix,  shape_prefix, seed_prefix, initialiser_prefix,
                                scale_prefix, check_prefix, value_prefix};
  return std::ranges::any_of(prefixes, [&](auto prefix) { return key.starts_with(prefix); });
}

std::string shape_text(const Parameter& W) {
  return fmt::format("{}x{}", W.rows(), W.cols());
}
std::string shape_text(const Shape& shape) {
  std::string text;
  for (int axis = 0; axis < shape.rank(); ++axis) text += fmt::format("{}{}", axis ? "x" : "", shape[axis]);
  return text;
}

bool finite(std::span<const Real> numbers) {
  return std::ranges::all_of(numbers, [](Real x) { return std::isfinite(x); });
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

std::map<std::string, std::string> metadata_of(const ModelCard& card) {
  std::map<std::string, std::string> metadata;
  const auto put = [&](std::string_view key, std::string text) {
    if (!text.empty()) metadata.emplace(key, std::move(text));
  };
  put(format_key, std::string(format_name));
  put(version_key, std::string(version()));
  if (!card.model.empty()) {
    require(
        card.input.rank() > 0 && card.outputs > 0,
        "[save_model] {}: expected the shape of a sample and a number of outputs with a model's name, got {} and {}",
        card.model, card.input.text(), card.outputs);
    put(model_key, card.model);
    put(input_key, shape_text(card.input));
    put(outputs_key, fmt::format("{}", card.outputs));
  }
  put(preprocessing_key, card.preprocessing);
  put(dataset_key, card.dataset);
  if (card.seed) put(seed_key, fmt::format("{}", *card.seed));
  if (card.fingerprint) put(fingerprint_key, fmt::format("{:016x}", *card.fingerprint));
  for (const auto& [key, value] : card.notes) metadata.emplace(key_of(note_prefix, key), value);
  return metadata;
}

void require_finite(const Module& model) {
  const auto check = [](const std::string& name, std::span<const Real> numbers) {
    if (!finite(numbers))
      throw DivergedError(fmt::format("[save_model] {}: expected finite numbers, got NaN or Inf", name));
  };
  model.visit_parameters([&](const Parameter& W) { check(W.name(), W.value()); });
  model.visit_state(check);
}

Packed pack(const Module& model, const ModelCard& card, const std::optional<Origin>& origin, Data data) {
  Packed packed;
  SafeTensors& file = packed.file;
  file.sealed = true;
  file.metadata = metadata_of(card);
  if (data == Data::present) require_finite(model);

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
    const std::string format = take_metadata(std::string(format_key));
    older_ = format == older_format_name;
    if (!older_ && format != format_name)
      fail_about("metadata", std::string(format_key),
                 fmt::format("{} or {}", in_quotes(format_name), in_quotes(older_format_name)),
                 format.empty() ? "none" : in_quotes(format));
    if (!older_ && !file_.sealed) fail_about("metadata", "crc32", "checksums, which files of this format have", "none");
    card_ = older_ ? older_card() : card();
  }

  const ModelCard& said() const { return card_; }

  // Each of these may be asked for once.
  Content parameter(const Parameter& W);
  std::vector<Real> state(const std::string& name, std::size_t count) {
    const std::string tensor = key_of(state_prefix, name);
    std::vector<Real> numbers = reals_in(take(tensor, {real_dtype}, {static_cast<Index>(count)}));
    require_finite(tensor, numbers);
    return numbers;
  }

  // To be called last.
  void require_nothing_left() const {
    if (!tensors_.empty()) {
      const SafeTensor& extra = *tensors_.begin()->second;
      fail(extra.name, "no tensor of this name in this model", type_text(extra));
    }
    for (const auto& [key, value] : metadata_)
      fail_about("metadata", key, "no parameter of this name in this model", in_quotes(value));
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

  void require_finite(const std::string& tensor, std::span<const Real> numbers) const {
    if (!finite(numbers)) fail(tensor, "finite numbers", "NaN or Inf");
  }

  // Takes what is not about parameters out of the metadata: all of it that there may be.
  ModelCard card();
  ModelCard older_card();
  Shape shape(const std::string& text) const;

  // Empty if there is none.
  std::string take_metadata(const std::string& key) {
    const auto found = metadata_.extract(key);
    return found.empty() ? std::string() : found.mapped();
  }
  // A tensor of one of these dtypes and of this shape, in which -1 stands for any extent.
  const SafeTensor& take(const std::string& name, std::initializer_list<std::string_view> dtypes,
                         const std::vector<Index>& shape);

  // What metadata say under this key, as a number: all of it.
  template <typename Number>
  Number number(const std::string& key, std::string_view expected, int base = 10);
  Drawn drawn(const Parameter& W);
  // values: how many the file has; none in the forms with a seed
  PatternPtr mask(const Parameter& W, Form form, std::optional<std::size_t> values);

  std::filesystem::path path_;
  SafeTensors file_;
  bool older_ = false;  // of format espalier-1
  ModelCard card_;
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
Number ModelFile::number(const std::string& key, std::string_view expected, int base) {
  const std::string text = take_metadata(key);
  Number found{};
  const char* const end = text.data() + text.size();
  std::from_chars_result result{};
  if constexpr (std::is_floating_point_v<Number>)
    result = std::from_chars(text.data(), end, found);
  else
    result = std::from_chars(text.data(), end, found, base);
  const bool whole = result.ec == std::errc() && result.ptr == end;
  if (!whole || !std::isfinite(static_cast<double>(found)))
    fail_about("metadata", key, expected, text.empty() ? "none" : in_quotes(text));
  return found;
}

// "1x28x28"
Shape ModelFile::shape(const std::string& text) const {
  constexpr Index most = Index{1} << 31;
  constexpr std::size_t most_extents = 4;  // of a Shape
  std::vector<Index> extents;
  const char *at = text.data(), *const end = at + text.size();
  double features = 1;
  for (bool more = true; more;) {
    Index extent = 0;
    const auto [stop, error] = std::from_chars(at, end, extent);
    features *= static_cast<double>(extent);
    more = error == std::errc() && stop != end && *stop == 'x';
    if (error != std::errc() || (!more && stop != end) || extent < 1 || features > static_cast<double>(most) ||
        extents.size() == most_extents)
      fail_about("metadata", std::string(input_key), "one to four extents such as 1x28x28, of up to 2^31 features",
                 text.empty() ? "none" : in_quotes(text));
    extents.push_back(extent);
    at = stop + 1;
  }
  return Shape(extents);
}

ModelCard ModelFile::card() {
  ModelCard card;
  const auto has = [&](std::string_view key) { return metadata_.contains(std::string(key)); };
  const auto text = [&](std::string_view key) { return take_metadata(std::string(key)); };
  if (card.version = text(version_key); card.version.empty())
    fail_about("metadata", std::string(version_key), "that of the Espalier that wrote the file", "none");
  if (has(model_key) || has(input_key) || has(outputs_key)) {
    if (card.model = text(model_key); card.model.empty())
      fail_about("metadata", std::string(model_key), "a name such as lenet-5", "none");
    card.input = shape(text(input_key));
    card.outputs = number<Index>(std::string(outputs_key), "a number of outputs");
    if (card.outputs < 1)
      fail_about("metadata", std::string(outputs_key), "a number of outputs", fmt::format("{}", card.outputs));
  }
  card.preprocessing = text(preprocessing_key);
  card.dataset = text(dataset_key);
  if (has(seed_key)) card.seed = number<std::uint64_t>(std::string(seed_key), "a seed");
  constexpr int hexadecimal = 16;
  if (has(fingerprint_key))
    card.fingerprint = number<std::uint64_t>(std::string(fingerprint_key), "hexadecimal digits", hexadecimal);
  for (auto at = metadata_.begin(); at != metadata_.end();) {
    const auto& [key, value] = *at;
    if (key.starts_with(note_prefix)) {
      card.notes.emplace(key.substr(note_prefix.size()), value);
      at = metadata_.erase(at);
      continue;
    }
    if (!about_parameter(key)) fail_about("metadata", key, "no such key in this format", in_quotes(value));
    ++at;
  }
  return card;
}

ModelCard ModelFile::older_card() {
  ModelCard card{.model = take_metadata(std::string(model_key)), .dataset = take_metadata(std::string(dataset_key))};
  for (auto at = metadata_.begin(); at != metadata_.end();)
    if (about_parameter(at->first)) {
      ++at;
    } else {
      card.notes.insert(*at);
      at = metadata_.erase(at);
    }
  return card;
}

Drawn ModelFile::drawn(const Parameter& W) {
  Drawn drawn;
  drawn.origin.seed = number<std::uint64_t>(key_of(seed_prefix, W.name()), "a seed");
  drawn.scale = number<Real>(key_of(scale_prefix, W.name()), "a number");
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
  if (form == Form::dense) {
    Content content{nullptr, reals_in(take(W.name(), {real_dtype}, {W.rows(), W.cols()}))};
    require_finite(W.name(), content.values);
    return content;
  }

  if ((form == Form::constant) == W.prunable())
    fail_about("metadata", form_key,
               W.prunable() ? "not constant, for this is a weight" : "dense or constant, for this is a bias",
               in_quotes(name));
  if (const std::string shape = take_metadata(shape_key); shape != shape_text(W))
    fail_about("metadata", shape_key, in_quotes(shape_text(W)), shape.empty() ? "none" : in_quotes(shape));
  if (form == Form::constant)
    return {nullptr, std::vector<Real>(static_cast<std::size_t>(W.positions()),
                                       number<Real>(key_of(value_prefix, W.name()), "a number"))};

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
  require_finite(W.name() + ".values", content.values);
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

ModelCard load(Module& model, ModelFile& file) {
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
  file.require_nothing_left();
  ModelCard card = file.said();

  // Nothing below throws.
  static_assert(std::is_nothrow_move_assignable_v<Parameter>);
  for (auto& [target, fresh] : parameters) *target = std::move(fresh);
  for (auto& [target, fresh] : states) std::ranges::copy(fresh, target.begin());
  return card;
}

}  // namespace

SavedModel save_model(const Module& model, const ModelCard& card, const std::filesystem::path& path,
                      const std::optional<Origin>& origin) {
  Packed packed = pack(model, card, origin, Data::present);
  return {save_safetensors(packed.file, path), std::move(packed.layers)};
}

SavedModel model_bytes(const Module& model, const ModelCard& card, const std::optional<Origin>& origin) {
  Packed packed = pack(model, card, origin, Data::absent);
  return {encode_header(packed.file).size() + bytes_of(packed.file.tensors), std::move(packed.layers)};
}

ModelCard load_model(Module& model, const std::filesystem::path& path) {
  ModelFile file(path);
  return load(model, file);
}

OpenedModel open_model(const std::filesystem::path& path, const Shape& input, Index outputs) {
  ModelFile file(path);
  const ModelCard& card = file.said();
  const auto fail = [&](std::string_view key, std::string_view expected) {
    refuse_in_file(path.string(), "metadata", std::string(key), expected, "none");
  };
  if (card.model.empty())
    fail(model_key, "a model's name such as lenet-5 (one that is made by code of your own is loaded into that)");
  const bool complete = card.outputs > 0;
  if (!complete && outputs == 0) fail(input_key, "the shape of a sample, which files of espalier-1 do not have");
  // Messages of make_model have the name in them as it is.
  if (!std::ranges::all_of(card.model, [](char c) { return c > ' ' && c < '\x7f'; }))
    refuse_in_file(path.string(), "metadata", std::string(model_key), "a name such as lenet-5", in_quotes(card.model));
  // Born with next to no weights, so that memory is only taken for those that are in the file, and a little more.
  constexpr double hardly_any = 1e-12;
  OpenedModel opened;
  try {
    opened.model =
        make_model(card.model, {.input = complete ? card.input : input,
                                .outputs = complete ? card.outputs : outputs,
                                .density = hardly_any,
                                .most_bytes_at_birth = 32e6 + static_cast<double>(std::filesystem::file_size(path))});
  } catch (const UsageError& error) {
    throw FileError(fmt::format("{}: {}", path.string(), error.what()));
  }
  opened.card = load(*opened.model, file);
  return opened;
}

ModelCard read_card(const std::filesystem::path& path) {
  return ModelFile(path).said();
}

}  // namespace espalier
