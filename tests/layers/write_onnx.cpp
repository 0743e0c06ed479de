// Writes every layer of the contract's table and every family of models as ONNX, dense and pruned, and beside each what
// goes in and what has to come out: for tests/layers/onnx_test.py.
//
//   espalier_write_onnx FOLDER     NAME.onnx, NAME.input.f32, NAME.output.f32: samples one after the other
//
// and for each of them a line: NAME, the number of live weights
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/layers/onnx.h"
#include "layers/all_layers.h"
#include "support/batch_pass.h"

namespace espalier {
namespace {

// One of each family, and of those whose names say much a few.
const std::vector<std::string> all_models{"lenet-300-100",
                                          "mlp:12-9-5",
                                          "lenet-5",
                                          "conv-2",
                                          "conv-4",
                                          "conv-6",
                                          "resnet-20",
                                          "vgg-small",
                                          "linear",
                                          "tabular:16-8+norm+dropout=0.2",
                                          "tabular-resnet:8x2+dropout=0.1",
                                          "cnn-1d",
                                          "gru:12",
                                          "attention:16x4x2",
                                          "attention:16x4x2+tokens=50",
                                          "average:3xtabular:8+norm",
                                          "average:2xattention:8x2x1+tokens=20",
                                          "average:2xgru:5"};

constexpr std::string_view layer_prefix = "layer.";

std::string floats(const std::vector<std::vector<Real>>& samples) {
  std::string bytes;
  for (const std::vector<Real>& sample : samples)
    for (const Real number : sample) {
      const auto single = static_cast<float>(number);
      bytes.append(reinterpret_cast<const char*>(&single), sizeof single);
    }
  return bytes;
}

std::vector<std::vector<Real>> samples_of(const Tensor& x) {
  std::vector<std::vector<Real>> samples;
  testing::append_samples(x, samples);
  return samples;
}

// A few samples of normal numbers; of a model of tokens, of tokens.
Tile samples_for(const Shape& input, bool tokens) {
  constexpr Index samples = 3, lanes = 16, fewest_tokens = 20;
  Tile tile = testing::make_tiles(input, samples, lanes, 0)[0];
  if (!tokens) return tile;
  const Random random(1, "tokens");
  for (Index i = 0; i < input.features(); ++i)
    for (Index lane = 0; lane < samples; ++lane)
      tile.input.row(i)[lane] =
          std::floor(static_cast<Real>(random.uniform(static_cast<std::uint64_t>(i * samples + lane)) * fewest_tokens));
  return tile;
}

void write(const Module& model, const Shape& input, OnnxInitialisers initialisers, const std::filesystem::path& folder,
           const std::string& name) {
  const Tile tile = samples_for(input, onnx_graph(model, input, initialisers).input_is_tokens());
  Tape tape;
  const Var y = model.forward(tape.begin(tile, {.mode = Mode::inference}));
  write_file_atomically(folder / (name + ".input.f32"), floats(samples_of(tile.input)));
  write_file_atomically(folder / (name + ".output.f32"), floats(samples_of(y.value())));
  ModelCard card{.input = input, .dataset = "noise", .seed = 7, .notes = {{"\"quoted\"", "ü\n"}}};
  if (!name.starts_with(layer_prefix)) card.model = model.name(), card.outputs = y.value().features();
  export_onnx(model, card, initialisers, folder / (name + ".onnx"));
  fmt::print("{} {}\n", name, census_of(model).live);
}

void write_both(const std::function<ModulePtr()>& make, const Shape& input, const std::filesystem::path& folder,
                const std::string& name) {
  const ModulePtr dense = testing::with_biases(make()), pruned = testing::with_biases(make());
  write(*dense, input, OnnxInitialisers::dense, folder, name + ".dense");
  testing::prune(*pruned, testing::Density::tenth, Storage::csr);
  write(*pruned, input, OnnxInitialisers::dense, folder, name + ".pruned");
  write(*pruned, input, OnnxInitialisers::sparse, folder, name + ".sparse");
}

void write_all(const std::filesystem::path& folder) {
  for (const ModelFamily& family : models().entries())
    require(std::ranges::any_of(all_models, [&](const std::string& name) { return &model_family(name) == &family; }),
            "[write_onnx] {}: expected a model of this family in the list, got none", family.name);
  for (const testing::LayerCase& row : testing::all_layers)
    if (row.without_onnx.empty())
      write_both([&] { return row.make(1); }, row.input, folder, std::string(layer_prefix) + row.name);
  for (std::size_t m = 0; m < all_models.size(); ++m) {
    const ModelProfile profile = model_profile(all_models[m]);
    write_both([&] { return make_model(all_models[m], {.input = profile.input, .outputs = profile.outputs}); },
               profile.input, folder, all_models[m]);
  }
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  if (argc != 2) return espalier::exit_usage;
  try {
    std::filesystem::create_directories(argv[1]);
    espalier::write_all(argv[1]);
  } catch (const espalier::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.code();
  }
}
