#include "espalier/layers/models.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"

namespace espalier {
namespace {

constexpr std::string_view mlp_prefix = "mlp:", tabular_prefix = "tabular:", tabular_resnet_prefix = "tabular-resnet:",
                           gru_prefix = "gru:";

// What may stand behind the name of a model for tables.
struct Suffixes {
  bool norm = false;
  double dropout = 0;
};

// Puts one layer after the other and keeps track of the shape in between.
class Builder {
 public:
  Builder(std::string name, const ModelOptions& options)
      : name_(std::move(name)), options_(options), model_(std::make_unique<Sequential>(name_)), shape_(options.input) {}

  Builder& linear(const std::string& name, Index out, Activation f = Activation::none, bool bias = true) {
    return add(std::make_unique<Linear>(LinearOptions{.name = name,
                                                      .in = shape_.features(),
                                                      .out = out,
                                                      .activation = f,
                                                      .bias = bias,
                                                      .pattern = born(name, out, shape_.features())},
                                        options_.seed));
  }
  // relu(W x + b), or relu(norm(W x)), and dropout behind it.
  Builder& hidden(const std::string& name, Index out, const Suffixes& suffixes) {
    if (suffixes.norm)
      linear(name, out, Activation::none, /*bias=*/false).batch_norm(name + ".norm", Activation::relu);
    else
      linear(name, out, Activation::relu);
    return suffixes.dropout > 0 ? add(std::make_unique<Dropout>(name + ".dropout", static_cast<Real>(suffixes.dropout)))
                                : *this;
  }
  // Of features.
  Builder& batch_norm(const std::string& name, Activation f) {
    return add(
        std::make_unique<BatchNorm>(BatchNormOptions{.name = name, .channels = shape_.features(), .activation = f}));
  }
  Builder& conv(const std::string& name, Index out, const Window& window, Activation f = Activation::none,
                bool max_pool = false) {
    return add(convolution(name, out, window, f, max_pool, /*bias=*/true));
  }
  // Convolution, batch normalisation, activation. Normalising takes a bias away again, so there is none.
  Builder& normalised_conv(const std::string& name, Index out, const Window& window, Activation f) {
    add(convolution(name, out, window, Activation::none, /*max_pool=*/false, /*bias=*/false));
    return add(std::make_unique<BatchNorm>(BatchNormOptions{.name = name + ".norm", .channels = out, .activation = f}));
  }
  Builder& max_pool(const std::string& name) { return add(std::make_unique<MaxPool>(PoolOptions{.name = name})); }
  Builder& global_average_pool() { return add(std::make_unique<GlobalAveragePool>()); }
  // ReLU behind it; padded so that a stride of one keeps the number of steps.
  Builder& conv1d(const std::string& name, Index out, Index kernel, Index stride) {
    require_steps();
    return add(
        std::make_unique<Conv1d>(Conv1dOptions{.name = name,
                                               .in = shape_[1],
                                               .out = out,
                                               .window = {.kernel = kernel, .stride = stride, .padding = kernel / 2},
                                               .activation = Activation::relu,
                                               .pattern = born(name, out, shape_[1] * kernel)},
                                 options_.seed));
  }
  Builder& gru(const std::string& name, Index units) {
    require_steps();
    return add(std::make_unique<Gru>(GruOptions{.name = name,
                                                .in = shape_[1],
                                                .units = units,
                                                .input_pattern = born(name + ".input", 3 * units, shape_[1]),
                                                .hidden_pattern = born(name + ".hidden", 3 * units, units)},
                                     options_.seed));
  }
  Builder& mean_over_time() { return add(std::make_unique<MeanOverTime>()); }
  // relu(body(x) + shortcut(x)) of two normalised 3 x 3 convolutions (He et al. 2016); the shortcut is the identity or,
  // where the shape changes, a normalised 1 x 1 convolution.
  Builder& residual_block(const std::string& name, Index out, Index stride) {
    Window first = three_by_three, projection{.stride = stride};
    first.stride = stride;
    Builder body(name + ".body", at(shape_)), shortcut(name + ".shortcut", at(shape_));
    body.bytes_ = bytes_;
    body.normalised_conv(name + ".conv1", out, first, Activation::relu)
        .normalised_conv(name + ".conv2", out, three_by_three, Activation::none);
    const bool same = stride == 1 && shape_[0] == out;
    if (!same) shortcut.normalised_conv(name + ".projection", out, projection, Activation::none);
    bytes_ = body.bytes_;
    return add(std::make_unique<Residual>(name, body.done(), same ? nullptr : shortcut.done(), Activation::relu));
  }
  // x + fc2(hidden(norm(x))), fc1 twice as wide as x: nothing but the sum stands between two blocks.
  Builder& tabular_block(const std::string& name, const Suffixes& suffixes) {
    const Index width = shape_.features();
    Builder body(name + ".body", at(shape_));
    body.bytes_ = bytes_;
    body.batch_norm(name + ".norm", Activation::none)
        .hidden(name + ".fc1", 2 * width, suffixes)
        .linear(name + ".fc2", width);
    bytes_ = body.bytes_;
    return add(std::make_unique<Residual>(name, body.done()));
  }
  // Refuses a matrix that would not fit into memory beside those before it. Value, one optimizer slot and, if sparse,
  // column, transposed column and slot number; for every row and column, if sparse, where it begins.
  void require_memory(double rows, double cols) {
    const bool sparse = options_.density < 1;
    bytes_ += rows * cols * options_.density * (sparse ? 24 : 8) + (sparse ? (rows + cols) * 8 : 0);
    const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    require(bytes_ < memory,
            "[model] {}: expected a model that fits into this machine's {:.1f} GB, got one that needs {:.1f} GB", name_,
            memory * 1e-9, bytes_ * 1e-9);
  }

  ModulePtr done() { return std::move(model_); }

  static constexpr Window three_by_three{
      .kernel_height = 3, .kernel_width = 3, .padding_height = 1, .padding_width = 1};

 private:
  ModelOptions at(const Shape& shape) const {
    ModelOptions options = options_;
    options.input = shape;
    return options;
  }
  Builder& add(ModulePtr module) {
    shape_ = module->output_shape(shape_);
    model_->add(std::move(module));
    return *this;
  }
  void require_steps() const {
    require(shape_.rank() == 2, "[model] {}: expected sequences [steps, features], got samples of {}", name_,
            shape_.text());
  }
  // Without ReLU behind it (LeNet-5), Kaiming's factor of two would grow from layer to layer.
  ModulePtr convolution(const std::string& name, Index out, const Window& window, Activation f, bool max_pool,
                        bool bias) {
    require(shape_.rank() == 3, "[model] {}: expected images [C, H, W], got samples of {}", name_, shape_.text());
    return std::make_unique<Conv2d>(
        Conv2dOptions{.name = name,
                      .in = shape_[0],
                      .out = out,
                      .window = window,
                      .activation = f,
                      .max_pool = max_pool,
                      .bias = bias,
                      .initialiser = f == Activation::relu || !bias ? Initialiser::kaiming : Initialiser::xavier,
                      .pattern = born(name, out, shape_[0] / window.groups * window.taps())},
        options_.seed);
  }
  // The pattern that a layer of these extents is born with, if any. Refuses what would not fit into memory.
  PatternPtr born(const std::string& name, Index rows, Index cols) {
    require_memory(static_cast<double>(rows), static_cast<double>(cols));
    if (options_.density >= 1) return nullptr;
    const auto live = std::llround(options_.density * static_cast<double>(rows) * static_cast<double>(cols));
    return Pattern::random(rows, cols, std::max<Index>(live, 1), Random(options_.seed, "born-sparse/" + name));
  }
  std::string name_;
  ModelOptions options_;
  std::unique_ptr<Sequential> model_;
  Shape shape_;
  double bytes_ = 0;
};

// "300-100" -> {300, 100}
std::vector<Index> parse_extents(const std::string& model, std::string_view text, std::string_view example,
                                 char separator = '-') {
  std::vector<Index> extents;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    Index extent = 0;
    const auto [stop, error] = std::from_chars(at, end, extent);
    require(error == std::errc() && extent > 0 && extent <= Index{1} << 31,
            "[model] {}: expected extents from 1 to 2^31 such as {}, got \"{}\"", model, example, text);
    extents.push_back(extent);
    if (stop == end) break;
    require(*stop == separator, "[model] {}: expected extents joined by '{}', got '{}'", model, separator, *stop);
    at = stop + 1;
  }
  return extents;
}

std::vector<Index> extents_of(const std::string& name) {
  if (name == "lenet-300-100") return {784, 300, 100, 10};
  const std::vector<Index> extents =
      parse_extents(name, std::string_view(name).substr(mlp_prefix.size()), "mlp:784-300-10");
  require(extents.size() >= 2, "[model] {}: expected at least inputs and outputs, got {} extent", name, extents.size());
  return extents;
}

bool is_mlp(const std::string& name) {
  return name == "lenet-300-100" || name.starts_with(mlp_prefix);
}

// Linear layers with ReLU between them.
ModulePtr mlp(const std::string& name, const ModelOptions& options) {
  const std::vector<Index> extents = extents_of(name);
  require(extents.front() == options.input.features(), "[model] {}: expected data of {} inputs, got samples of {} = {}",
          name, extents.front(), options.input.text(), options.input.features());
  require(extents.back() == options.outputs, "[model] {}: expected data of {} classes or outputs, got {}", name,
          extents.back(), options.outputs);
  Builder all(name, options);  // nothing is allocated before all are known to fit
  for (std::size_t i = 1; i < extents.size(); ++i)
    all.require_memory(static_cast<double>(extents[i]), static_cast<double>(extents[i - 1]));
  Builder model(name, options);
  for (std::size_t i = 1; i + 1 < extents.size(); ++i)
    model.linear(fmt::format("fc{}", i), extents[i], Activation::relu);
  return model.linear("output", extents.back()).done();
}

// A table model's name without prefix and suffixes, and what the suffixes say.
struct TableName {
  std::string_view extent_text, suffix_text;
  std::vector<Index> extents;
  Suffixes suffixes;
};

TableName table_name(const std::string& name, std::string_view prefix) {
  TableName parsed;
  std::string_view rest = std::string_view(name).substr(prefix.size());
  const std::size_t plus = rest.find('+');
  parsed.extent_text = rest.substr(0, plus);
  parsed.suffix_text = rest.substr(parsed.extent_text.size());
  constexpr std::string_view dropout = "dropout=";
  bool seen_dropout = false;
  for (rest = parsed.suffix_text; !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view suffix = rest.substr(0, rest.find('+'));
    rest.remove_prefix(suffix.size());
    if (suffix == "norm" && !parsed.suffixes.norm) {
      parsed.suffixes.norm = true;
      continue;
    }
    double& p = parsed.suffixes.dropout;
    const std::string_view number = suffix.starts_with(dropout) ? suffix.substr(dropout.size()) : std::string_view();
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), p);
    require(!seen_dropout && !number.empty() && error == std::errc() && stop == number.data() + number.size() &&
                p >= 0 && p < 1,
            "[model] {}: expected each of +norm and +dropout=P, P in [0, 1), at most once, got \"+{}\"", name, suffix);
    seen_dropout = true;
  }
  return parsed;
}

// Hidden widths.
TableName tabular_name(const std::string& name) {
  TableName parsed = table_name(name, tabular_prefix);
  parsed.extents = parse_extents(name, parsed.extent_text, "tabular:256-256");
  return parsed;
}

ModulePtr tabular(const std::string& name, const ModelOptions& options) {
  const TableName parsed = tabular_name(name);
  const std::vector<Index>& widths = parsed.extents;
  Builder all(name, options);  // nothing is allocated before all are known to fit
  Index in = options.input.features();
  for (const Index width : widths) all.require_memory(static_cast<double>(width), static_cast<double>(in)), in = width;
  Builder model(name, options);
  for (std::size_t i = 0; i < widths.size(); ++i) model.hidden(fmt::format("fc{}", i + 1), widths[i], parsed.suffixes);
  return model.linear("output", options.outputs).done();
}

// Width and blocks.
TableName tabular_resnet_name(const std::string& name) {
  TableName parsed = table_name(name, tabular_resnet_prefix);
  constexpr Index most_blocks = 1000;
  parsed.extents = parse_extents(name, parsed.extent_text, "tabular-resnet:128x3", 'x');
  require(parsed.extents.size() == 2 && parsed.extents[1] <= most_blocks,
          "[model] {}: expected a width and 1 to {} blocks such as tabular-resnet:128x3, got \"{}\"", name, most_blocks,
          parsed.extent_text);
  return parsed;
}

// The ResNet of Gorishniy et al., "Revisiting deep learning models for tabular data", 2021: normalised before, not
// after, so that nothing stands on the way from the first sum to the last; one more norm and ReLU behind the last
// block.
ModulePtr tabular_resnet(const std::string& name, const ModelOptions& options) {
  const TableName parsed = tabular_resnet_name(name);
  const std::vector<Index>& extents = parsed.extents;
  const auto width = static_cast<double>(extents[0]), blocks = static_cast<double>(extents[1]);
  Builder all(name, options);
  all.require_memory(width, static_cast<double>(options.input.features()) + 4 * width * blocks);
  Builder model(name, options);
  model.linear("input", extents[0]);
  for (Index b = 1; b <= extents[1]; ++b) model.tabular_block(fmt::format("block{}", b), parsed.suffixes);
  return model.batch_norm("norm", Activation::relu).linear("output", options.outputs).done();
}

// Models that take their inputs and outputs from the data.
struct TableModel {
  std::string_view prefix, form;  // with a prefix that is the whole name: no extents
  ModulePtr (*make)(const std::string& name, const ModelOptions&);
  TableName (*parse)(const std::string& name);  // throws
};
constexpr std::array table_models{
    TableModel{"linear", "linear",
               [](const std::string& name, const ModelOptions& options) {
                 return Builder(name, options).linear("output", options.outputs).done();
               },
               [](const std::string&) { return TableName{}; }},
    TableModel{tabular_prefix, "tabular:HIDDEN-...[+norm][+dropout=P]", tabular, tabular_name},
    TableModel{tabular_resnet_prefix, "tabular-resnet:WIDTHxBLOCKS[+norm][+dropout=P]", tabular_resnet,
               tabular_resnet_name}};

// The one of that name, or null.
const TableModel* table_model(const std::string& name) {
  const auto found = std::ranges::find_if(table_models, [&](const TableModel& model) {
    return model.prefix.ends_with(':') ? name.starts_with(model.prefix) : name == model.prefix;
  });
  return found == table_models.end() ? nullptr : &*found;
}

// LeNet-5 in the 20-50-500-10 variant that pruning papers use: no activation after the convolutions.
ModulePtr lenet_5(const ModelOptions& options) {
  constexpr Window five_by_five{.kernel_height = 5, .kernel_width = 5};
  return Builder("lenet-5", options)
      .conv("conv1", 20, five_by_five, Activation::none, /*max_pool=*/true)
      .conv("conv2", 50, five_by_five, Activation::none, /*max_pool=*/true)
      .linear("fc1", 500, Activation::relu)
      .linear("output", options.outputs)
      .done();
}

// Frankle & Carbin 2019, figure 2: pairs of 3 x 3 convolutions of 64, 128, 256 channels, a 2 x 2 maximum after each
// pair, two hidden layers of 256.
template <int convolutions>
ModulePtr conv_n(const ModelOptions& options) {
  Builder model(fmt::format("conv-{}", convolutions), options);
  Index channels = 64;
  for (int i = 1; i <= convolutions; ++i) {
    const bool second = i % 2 == 0;
    model.conv(fmt::format("conv{}", i), channels, Builder::three_by_three, Activation::relu, /*max_pool=*/second);
    if (second) channels *= 2;
  }
  return model.linear("fc1", 256, Activation::relu)
      .linear("fc2", 256, Activation::relu)
      .linear("output", options.outputs)
      .done();
}

// He et al. 2016, section 4.2, n = 3: 16, 32, 64 channels, three blocks each. Where the shape changes the shortcut is a
// projection (their option B).
ModulePtr resnet_20(const ModelOptions& options) {
  Builder model("resnet-20", options);
  model.normalised_conv("conv1", 16, Builder::three_by_three, Activation::relu);
  for (const int stage : {1, 2, 3})
    for (const int block : {1, 2, 3})
      model.residual_block(fmt::format("stage{}.block{}", stage, block), Index{8} << stage,
                           stage > 1 && block == 1 ? 2 : 1);
  return model.global_average_pool().linear("output", options.outputs).done();
}

// The VGG-like net of Courbariaux et al. 2015 with one linear layer: 2 x 128, 2 x 256, 2 x 512 channels, batch
// normalisation, a 2 x 2 maximum after each pair.
ModulePtr vgg_small(const ModelOptions& options) {
  Builder model("vgg-small", options);
  for (const int pair : {1, 2, 3}) {
    for (const int i : {2 * pair - 1, 2 * pair})
      model.normalised_conv(fmt::format("conv{}", i), Index{64} << pair, Builder::three_by_three, Activation::relu);
    model.max_pool(fmt::format("pool{}", pair));
  }
  return model.linear("output", options.outputs).done();
}

// Three convolutions over time with ReLU, each of stride 2, so that one of their last steps sees 33 of the first; and a
// linear layer that knows what was where.
ModulePtr cnn_1d(const ModelOptions& options) {
  return Builder("cnn-1d", options)
      .conv1d("conv1", 32, 9, 2)
      .conv1d("conv2", 64, 5, 2)
      .conv1d("conv3", 64, 5, 2)
      .linear("output", options.outputs)
      .done();
}

bool is_gru(const std::string& name) {
  return name.starts_with(gru_prefix);
}

Index units_of(const std::string& name) {
  Index units = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + gru_prefix.size(), end, units);
  require(error == std::errc() && stop == end && units >= 1 && units <= Index{1} << 20,
          "[model] {}: expected a number of units from 1 to 2^20 such as gru:64", name);
  return units;
}

// A gated recurrent layer, the mean of its states, a linear layer.
ModulePtr gru_model(const std::string& name, const ModelOptions& options) {
  return Builder(name, options).gru("gru", units_of(name)).mean_over_time().linear("output", options.outputs).done();
}

struct ImageModel {
  std::string_view name;
  Index channels, extent;  // of the images it was made for
  double rate, warmup;     // see ModelProfile
  ModulePtr (*make)(const ModelOptions&);
};
constexpr std::array image_models{
    ImageModel{"lenet-5", 1, 28, 0.05, 0.05, lenet_5},     ImageModel{"conv-2", 3, 32, 0.01, 0.1, conv_n<2>},
    ImageModel{"conv-4", 3, 32, 0.01, 0.1, conv_n<4>},     ImageModel{"conv-6", 3, 32, 0.01, 0.1, conv_n<6>},
    ImageModel{"resnet-20", 3, 32, 0.05, 0.05, resnet_20}, ImageModel{"vgg-small", 3, 32, 0.05, 0.05, vgg_small}};

const ImageModel& image_model(const std::string& name) {
  const auto found = std::ranges::find(image_models, name, &ImageModel::name);
  require(found != image_models.end(), "[model] expected {}, got \"{}\"", fmt::join(known_models(), " or "), name);
  return *found;
}

}  // namespace

ModulePtr make_model(const std::string& name, const ModelOptions& options) {
  require(options.density > 0 && options.density <= 1, "[model] {}: expected a density above 0 and up to 1, got {}",
          name, options.density);
  if (is_mlp(name)) return mlp(name, options);
  if (const TableModel* table = table_model(name)) {
    require(options.outputs >= 1, "[model] {}: expected at least 1 class or output, got {}", name, options.outputs);
    return table->make(name, options);
  }
  if (is_gru(name) || name == "cnn-1d") {
    require(options.outputs >= 1, "[model] {}: expected at least 1 class or output, got {}", name, options.outputs);
    return is_gru(name) ? gru_model(name, options) : cnn_1d(options);
  }
  const ImageModel& known = image_model(name);
  require(options.input.rank() == 3, "[model] {}: expected images [C, H, W], got samples of {}", name,
          options.input.text());
  require(options.outputs >= 1, "[model] {}: expected at least 1 class or output, got {}", name, options.outputs);
  return known.make(options);
}

ModelProfile model_profile(const std::string& name) {
  if (is_mlp(name)) {
    const std::vector<Index> extents = extents_of(name);
    return {.input = {extents.front()}, .outputs = extents.back(), .chain = true};
  }
  if (const TableModel* table = table_model(name)) {
    constexpr Index columns = 100;  // of no table in particular
    table->parse(name);
    return {.input = {columns}, .chain = table->prefix != tabular_resnet_prefix, .warmup = 0.05, .clip_norm = 1};
  }
  if (is_gru(name)) {
    units_of(name);
    return {.input = {64, 3}, .outputs = 8, .sequences = true, .rate = 0.4, .warmup = 0.1};
  }
  if (name == "cnn-1d") return {.input = {64, 3}, .outputs = 8, .sequences = true, .rate = 0.05, .warmup = 0.05};
  const ImageModel& known = image_model(name);
  return {.input = {known.channels, known.extent, known.extent},
          .images = true,
          .lanes = 16,
          .rate = known.rate,
          .warmup = known.warmup};
}

std::string with_extents(const std::string& name, const std::vector<Index>& extents) {
  require(model_profile(name).chain && extents.size() >= 2, "[model] expected a chain of linear layers, got {}", name);
  if (!name.starts_with(tabular_prefix)) return fmt::format("{}{}", mlp_prefix, fmt::join(extents, "-"));
  return fmt::format("{}{}{}", tabular_prefix, fmt::join(extents.begin() + 1, extents.end() - 1, "-"),
                     table_name(name, tabular_prefix).suffix_text);
}

std::vector<std::string> known_models() {
  std::vector<std::string> names{"lenet-300-100"};
  for (const ImageModel& model : image_models) names.emplace_back(model.name);
  names.emplace_back("mlp:INPUTS-HIDDEN-...-OUTPUTS");
  for (const TableModel& model : table_models) names.emplace_back(model.form);
  names.emplace_back("cnn-1d");
  names.emplace_back("gru:UNITS");
  return names;
}

}  // namespace espalier
