#include "espalier/layers/model_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/core/version.h"
#include "espalier/layers/compressed_forms.h"
#include "espalier/layers/fold_norm.h"
#include "espalier/layers/models.h"
#include "espalier/layers/widths.h"

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

std::vector<std::string_view> names_of_forms() {
  std::vector<std::string_view> names;
  for (const Form form : all_forms) names.push_back(name_of(form));
  return names;
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

}  // namespace

std::map<std::string, std::string> text_of(const ModelCard& card) {
  std::map<std::string, std::string> metadata;
  const auto put = [&](std::string_view key, std::string text) {
    if (!text.empty()) metadata.emplace(key, std::move(text));
  };
  put(version_key, std::string(version()));
  if (!card.model.empty()) {
    require(card.input.rank() > 0 && card.outputs > 0,
            "[model] {}: expected the shape of a sample and a number of outputs with a model's name, got {} and {}",
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
    if (!finite(numbers)) throw DivergedError(fmt::format("[model] {}: expected finite numbers, got NaN or Inf", name));
  };
  model.visit_parameters([&](const Parameter& W) { check(W.name(), W.value()); });
  model.visit_state(check);
}

namespace {

// A parameter as it goes into the file; tensors of the compressed forms have their data already.
struct Written {
  Form form;
  std::vector<SafeTensor> tensors;
};

Written written(const Parameter& W, const SaveOptions& options, std::map<std::string, std::string>& metadata) {
  if (options.layout == Layout::csr) {
    const Form form = W.prunable() ? Form::scipy_csr : Form::dense;
    return {form, form_tensors(W, form)};
  }
  const FormBytes bytes = form_bytes(W);
  const std::optional<Form> without =
      options.origin ? form_without_values(W, *options.origin, bytes, metadata) : std::nullopt;
  const Form form = without ? *without : cheapest_form(W, bytes);
  Written plain{form, form_tensors(W, form)};
  if (options.layout != Layout::compressed || without || !W.prunable()) return plain;
  std::optional<CompressedWeights> small = compressed(W);
  if (!small || bytes_of(small->tensors) >= bytes_of(plain.tensors)) return plain;
  return {small->form, std::move(small->tensors)};
}

Packed pack(const Module& model, const ModelCard& card, const SaveOptions& options, Data data) {
  Packed packed;
  SafeTensors& file = packed.file;
  file.sealed = true;
  file.metadata = text_of(card);
  file.metadata.emplace(format_key, format_name);
  if (data == Data::present || options.layout == Layout::compressed) require_finite(model);

  model.visit_parameters([&](const Parameter& W) {
    auto [form, tensors] = written(W, options, file.metadata);
    packed.layers.push_back({W.name(), std::string(name_of(form)), bytes_of(tensors)});
    file.metadata.emplace(key_of(form_prefix, W.name()), name_of(form));
    if (form != Form::dense) file.metadata.emplace(key_of(shape_prefix, W.name()), shape_text(W));
    if (data == Data::present && !is_compressed(form)) fill_form(W, form, tensors);
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

std::array<Index, 2> two_extents_in(const SafeTensor& shape) {
  std::array<Index, 2> extents;
  std::memcpy(extents.data(), shape.data.data(), sizeof extents);
  return extents;
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

  // Rows or columns of a parameter, as the file has them; none if it does not say.
  std::optional<Index> extent(const std::string& parameter, Place::Of of) const;

  bool has_state(const std::string& name) const { return tensors_.contains(key_of(state_prefix, name)); }
  bool has_parameter(const std::string& name) const { return metadata_.contains(key_of(form_prefix, name)); }

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
  Content drawn_again(const Parameter& W, Form form);
  Content unpacked_again(const Parameter& W, Form form);
  // To be called before memory is taken for numbers that are not in the file as they are.
  void claim(Index numbers, const Parameter& W);

  std::filesystem::path path_;
  SafeTensors file_;
  bool older_ = false;  // of format espalier-1
  ModelCard card_;
  Index left_to_claim_ = Index{1} << 28;
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

std::optional<Index> ModelFile::extent(const std::string& parameter, Place::Of of) const {
  const std::size_t axis = of == Place::Of::rows ? 0 : 1;
  if (const auto tensor = tensors_.find(parameter); tensor != tensors_.end() && tensor->second->shape.size() == 2)
    return tensor->second->shape[axis];
  const auto said = metadata_.find(key_of(shape_prefix, parameter));
  if (said == metadata_.end()) return {};
  const std::string& text = said->second;
  const std::size_t by = text.find('x');
  if (by == std::string::npos) return {};
  const char *begin = text.data() + (axis == 0 ? 0 : by + 1), *end = text.data() + (axis == 0 ? by : text.size());
  Index extent = 0;
  const auto [stop, error] = std::from_chars(begin, end, extent);
  return error == std::errc() && stop == end ? std::optional(extent) : std::nullopt;
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
    fail_about("metadata", form_key, fmt::format("one of {}", fmt::join(names_of_forms(), ", ")),
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
  if (form == Form::constant) {
    claim(W.positions(), W);
    return {nullptr, std::vector<Real>(static_cast<std::size_t>(W.positions()),
                                       number<Real>(key_of(value_prefix, W.name()), "a number"))};
  }
  if (form == Form::seed || form == Form::seed_bitmap || form == Form::seed_delta8) return drawn_again(W, form);
  if (is_compressed(form)) return unpacked_again(W, form);

  Content content;
  const std::string values = W.name() + (form == Form::scipy_csr ? ".data" : ".values");
  content.values = reals_in(take(values, {real_dtype}, {-1}));
  if (content.values.size() > most_weights)
    fail(values, fmt::format("at most {} weights", most_weights), fmt::format("{}", content.values.size()));
  require_finite(values, content.values);
  content.pattern = mask(W, form, content.values.size());
  if (content.pattern->full() && form == Form::scipy_csr) content.pattern = nullptr;
  return content;
}

void ModelFile::claim(Index numbers, const Parameter& W) {
  if (numbers > left_to_claim_)
    fail_about("metadata", key_of(form_prefix, W.name()),
               fmt::format("at most {} numbers that are not in the file as they are", left_to_claim_),
               fmt::format("{} of them", numbers));
  left_to_claim_ -= numbers;
}

Content ModelFile::drawn_again(const Parameter& W, Form form) {
  const Drawn drawn = this->drawn(W);
  Content content;
  if (form != Form::seed) content.pattern = mask(W, form, {});
  claim(content.pattern ? content.pattern->nonzeros() : W.positions(), W);
  content.values = drawn_values(W, content.pattern.get(), drawn);
  const std::string check_key = key_of(check_prefix, W.name()), check = take_metadata(check_key);
  if (const std::string found = check_of(content.values); check != found)
    fail_about("metadata", check_key, in_quotes(found) + ", that of the weights as they are drawn here",
               check.empty() ? "none" : in_quotes(check));
  return content;
}

Content ModelFile::unpacked_again(const Parameter& W, Form form) {
  const std::string file = path_.string();
  const bool shared = form == Form::shared || form == Form::shared_delta8;
  Content content;
  if (form == Form::shared_delta8 || form == Form::linear8_delta8) {
    const SafeTensor& stream = take(W.name() + ".deltas.zlib", {"U8"}, {-1});
    const Index most = std::min(W.positions(), left_to_claim_);
    content.pattern = delta8_pattern(unpacked(stream, static_cast<std::size_t>(most), file), W, {}, file);
  }
  const Index live = content.pattern ? content.pattern->nonzeros() : W.positions();
  claim(live, W);
  const std::string entries = W.name() + (shared ? ".codebook" : ".step");
  const std::vector<Real> codebook = reals_in(take(entries, {real_dtype}, {shared ? -1 : 1}));
  require_finite(entries, codebook);
  const SafeTensor codes = unpacked(take(W.name() + ".codes.zlib", {"U8"}, {-1}), static_cast<std::size_t>(live), file);
  if (std::ssize(codes.data) != live)
    fail(codes.name, fmt::format("{} codes", live), fmt::format("{}", codes.data.size()));
  content.values = decoded_values(form, codebook, codes, file);
  require_finite(codes.name, content.values);
  return content;
}

PatternPtr ModelFile::mask(const Parameter& W, Form form, std::optional<std::size_t> values) {
  const std::string file = path_.string();
  if (form == Form::bitmap || form == Form::seed_bitmap)
    return bitmap_pattern(take(W.name() + ".bitmap", {"U8"}, {bitmap_length(W)}), W, values, file);
  if (form == Form::delta8 || form == Form::seed_delta8)
    return delta8_pattern(take(W.name() + ".deltas", {"U8"}, {-1}), W, values, file);
  if (form == Form::scipy_csr) {
    const SafeTensor& shape = take(W.name() + ".shape", {"I64"}, {2});
    if (const std::array found = two_extents_in(shape); found != std::array{W.rows(), W.cols()})
      fail(shape.name, shape_text(W), fmt::format("{}x{}", found[0], found[1]));
    const SafeTensor& indptr = take(W.name() + ".indptr", {"I32", "I64"}, {W.rows() + 1});
    const SafeTensor& indices = take(W.name() + ".indices", {"I32"}, {static_cast<Index>(*values)});
    return csr_pattern(indptr, indices, W, file);
  }
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

// Batch norms of which the file has only the shift were folded into what stands before them (layers/fold_norm.h).
void fold_as_in(const ModelFile& file, Module& model) {
  constexpr std::string_view suffix = ".running_mean";
  std::vector<std::string> folded;
  model.visit_state([&](const std::string& state, std::span<const Real>) {
    if (!state.ends_with(suffix)) return;
    const std::string norm = state.substr(0, state.size() - suffix.size());
    if (!file.has_state(state) && !file.has_state(norm + ".running_variance") && !file.has_parameter(norm + ".gamma") &&
        file.has_parameter(norm + ".beta"))
      folded.push_back(norm);
  });
  forget_norms(model, folded);
}

// Makes the model as narrow as the one in the file: where groups may go at all, and fewer are in the file. Whether all
// parameters then have the extents that the file says is asked when they are loaded.
void narrow_as_in(const ModelFile& file, Module& model, const Shape& input) {
  bool same = true;
  model.visit_parameters([&](const Parameter& W) {
    same &= file.extent(W.name(), Place::Of::rows).value_or(W.rows()) == W.rows() &&
            file.extent(W.name(), Place::Of::columns).value_or(W.cols()) == W.cols();
  });
  if (same) return;
  const std::vector<Width> widths = widths_of(model, input);
  Kept kept = all_of(widths);
  for (std::size_t w = 0; w < widths.size(); ++w) {
    const auto& places = widths[w].places;
    const auto rows = std::ranges::find(places, Place::Of::rows, &Place::of);
    if (!widths[w].fixed.empty() || rows == places.end()) continue;
    const Index each = std::ssize(rows->group) / widths[w].groups;
    const Index groups = file.extent(rows->name, Place::Of::rows).value_or(0) / each;
    if (groups >= 1 && groups < widths[w].groups) kept[w].resize(static_cast<std::size_t>(groups));
  }
  narrow(model, widths, kept);
}

}  // namespace

Layout layout_named(std::string_view name) {
  if (name == "smallest") return Layout::smallest;
  if (name == "csr") return Layout::csr;
  if (name == "compressed") return Layout::compressed;
  throw UsageError(fmt::format("[layout] expected smallest, csr or compressed, got {}", in_quotes(name)));
}

SavedModel save_model(const Module& model, const ModelCard& card, const std::filesystem::path& path,
                      const SaveOptions& options) {
  Packed packed = pack(model, card, options, Data::present);
  return {save_safetensors(packed.file, path), std::move(packed.layers)};
}

SavedModel model_bytes(const Module& model, const ModelCard& card, const SaveOptions& options) {
  Packed packed = pack(model, card, options, Data::absent);
  return {encode_header(packed.file).size() + bytes_of(packed.file.tensors), std::move(packed.layers)};
}

ModelCard load_model(Module& model, const std::filesystem::path& path) {
  ModelFile file(path);
  return load(model, file);
}

ModelCard load_narrowed(Module& model, const Shape& input, const std::filesystem::path& path) {
  ModelFile file(path);
  fold_as_in(file, model);
  narrow_as_in(file, model, input);
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
    fold_as_in(file, *opened.model);
    narrow_as_in(file, *opened.model, complete ? card.input : input);
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
