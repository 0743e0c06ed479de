// Writes a model's file in every form, and beside each of its parameters the numbers that a reader has to find: for
// tests/layers/python_reader_test.py.
//
//   espalier_write_models FOLDER     NAME.safetensors; of each parameter W
//                                    NAME.W.f32, [rows, cols] floats, row-major, NAME.W.npz and NAME.W.mtx
#include <cstring>
#include <filesystem>
#include <optional>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/layers/export.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/weight_sharing.h"

namespace espalier {
namespace {

PatternPtr every(Index rows, Index cols, Index step) {
  std::vector<Index> positions;
  for (Index p = step - 1; p < rows * cols; p += step) positions.push_back(p);
  return Pattern::from_positions(rows, cols, positions);
}

void write(const Module& model, const std::filesystem::path& folder, const std::string& name,
           Layout layout = Layout::smallest, const std::optional<Origin>& origin = {}) {
  for (const StoredLayer& layer : save_model(model, {.notes = {{"\"quoted\"", "ü\n"}}},
                                             folder / (name + ".safetensors"), {.layout = layout, .origin = origin})
                                      .layers)
    fmt::print("{} {} {}\n", name, layer.name, layer.form);
  for (const Parameter* W : parameters_of(model)) {
    std::string bytes(static_cast<std::size_t>(W->positions()) * sizeof(Real), '\0');
    W->for_each_weight([&](Index r, Index c, Index at) {
      std::memcpy(bytes.data() + (r * W->cols() + c) * static_cast<Index>(sizeof(Real)), &W->value()[at], sizeof(Real));
    });
    const auto file = [&](const char* ending) { return folder / fmt::format("{}.{}.{}", name, W->name(), ending); };
    write_file_atomically(file("f32"), bytes);
    export_npz(*W, file("npz"));
    export_mtx(*W, file("mtx"));
  }
}

void write_all(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto mlp = [](const char* name, Index inputs) {
    return make_model(name, {.input = {inputs}, .outputs = 10, .seed = 5});
  };
  write(*mlp("mlp:20-16-10", 20), folder, "dense");
  for (const Index step : {2, 5, 20, 600}) {
    const ModulePtr model = mlp("mlp:900-16-10", 900);
    for (Parameter* W : parameters_of(*model))
      if (W->prunable()) W->become(every(W->rows(), W->cols(), step), Storage::csr);
    write(*model, folder, fmt::format("one-in-{}", step));
    write(*model, folder, fmt::format("one-in-{}-for-scipy", step), Layout::csr);
  }
  const ModulePtr wide = mlp("mlp:60000-2-10", 60000);
  parameters_of(*wide)[0]->become(every(2, 60000, 1301), Storage::csr);
  write(*wide, folder, "csr");
  for (const char* initialiser :
       {"kaiming", "kaiming-uniform", "xavier", "lecun-uniform", "signed-constant", "unit-normal"})
    for (const Index step : {1, 2, 30}) {
      const Origin origin{initialiser_named(initialiser), 12345678901234567890u};
      const ModulePtr model = mlp("mlp:40-30-10", 40);
      for (Parameter* W : parameters_of(*model)) {
        if (!W->prunable()) continue;
        initialise(*W, origin.initialiser, origin.seed);
        for (Real& w : W->value()) w *= Real{1.25};
        if (step > 1) W->become(every(W->rows(), W->cols(), step), Storage::csr);
      }
      write(*model, folder, fmt::format("{}-{}", initialiser, step), Layout::smallest, origin);
    }
  for (const Index step : {1, 7})
    for (const bool linear : {false, true}) {
      const ModulePtr model = mlp("mlp:90-30-10", 90);
      for (Parameter* W : parameters_of(*model)) {
        if (!W->prunable()) continue;
        if (step > 1) W->become(every(W->rows(), W->cols(), step), Storage::csr);
        apply(linear ? equal_steps_sharing(*W) : kmeans_sharing(*W, /*bits=*/4), *W);
      }
      write(*model, folder, fmt::format("{}-{}", linear ? "linear" : "kmeans", step), Layout::compressed);
    }
  const ModulePtr norm = make_model("average:2xtabular:12+norm", {.input = {7}, .outputs = 3});
  write(*norm, folder, "average");
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  espalier::write_all(argv[1]);
}
