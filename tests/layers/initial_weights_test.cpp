// Weights to begin with: those of another program by its names, and those of our own files.
#include "espalier/layers/initial_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "support/patterns.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

SafeTensor floats(const std::string& name, std::vector<std::int64_t> shape, float first) {
  std::vector<float> numbers(1);
  for (const std::int64_t extent : shape) numbers.resize(numbers.size() * static_cast<std::size_t>(extent));
  std::iota(numbers.begin(), numbers.end(), first);
  const auto bytes = std::as_bytes(std::span(numbers));
  return {name, "F32", std::move(shape), {bytes.begin(), bytes.end()}};
}

class InitialWeights : public ::testing::Test {
 protected:
  ModulePtr model() const { return make_model("mlp:4-3-2", {.input = {4}, .outputs = 2, .seed = 1}); }
  // As torch.nn.Sequential(Linear, ReLU, Linear) is saved.
  SafeTensors torch_file() const {
    return {.metadata = {{"format", "pt"}},
            .tensors = {floats("0.weight", {3, 4}, 1), floats("0.bias", {3}, 20), floats("2.weight", {2, 3}, 30),
                        floats("2.bias", {2}, 40)}};
  }
  std::string refusal(const SafeTensors& file, const std::map<std::string, std::string>& names) {
    save_safetensors(file, path_);
    const ModulePtr net = model(), untouched = model();
    try {
      initialise_from(*net, path_, names);
      ADD_FAILURE() << "was taken";
      return {};
    } catch (const Error& error) {
      for (std::size_t i = 0; i < parameters_of(*net).size(); ++i)
        EXPECT_TRUE(std::ranges::equal(parameters_of(*net)[i]->value(), parameters_of(*untouched)[i]->value()));
      return error.what();
    }
  }
  testing::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "weights";
  const std::map<std::string, std::string> names_{{"fc1", "0"}, {"output", "2"}};
};

TEST_F(InitialWeights, OfAnotherProgramComeByAMapOfNames) {
  SafeTensors file = torch_file();
  file.tensors.push_back({"1.num_batches_tracked", "I64", {}, std::vector<std::byte>(8)});
  save_safetensors(file, path_);
  const ModulePtr net = model();
  initialise_from(*net, path_, names_);
  const std::vector<Parameter*> all = parameters_of(*net);
  EXPECT_EQ(all[0]->name(), "fc1.weight");
  EXPECT_EQ(all[0]->value()[0], Real{1});
  EXPECT_EQ(all[0]->value()[11], Real{12});
  EXPECT_EQ(all[1]->value()[2], Real{22});
  EXPECT_EQ(all[2]->value()[5], Real{35});
  EXPECT_EQ(all[3]->value()[1], Real{41});
  // A parameter's own name goes before its layer's.
  file.tensors[1].name = "shift";
  save_safetensors(file, path_);
  initialise_from(*net, path_, {{"fc1", "0"}, {"output", "2"}, {"fc1.bias", "shift"}});
}

TEST_F(InitialWeights, OfConvolutionsHaveFourExtents) {
  const ModulePtr net = make_model("lenet-5", {.input = {1, 28, 28}, .outputs = 10, .seed = 1});
  SafeTensors file;
  for (const Parameter* W : parameters_of(*net)) {
    std::vector<std::int64_t> shape{W->rows(), W->cols()};
    if (W->name() == "conv1.weight") shape = {W->rows(), 1, 5, 5};
    if (!W->prunable()) shape.pop_back();
    file.tensors.push_back(floats(W->name(), shape, 0.5f));
  }
  save_safetensors(file, path_);
  initialise_from(*net, path_, {});
  for (const Parameter* W : parameters_of(*net)) EXPECT_EQ(W->value().back(), Real(W->positions()) - Real(0.5));
}

TEST_F(InitialWeights, OfOurOwnFilesHaveZeroesWhereWeightsWerePruned) {
  const ModulePtr pruned = model();
  for (Parameter* W : parameters_of(*pruned))
    if (W->prunable()) W->become(testing::pattern_of(W->rows(), W->cols(), testing::Density::half), Storage::csr);
  save_model(*pruned, {}, path_);
  const ModulePtr net = make_model("mlp:4-3-2", {.input = {4}, .outputs = 2, .seed = 2});
  initialise_from(*net, path_, {});
  const std::vector<Parameter*> from = parameters_of(*pruned), to = parameters_of(*net);
  for (std::size_t i = 0; i < from.size(); ++i) {
    from[i]->become(nullptr, Storage::dense);
    EXPECT_EQ(to[i]->storage(), Storage::dense);
    EXPECT_TRUE(std::ranges::equal(from[i]->value(), to[i]->value()));
  }
  EXPECT_THROW(initialise_from(*net, path_, names_), UsageError);
}

TEST_F(InitialWeights, ThatDoNotFitAreRefused) {
  EXPECT_PRED2(contains, refusal(torch_file(), {}), R"(tensor "fc1.weight": expected this tensor, for fc1.weight)");
  EXPECT_PRED2(contains, refusal(torch_file(), {{"fc1", "0"}}), R"(tensor "output.weight": expected this tensor)");
  const auto spoilt = [&](const std::function<void(SafeTensors&)>& spoil) {
    SafeTensors file = torch_file();
    spoil(file);
    return refusal(file, names_);
  };
  EXPECT_PRED2(contains, spoilt([](SafeTensors& f) {
                 f.tensors[0] = floats("0.weight", {4, 3}, 0);
               }),
               R"(tensor "0.weight": expected 12 numbers F32 or F64 [3, ...] for fc1.weight, found F32 [4, 3])");
  EXPECT_PRED2(contains, spoilt([](SafeTensors& f) { f.tensors[1] = floats("0.bias", {}, 0); }), "found F32 []");
  EXPECT_PRED2(contains, spoilt([](SafeTensors& f) {
                 f.tensors[1] = {"0.bias", "BF16", {3}, std::vector<std::byte>(6)};
               }),
               "found BF16 [3]");
  EXPECT_PRED2(contains, spoilt([](SafeTensors& f) { f.tensors.push_back(floats("4.weight", {1}, 0)); }),
               R"(tensor "4.weight": expected no tensor of this name)");
  EXPECT_PRED2(contains, spoilt([](SafeTensors& f) {
                 f.tensors[0] = floats("0.weight", {3, 4}, INFINITY);
               }),
               "expected finite numbers");
  EXPECT_PRED2(contains, refusal(torch_file(), {{"fc1", "0"}, {"output", "2"}, {"fc2", "1"}}),
               R"([init-names] expected layers and parameters of the model, got "fc2")");
}

}  // namespace
}  // namespace espalier
