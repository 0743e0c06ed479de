#include "layers/models.h"

#include <unistd.h>

#include <charconv>

#include "core/error.h"
#include "layers/linear.h"
#include "layers/sequential.h"

namespace espalier {
namespace {

constexpr std::string_view mlp_prefix = "mlp:";

// "784-300-100-10" -> {784, 300, 100, 10}
std::vector<Index> parse_extents(const std::string& model, std::string_view text) {
  std::vector<Index> extents;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    Index extent = 0;
    const auto [stop, error] = std::from_chars(at, end, extent);
    require(error == std::errc() && extent > 0 && extent <= Index{1} << 31,
            "[model] {}: expected extents from 1 to 2^31 such as mlp:784-300-10, got \"{}\"", model, text);
    extents.push_back(extent);
    if (stop == end) break;
    require(*stop == '-', "[model] {}: expected extents joined by '-', got '{}'", model, *stop);
    at = stop + 1;
  }
  require(extents.size() >= 2, "[model] {}: expected at least inputs and outputs, got {} extent", model,
          extents.size());
  return extents;
}

// Linear layers with ReLU between them.    extents: inputs, hidden..., outputs
ModulePtr mlp(const std::string& name, const std::vector<Index>& extents, const ModelOptions& options) {
  auto model = std::make_unique<Sequential>(name);
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) {
    const bool last = i + 2 == extents.size();
    LinearOptions linear{.name = last ? "output" : fmt::format("fc{}", i + 1),
                         .in = extents[i],
                         .out = extents[i + 1],
                         .activation = last ? Activation::none : Activation::relu};
    if (options.density < 1) {
      const auto live =
          std::llround(options.density * static_cast<double>(linear.in) * static_cast<double>(linear.out));
      linear.pattern = Pattern::random(linear.out, linear.in, std::max<Index>(live, 1),
                                       Random(options.seed, "born-sparse/" + linear.name));
    }
    model->add<Linear>(linear, options.seed);
  }
  return model;
}

void require_memory(const std::string& name, const std::vector<Index>& extents, double density) {
  double weights = 0, rows_and_columns = 0;
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) {
    const auto in = static_cast<double>(extents[i]), out = static_cast<double>(extents[i + 1]);
    weights += in * out * density;
    rows_and_columns += in + out;
  }
  // Value, one optimizer slot and, if sparse, column, transposed column and slot number; for every row and column, if
  // sparse, where it begins.
  const double bytes = weights * (density < 1 ? 24 : 8) + rows_and_columns * (density < 1 ? 8 : 0);
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  require(bytes < memory,
          "[model] {}: expected a model that fits into this machine's {:.1f} GB, got one that needs {:.1f} GB", name,
          memory * 1e-9, bytes * 1e-9);
}

}  // namespace

std::vector<Index> model_extents(const std::string& name) {
  if (name == "lenet-300-100") return {784, 300, 100, 10};
  if (name.starts_with(mlp_prefix)) return parse_extents(name, std::string_view(name).substr(mlp_prefix.size()));
  throw UsageError(fmt::format("[model] expected {}, got \"{}\"", fmt::join(known_models(), " or "), name));
}

ModulePtr make_model(const std::string& name, const ModelOptions& options) {
  const std::vector<Index> extents = model_extents(name);
  require(extents.front() == options.input.features(), "[model] {}: expected data of {} inputs, got samples of {} = {}",
          name, extents.front(), options.input.text(), options.input.features());
  require(extents.back() == options.outputs, "[model] {}: expected data of {} classes or outputs, got {}", name,
          extents.back(), options.outputs);
  require(options.density > 0 && options.density <= 1, "[model] {}: expected a density above 0 and up to 1, got {}",
          name, options.density);
  require_memory(name, extents, options.density);
  ModulePtr model = mlp(name, extents, options);
  model->output_shape(options.input);
  return model;
}

std::vector<std::string> known_models() {
  return {"lenet-300-100", "mlp:INPUTS-HIDDEN-...-OUTPUTS"};
}

}  // namespace espalier
