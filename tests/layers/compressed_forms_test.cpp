// Files of weights that share values, and files for scipy: complete, to the bit, and believed no more than others.
#include "espalier/layers/compressed_forms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

#include "espalier/core/atomic_file.h"
#include "espalier/core/deflate.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/weight_sharing.h"
#include "support/damage.h"
#include "support/patterns.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;

// What becomes of the prunable weights of a small network.
ModulePtr network(const std::function<void(Parameter&)>& change) {
  ModulePtr model = make_model("mlp:20-12-3", {.input = {20}, .outputs = 3, .seed = 4});
  for (Parameter* W : parameters_of(*model))
    if (W->prunable()) change(*W);
  return model;
}
void prune_half(Parameter& W) {
  W.become(testing::pattern_of(W.rows(), W.cols(), testing::Density::half), Storage::csr);
}
ModulePtr clustered() {
  return network([](Parameter& W) {
    prune_half(W);
    apply(kmeans_sharing(W, 2), W);
  });
}

const ModelCard small_card{.model = "mlp:20-12-3", .input = {20}, .outputs = 3};

class CompressedFile : public ::testing::Test {
 protected:
  void expect_back(const Module& model, const std::string& form, Layout layout) {
    const ModelCard card{.model = model.name(), .input = {20}, .outputs = 3};
    const SavedModel written = save_model(model, card, path_, {.layout = layout});
    EXPECT_EQ(written, model_bytes(model, card, {.layout = layout}));
    EXPECT_EQ(written.file_bytes, std::filesystem::file_size(path_));
    EXPECT_EQ(written.layers.at(0).form, form);
    const OpenedModel opened = open_model(path_);
    const auto before = parameters_of(model);
    const auto after = parameters_of(std::as_const(*opened.model));
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i]->nonzeros(), after[i]->nonzeros());
      std::vector<Real> a, b;
      before[i]->for_each_weight([&](Index, Index, Index at) { a.push_back(before[i]->value()[at]); });
      after[i]->for_each_weight([&](Index, Index, Index at) { b.push_back(after[i]->value()[at]); });
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(Real)), 0) << before[i]->name() << " " << form;
    }
  }
  // What open_model says of the file, spoiled.
  std::string refusal(const std::function<void(SafeTensors&)>& spoil) {
    SafeTensors file = load_safetensors(path_);
    spoil(file);
    const auto spoiled = folder_.path() / "spoiled";
    save_safetensors(file, spoiled);
    try {
      open_model(spoiled);
      return "opened";
    } catch (const FileError& error) {
      return error.what();
    }
  }
  static SafeTensor& tensor(SafeTensors& file, const std::string& name) {
    return *std::ranges::find(file.tensors, name, &SafeTensor::name);
  }
  static void put(SafeTensors& file, const std::string& name, const std::vector<std::byte>& bytes) {
    SafeTensor& stream = tensor(file, name);
    stream.data = deflated(bytes);
    stream.shape = {static_cast<Index>(stream.data.size())};
  }
  testing::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.safetensors";
};

TEST_F(CompressedFile, HasWeightsThatShareValuesToTheBit) {
  expect_back(*clustered(), "shared+delta8", Layout::compressed);
  expect_back(*network([](Parameter& W) { apply(kmeans_sharing(W, 3), W); }), "shared", Layout::compressed);
  expect_back(*network([](Parameter& W) {
    prune_half(W);
    apply(equal_steps_sharing(W), W);
  }),
              "linear8+delta8", Layout::compressed);
  expect_back(*network([](Parameter& W) { apply(equal_steps_sharing(W), W); }), "linear8", Layout::compressed);
  // Weights of more values, and too few weights for a codebook, are as in any file.
  expect_back(*make_model("mlp:20-50-3", {.input = {20}, .outputs = 3}), "dense", Layout::compressed);
  expect_back(*network([](Parameter& W) {
    W.become(Pattern::from_positions(W.rows(), W.cols(), std::vector<Index>{3}), Storage::csr);
  }),
              "delta8", Layout::compressed);
  expect_back(*clustered(), "bitmap", Layout::smallest);
}

TEST_F(CompressedFile, ForOtherProgramsHasScipysArrays) {
  expect_back(*clustered(), "scipy-csr", Layout::csr);
  expect_back(*network([](Parameter&) {}), "scipy-csr", Layout::csr);
  const SafeTensors file = load_safetensors(path_);
  std::vector<std::string> names;
  for (const SafeTensor& t : file.tensors) names.push_back(t.name + " " + t.dtype);
  for (const char* name :
       {"fc1.weight.data", "fc1.weight.indices I32", "fc1.weight.indptr I32", "fc1.weight.shape I64"})
    EXPECT_TRUE(std::ranges::any_of(names, [&](const std::string& n) { return n.starts_with(name); })) << name;
  EXPECT_PRED2(contains, refusal([](SafeTensors& f) { tensor(f, "fc1.weight.shape").data[0] ^= std::byte{1}; }),
               R"(tensor "fc1.weight.shape": expected 12x20, found 13x20)");
  EXPECT_PRED2(contains, refusal([](SafeTensors& f) { tensor(f, "fc1.weight.indices").data[0] = std::byte{77}; }),
               R"(tensor "fc1.weight.indices": expected columns below 20)");
}

TEST_F(CompressedFile, IsRefusedForAnyFlippedBitAndAnyTruncation) {
  save_model(*clustered(), small_card, path_, {.layout = Layout::compressed});
  const std::string whole = read_file(path_, 1 << 20);
  const auto damaged_file = folder_.path() / "damaged";
  const auto refused = [&](const std::string& damaged) {
    std::filesystem::remove(damaged_file);
    folder_.write("damaged", {reinterpret_cast<const std::uint8_t*>(damaged.data()), damaged.size()});
    try {
      open_model(damaged_file);
    } catch (const FileError&) {
      return true;
    }
    return false;
  };
  testing::expect_refused_if_damaged(whole, refused);
}

// The checksums are right in all of these.
TEST_F(CompressedFile, IsNotBelieved) {
  save_model(*clustered(), small_card, path_, {.layout = Layout::compressed});
  EXPECT_EQ(refusal([](SafeTensors&) {}), "opened");
  const auto says = [&](const std::function<void(SafeTensors&)>& spoil, const std::string& expected) {
    EXPECT_PRED2(contains, refusal(spoil), expected);
  };
  using Limits = std::numeric_limits<Real>;
  for (const Real bad : {Limits::quiet_NaN(), Limits::infinity()})
    says([&](SafeTensors& f) { std::memcpy(tensor(f, "fc1.weight.codebook").data.data(), &bad, sizeof bad); },
         R"(tensor "fc1.weight.codebook": expected finite numbers)");
  says([](SafeTensors& f) { tensor(f, "fc1.weight.codes.zlib").data[5] ^= std::byte{255}; },
       R"(tensor "fc1.weight.codes.zlib": expected a zlib stream of at most )");
  says([](SafeTensors& f) { put(f, "fc1.weight.codes.zlib", std::vector<std::byte>(3)); },
       R"(tensor "fc1.weight.codes": expected )");
  says([](SafeTensors& f) { put(f, "fc1.weight.codes.zlib", std::vector<std::byte>(1 << 20)); },
       R"(tensor "fc1.weight.codes.zlib": expected a zlib stream of at most )");
  says([](SafeTensors& f) { put(f, "fc1.weight.deltas.zlib", std::vector<std::byte>(1 << 20)); },
       "expected a zlib stream of at most 240 bytes");
  says([](SafeTensors& f) { put(f, "fc1.weight.deltas.zlib", std::vector<std::byte>(2, std::byte{254})); },
       R"(tensor "fc1.weight.deltas": expected positions below 12x20 = 240)");
  says(
      [](SafeTensors& f) {
        SafeTensor& codebook = tensor(f, "fc1.weight.codebook");
        codebook.shape = {1};
        codebook.data.resize(sizeof(Real));
      },
      R"(tensor "fc1.weight.codes": expected codes below 1, found )");
  says([](SafeTensors& f) { f.metadata["form/fc1.weight"] = "linear8+delta8"; },
       R"(tensor "fc1.weight.step": expected )");
  says([](SafeTensors& f) { f.metadata["form/fc1.weight"] = "shared"; },
       R"(tensor "fc1.weight.codes": expected 240 codes)");
}

// A file of a few hundred bytes that claims ten thousand million weights.
TEST_F(CompressedFile, ClaimsNoMoreMemoryThanIsDocumented) {
  for (const char* form : {"seed", "shared", "linear8"}) {
    SafeTensors file{.metadata = {{"format", "espalier-2"},
                                  {"version", "0.1.0"},
                                  {"model", "mlp:100000-100000-2"},
                                  {"input", "100000"},
                                  {"outputs", "2"},
                                  {"form/fc1.weight", form},
                                  {"shape/fc1.weight", "100000x100000"},
                                  {"seed/fc1.weight", "1"},
                                  {"scale/fc1.weight", "1"},
                                  {"initialiser/fc1.weight", "kaiming"}},
                     .tensors = {},
                     .sealed = true};
    save_safetensors(file, path_);
    try {
      open_model(path_);
      ADD_FAILURE() << form << " was opened";
    } catch (const FileError& error) {
      EXPECT_PRED2(contains, std::string(error.what()),
                   R"(metadata "form/fc1.weight": expected at most 268435456 numbers that are not in the file)");
    }
  }
}

}  // namespace
}  // namespace espalier
