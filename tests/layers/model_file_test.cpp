#include "espalier/layers/model_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/core/safetensors.h"
#include "espalier/core/version.h"
#include "espalier/layers/models.h"
#include "espalier/layers/widths.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;
using testing::TemporaryFolder;
using Metadata = std::map<std::string, std::string>;

constexpr std::uintmax_t real_bytes = sizeof(Real);

// Any parameters and any state, for files only.
class Bag final : public Module {
 public:
  Parameter& add(const std::string& name, Index rows, Index cols, Role role = Role::weight) {
    return add(Parameter(name, rows, cols, role));
  }
  Parameter& add(Parameter parameter) {
    parameters_.push_back(std::make_unique<Parameter>(std::move(parameter)));
    return *parameters_.back();
  }
  std::vector<Real>& add_state(const std::string& name, std::vector<Real> numbers) {
    states_.push_back(std::make_unique<State>(name, std::move(numbers)));
    return states_.back()->second;
  }
  Var forward(const Var& x) const override { return x; }
  Shape output_shape(const Shape& input) const override { return input; }
  void visit_parameters(const std::function<void(Parameter&)>& visit) override {
    for (const auto& parameter : parameters_) visit(*parameter);
  }
  void visit_state(const std::function<void(const std::string&, std::vector<Real>&)>& visit) override {
    for (const auto& state : states_) visit(state->first, state->second);
  }
  std::string name() const override { return "bag"; }

 private:
  using State = std::pair<std::string, std::vector<Real>>;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  std::vector<std::unique_ptr<State>> states_;
};

// Every `step`-th position, the first one at `first`.
PatternPtr every(Index rows, Index cols, Index step, Index first = 0) {
  std::vector<Index> positions;
  for (Index p = first; p < rows * cols; p += step) positions.push_back(p);
  return Pattern::from_positions(rows, cols, positions);
}

// Different numbers for the live weights.
Parameter& number(Parameter& W) {
  const Random random(3, W.name());
  W.for_each_weight([&](Index r, Index c, Index i) {
    W.value()[i] = static_cast<Real>(random.normal(static_cast<std::uint64_t>(r * W.cols() + c)));
  });
  return W;
}

bool same_bits(std::span<const Real> a, std::span<const Real> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// Everything that a file carries: which weights live, and every bit of them.
std::vector<std::byte> contents_of(Module& model) {
  std::vector<std::byte> contents;
  const auto put = [&](const void* from, std::size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(from);
    contents.insert(contents.end(), begin, begin + bytes);
  };
  model.visit_parameters([&](Parameter& W) {
    W.for_each_weight([&](Index r, Index c, Index i) {
      const Index position = r * W.cols() + c;
      put(&position, sizeof position);
      put(&W.value()[i], sizeof(Real));
    });
  });
  model.visit_state([&](const std::string&, std::span<Real> numbers) { put(numbers.data(), numbers.size_bytes()); });
  return contents;
}

// The card as it comes back from a file that was written now.
ModelCard as_read(ModelCard card) {
  card.version = version();
  return card;
}

class ModelFile : public ::testing::Test {
 protected:
  // What load_model says about the file: one line that begins with its path. The model must be as it was.
  std::string complaint(Module& model) {
    const auto before = contents_of(model);
    std::vector<Storage> storages;
    for (const Parameter* W : parameters_of(model)) storages.push_back(W->storage());
    std::string message;
    try {
      load_model(model, path_);
      ADD_FAILURE() << "was accepted";
    } catch (const FileError& error) {
      message = error.what();
    }
    EXPECT_EQ(contents_of(model), before);
    std::size_t i = 0;
    for (const Parameter* W : parameters_of(model)) EXPECT_EQ(W->storage(), storages[i++]);
    const std::string prefix = path_.string() + ": ";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_TRUE(message.starts_with(prefix)) << message;
    return message.substr(std::min(prefix.size(), message.size()));
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "model.safetensors";
};

// --- which form -----------------------------------------------------------------------------------------------------

// A matrix of this pattern and what its file says about it.
StoredLayer stored(const PatternPtr& pattern) {
  Bag model;
  model.add(Parameter("W", pattern));
  return model_bytes(model, {}).layers.at(0);
}

TEST(ModelFileForms, AreAsCheapAsComputedByHand) {
  // 300 x 784 = 235,200 positions; row_begin is 301 * 4 = 1,204 bytes; no gap reaches 255.
  constexpr std::uintmax_t positions = 235'200;
  const auto bytes = [](Index step) { return form_bytes(Parameter("W", every(300, 784, step))); };

  const FormBytes half = bytes(2), tenth = bytes(10), hundredth = bytes(100);
  EXPECT_EQ(half.dense, positions * real_bytes);
  EXPECT_EQ(half.bitmap, 29'400 + 117'600 * real_bytes);
  EXPECT_EQ(half.delta8, 117'600 + 117'600 * real_bytes);
  EXPECT_EQ(half.csr, 1'204 + 235'200 + 117'600 * real_bytes);
  EXPECT_EQ(tenth.bitmap, 29'400 + 23'520 * real_bytes);
  EXPECT_EQ(tenth.delta8, 23'520 + 23'520 * real_bytes);
  EXPECT_EQ(tenth.csr, 1'204 + 47'040 + 23'520 * real_bytes);
  EXPECT_EQ(hundredth.bitmap, 29'400 + 2'352 * real_bytes);
  EXPECT_EQ(hundredth.delta8, 2'352 + 2'352 * real_bytes);
  EXPECT_EQ(hundredth.csr, 1'204 + 4'704 + 2'352 * real_bytes);

  EXPECT_EQ(stored(every(300, 784, 2)), (StoredLayer{"W", "bitmap", half.bitmap}));
  EXPECT_EQ(stored(every(300, 784, 10)), (StoredLayer{"W", "delta8", tenth.delta8}));
  EXPECT_EQ(stored(every(300, 784, 100)), (StoredLayer{"W", "delta8", hundredth.delta8}));
  EXPECT_EQ(stored(Pattern::full(300, 784)), (StoredLayer{"W", "dense", positions * real_bytes}));
}

TEST(ModelFileForms, BreakEvenOfBitmapAndDeltasIsOneEighth) {
  EXPECT_EQ(stored(every(64, 64, 7)).form, "bitmap");
  EXPECT_EQ(stored(every(64, 64, 8)).form, "bitmap");  // a tie goes to the form named first
  EXPECT_EQ(stored(every(64, 64, 9)).form, "delta8");
}

TEST(ModelFileForms, BreakEvenOfDeltasAndCsrIsTwoBytesPerWeight) {
  // One row: row_begin is 8 bytes, a column 2. A gap of 254 dead positions costs 1 byte, 255 cost 2, 510 cost 3.
  EXPECT_EQ(stored(every(1, 65'536, 255, 254)).form, "delta8");
  const FormBytes two = form_bytes(Parameter("W", every(1, 65'536, 256, 255)));
  EXPECT_EQ(two.delta8 + 8, two.csr);
  EXPECT_EQ(stored(every(1, 65'536, 510, 509)).form, "delta8");
  EXPECT_EQ(stored(every(1, 65'536, 511, 510)).form, "csr");
}

TEST(ModelFileForms, NarrowRowsNeverFavourCsr) {
  for (const Index step : {2, 10, 100, 1'000, 10'000}) EXPECT_NE(stored(every(300, 784, step)).form, "csr") << step;
}

TEST(ModelFileForms, CsrColumnsTakeTwoBytesUpTo65536AndFourBeyond) {
  const auto index_bytes = [](Index cols) {
    return form_bytes(Parameter("W", every(2, cols, 100))).csr - 3 * 4 -
           static_cast<std::uintmax_t>(every(2, cols, 100)->nonzeros()) * real_bytes;
  };
  EXPECT_EQ(index_bytes(65'536), 2u * 1'311);
  EXPECT_EQ(index_bytes(65'537), 4u * 1'311);
}

// Indices are not free: sparsity 0.9 is never a file ten times smaller.
TEST(ModelFileForms, RatiosAtNinetyPercentSparsity) {
  if (sizeof(Real) == 8) GTEST_SKIP() << "the ratios are those of float32";
  const auto tenth = [](Index rows, Index cols) {
    return form_bytes(Parameter("W", Pattern::random(rows, cols, rows * cols / 10, Random(1, "tenth"))));
  };
  const auto ratio = [](std::uintmax_t dense, std::uintmax_t sparse) {
    return static_cast<double>(dense) / static_cast<double>(sparse);
  };
  const FormBytes big = tenth(1024, 1024), wide = tenth(64, 100'000);
  EXPECT_NEAR(ratio(big.dense, big.delta8), 8.00, 0.01);
  EXPECT_NEAR(ratio(big.dense, big.bitmap), 7.62, 0.01);
  EXPECT_NEAR(ratio(big.dense, big.csr), 6.62, 0.01);    // 16-bit columns
  EXPECT_NEAR(ratio(wide.dense, wide.csr), 5.00, 0.01);  // 32-bit columns
  // The textbook's csr has 32-bit columns whatever the matrix: 2 more bytes for each of 104,857 weights.
  EXPECT_NEAR(ratio(big.dense, big.csr + 2 * 104'857), 4.98, 0.01);

  // Whole files, biases and header included, of LeNet-300-100 at density 0.1.
  const ModelOptions dense{.input = {784}, .outputs = 10}, sparse{.input = {784}, .outputs = 10, .density = 0.1};
  const SavedModel before = model_bytes(*make_model("lenet-300-100", dense), {});
  const SavedModel after = model_bytes(*make_model("lenet-300-100", sparse), {});
  EXPECT_NEAR(ratio(before.file_bytes, after.file_bytes), 7.83, 0.05);
}

TEST(ModelFileForms, APrunedMatrixIsNeverDenseEvenWhereThatWouldBeCheaper) {
  // 63 of 64 live: the bitmap costs more than it saves, but a dense file would bring the pruned weight back to life.
  std::vector<std::uint8_t> live(64, 1);
  live[17] = 0;
  const Parameter W("W", Pattern::from_mask(8, 8, live));
  EXPECT_EQ(form_bytes(W).dense, 64 * real_bytes);
  EXPECT_EQ(stored(W.pattern()), (StoredLayer{"W", "bitmap", 8 + 63 * real_bytes}));
  EXPECT_EQ(stored(every(4, 8, 33)), (StoredLayer{"W", "delta8", 1 + real_bytes}));
}

TEST(ModelFileForms, SizesDoNotNeedThePositions) {
  // 2^32 positions; a mask of them would be 4 GB, a bitmap 512 MB.
  constexpr Index extent = 65'536, nonzeros = 2'147'483;
  const Parameter W("W", Pattern::random(extent, extent, nonzeros, Random(1, "huge")));
  const FormBytes bytes = form_bytes(W);
  EXPECT_EQ(bytes.dense, (std::uintmax_t{1} << 32) * real_bytes);
  EXPECT_EQ(bytes.bitmap, (std::uintmax_t{1} << 29) + nonzeros * real_bytes);
  EXPECT_EQ(bytes.csr, 65'537u * 4 + nonzeros * (2 + real_bytes));
  // A weight needs 1 / (1 - (1 - d)^255) bytes of deltas on average: 8.35 at this density.
  EXPECT_NEAR(static_cast<double>(bytes.delta8 - nonzeros * real_bytes) / nonzeros, 8.35, 0.02);
  EXPECT_EQ(stored(W.pattern()).form, "csr");
}

// --- round trips ----------------------------------------------------------------------------------------------------

// Patterns whose cheapest form is `form`.
struct FormCase {
  std::string form;
  PatternPtr pattern;
};
std::vector<FormCase> form_cases() {
  return {{"dense", Pattern::full(5, 7)},
          {"bitmap", every(5, 7, 2, 1)},
          {"bitmap", every(8, 8, 3)},
          {"bitmap", Pattern::from_positions(1, 3, std::vector<Index>{2})},
          {"delta8", every(5, 7, 9, 4)},
          {"delta8", every(9, 1'000, 255, 254)},
          {"delta8", every(9, 1'000, 256, 255)},
          {"delta8", every(9, 1'000, 600, 599)},
          {"delta8", Pattern::from_positions(7, 11, {})},
          {"csr", every(2, 30'000, 1'301, 1'300)},
          {"csr", every(3, 70'000, 3'001, 3'000)}};
}

TEST_F(ModelFile, EveryFormComesBackBitByBitFromEveryStorageIntoEveryStorage) {
  for (const FormCase& kind : form_cases())
    for (const Storage from : {Storage::masked, Storage::csr})
      for (const Storage into : {Storage::dense, Storage::masked, Storage::csr}) {
        SCOPED_TRACE(fmt::format("{} {}x{} {} -> {}", kind.form, kind.pattern->rows(), kind.pattern->cols(),
                                 name_of(from), name_of(into)));
        Bag saved, loaded;
        Parameter& W = saved.add(Parameter("W", kind.pattern));
        W.become(kind.pattern, from);
        number(W);
        Parameter& V = loaded.add("W", kind.pattern->rows(), kind.pattern->cols());
        if (into != Storage::dense) V.become(every(V.rows(), V.cols(), 2), into);
        std::ranges::fill(V.value(), Real{9});

        const ModelCard card{.notes = {{"name", "bag"}}};
        const SavedModel written = save_model(saved, card, path_);
        EXPECT_EQ(written.layers.at(0).form, kind.form);
        EXPECT_EQ(written.file_bytes, std::filesystem::file_size(path_));
        EXPECT_EQ(written, model_bytes(saved, card));
        EXPECT_EQ(load_model(loaded, path_), as_read(card));
        EXPECT_EQ(contents_of(loaded), contents_of(saved));
        EXPECT_EQ(V.storage(), kind.form == "dense" ? Storage::dense : Storage::csr);
      }
}

TEST_F(ModelFile, KeepsEveryBitOfAValueAndZeroesThatLive) {
  using Limits = std::numeric_limits<Real>;
  const std::vector<Real> odd{0,
                              -Real{0},
                              Limits::denorm_min(),
                              -Limits::denorm_min(),
                              Limits::max(),
                              Limits::lowest(),
                              Limits::epsilon(),
                              -Real{1} / 7,
                              Limits::min(),
                              Real{1} / 3};
  for (const Index step : {1, 2, 9, 900}) {
    Bag saved, loaded;
    const auto nonzeros = static_cast<Index>(odd.size());
    Parameter& W = saved.add(Parameter("W", every(2, step * nonzeros / 2, step)));
    std::ranges::copy(odd, W.value().begin());
    Parameter& V = loaded.add("W", W.rows(), W.cols());
    save_model(saved, {}, path_);
    load_model(loaded, path_);
    EXPECT_EQ(V.nonzeros(), nonzeros);
    EXPECT_TRUE(same_bits(V.value(), odd)) << step;
  }
}

TEST_F(ModelFile, CarriesModelsOfSequences) {
  for (const char* name : {"cnn-1d", "gru:6", "attention:6x3x1"})
    for (const double density : {1.0, 0.1}) {
      const auto make = [&](std::uint64_t seed, double born) {
        return make_model(name, {.input = {20, 3}, .outputs = 4, .seed = seed, .density = born});
      };
      const ModulePtr saved = make(1, density), loaded = make(2, 1);
      save_model(*saved, {}, path_);
      load_model(*loaded, path_);
      EXPECT_EQ(contents_of(*loaded), contents_of(*saved)) << name << " at " << density;
    }
}

TEST_F(ModelFile, CarriesAWholeModelWithBiasesAndState) {
  const auto build = [](Bag& model) {
    model.add("fc1.weight", 30, 40);
    model.add("fc1.bias", 30, 1, Role::bias);
    model.add("fc2.weight", 1, 30'000);
    model.add_state("norm.mean", std::vector<Real>(30, 0));
    model.add_state("norm.count", {0});
  };
  Bag saved, loaded;
  build(saved);
  build(loaded);
  saved.visit_parameters([](Parameter& W) { number(W); });
  saved.visit_state([](const std::string&, std::span<Real> n) { std::iota(n.begin(), n.end(), Real{0.5}); });
  parameters_of(saved)[0]->become(every(30, 40, 4), Storage::masked);
  parameters_of(saved)[2]->become(every(1, 30'000, 1'301), Storage::csr);

  const ModelCard card{.model = "mlp:40-30-1",
                       .input = {1, 5, 8},
                       .outputs = 1,
                       .preprocessing = R"({"kind": "samples"})",
                       .dataset = "mnist",
                       .seed = 7,
                       .fingerprint = 0xabc,
                       .notes = {{"format", "mine"}, {"note", "ü\n"}}};
  const SavedModel written = save_model(saved, card, path_);
  EXPECT_EQ(load_model(loaded, path_), as_read(card));
  EXPECT_EQ(read_card(path_), as_read(card));
  EXPECT_EQ(contents_of(loaded), contents_of(saved));
  const std::vector<StoredLayer> layers{{"fc1.weight", "bitmap", 150 + 300 * real_bytes},
                                        {"fc1.bias", "dense", 30 * real_bytes},
                                        {"fc2.weight", "csr", 8 + 24 * (2 + real_bytes)},
                                        {"state/norm.mean", "dense", 30 * real_bytes},
                                        {"state/norm.count", "dense", real_bytes}};
  EXPECT_EQ(written.layers, layers);

  // What any reader of safetensors sees.
  const SafeTensors file = load_safetensors(path_);
  EXPECT_TRUE(file.sealed);
  EXPECT_EQ(file.metadata, (Metadata{{"format", "espalier-2"},
                                     {"version", std::string(version())},
                                     {"form/fc1.weight", "bitmap"},
                                     {"form/fc1.bias", "dense"},
                                     {"form/fc2.weight", "csr"},
                                     {"shape/fc1.weight", "30x40"},
                                     {"shape/fc2.weight", "1x30000"},
                                     {"model", "mlp:40-30-1"},
                                     {"input", "1x5x8"},
                                     {"outputs", "1"},
                                     {"preprocessing", R"({"kind": "samples"})"},
                                     {"dataset", "mnist"},
                                     {"seed", "7"},
                                     {"fingerprint", "0000000000000abc"},
                                     {"note/format", "mine"},
                                     {"note/note", "ü\n"}}));
  std::uintmax_t data_bytes = 0;
  std::vector<std::string> names;
  for (const SafeTensor& tensor : file.tensors) {
    EXPECT_EQ(data_bytes % dtype_bytes(tensor.dtype), 0u) << tensor.name;
    data_bytes += tensor.data.size();
    names.push_back(tensor.name);
  }
  // Stable by width: a row_begin is as wide as a float, and narrower than a double.
  std::vector<std::string> order{"fc1.weight.values", "fc1.bias",         "fc2.weight.values",  "fc2.weight.row_begin",
                                 "state/norm.mean",   "state/norm.count", "fc2.weight.columns", "fc1.weight.bitmap"};
  if (real_bytes == 8) std::rotate(order.begin() + 3, order.begin() + 4, order.begin() + 6);
  EXPECT_EQ(names, order);

  std::uintmax_t layer_bytes = 0;
  for (const StoredLayer& layer : written.layers) layer_bytes += layer.bytes;
  EXPECT_EQ(layer_bytes, data_bytes);
  EXPECT_EQ(written.file_bytes, encode_header(file).size() + data_bytes);
}

TEST_F(ModelFile, WritesTheBytesOfThePicture) {
  Bag model;
  const PatternPtr pattern = Pattern::from_positions(2, 8, std::vector<Index>{1, 5, 8, 15});
  model.add(Parameter("W", pattern));
  save_model(model, {}, path_);
  const SafeTensors file = load_safetensors(path_);
  EXPECT_EQ(file.tensors.at(1),
            (SafeTensor{"W.bitmap", "U8", {2}, std::vector<std::byte>{std::byte{0x22}, std::byte{0x81}}}));

  // The same picture far enough apart for deltas: 300 dead, a, 1 dead, b, 510 dead, c.
  Bag far;
  far.add(Parameter("W", Pattern::from_positions(1, 1'000, std::vector<Index>{300, 302, 813})));
  save_model(far, {}, path_);
  const std::vector<std::byte> deltas{std::byte{255}, std::byte{45},  std::byte{1},
                                      std::byte{255}, std::byte{255}, std::byte{0}};
  EXPECT_EQ(load_safetensors(path_).tensors.at(1), (SafeTensor{"W.deltas", "U8", {6}, deltas}));
}

TEST_F(ModelFile, EqualModelsGiveEqualBytesWhateverTheirStorage) {
  std::vector<std::string> files;
  for (const Storage storage : {Storage::masked, Storage::csr, Storage::csr}) {
    Bag model;
    model.add("W", 20, 30).become(every(20, 30, 7), storage);
    model.add("b", 20, 1, Role::bias);
    model.visit_parameters([](Parameter& W) { number(W); });
    save_model(model, {.seed = 1}, path_);
    files.push_back(read_file(path_, 1 << 20));
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_EQ(files[1], files[2]);
}

TEST_F(ModelFile, WritesBiasesDenseWhateverTheirPattern) {
  Bag saved, loaded;
  Parameter& b = saved.add("b", 4, 1, Role::bias);
  number(b).become(every(4, 1, 2), Storage::csr);
  Parameter& c = loaded.add("b", 4, 1, Role::bias);
  EXPECT_EQ(save_model(saved, {}, path_).layers.at(0).form, "dense");
  load_model(loaded, path_);
  EXPECT_TRUE(same_bits(c.value(), std::vector<Real>{b.value()[0], 0, b.value()[1], 0}));
}

TEST_F(ModelFile, LoadingKeepsTheSlotsOfSurvivors) {
  Bag saved, loaded;
  number(saved.add(Parameter("W", every(2, 8, 3))));  // positions 0 3 6 9 12 15
  Parameter& V = loaded.add("W", 2, 8);
  V.add_slot("momentum");
  std::iota(V.slot("momentum").begin(), V.slot("momentum").end(), Real{0});
  save_model(saved, {}, path_);
  load_model(loaded, path_);
  EXPECT_TRUE(same_bits(V.slot("momentum"), std::vector<Real>{0, 3, 6, 9, 12, 15}));
}

TEST_F(ModelFile, RefusesWhatTheFormatCannotSay) {
  Bag model;
  model.add("W", 2, 2);
  EXPECT_THROW(save_model(model, {.model = "mlp:2-2", .input = {2}}, path_), UsageError) << "no outputs";
  EXPECT_THROW(save_model(model, {.model = "mlp:2-2", .outputs = 2}, path_), UsageError) << "no shape";
  model.add("W", 2, 2);
  EXPECT_THROW(save_model(model, {}, path_), UsageError);
  EXPECT_THROW(model_bytes(model, {}), UsageError);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ModelFile, AFailedSaveLeavesNoFileAndNoLeftovers) {
  Bag model;
  model.add("W", 2, 2);
  EXPECT_THROW(save_model(model, {}, folder_.path() / "missing" / "model"), FileError);
  std::filesystem::create_directory(path_);
  EXPECT_THROW(save_model(model, {}, path_), FileError);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

// --- files that are wrong -------------------------------------------------------------------------------------------

std::vector<std::byte> bytes_of(const auto&... numbers) {
  std::vector<std::byte> bytes;
  const auto put = [&](const auto& number) {
    const auto part = std::as_bytes(std::span(&number, 1));
    bytes.insert(bytes.end(), part.begin(), part.end());
  };
  (put(numbers), ...);
  return bytes;
}
using U8 = std::uint8_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using I64 = std::int64_t;

// A file for one parameter W of 2 x 5 (ten positions) with three values, right until a test spoils it.
SafeTensors small_file(const std::string& form) {
  SafeTensors file{.metadata = {{"format", "espalier-2"}, {"version", "0.1.0"}, {"form/W", form}, {"shape/W", "2x5"}},
                   .tensors = {},
                   .sealed = true};
  file.tensors.push_back({"W.values", std::string(real_dtype), {3}, bytes_of(Real{1}, Real{2}, Real{3})});
  if (form == "bitmap") file.tensors.push_back({"W.bitmap", "U8", {2}, bytes_of(U8{0b10000010}, U8{0b10})});
  if (form == "delta8") file.tensors.push_back({"W.deltas", "U8", {3}, bytes_of(U8{1}, U8{5}, U8{1})});
  if (form == "csr") {
    file.tensors.push_back({"W.row_begin", "U32", {3}, bytes_of(U32{0}, U32{1}, U32{3})});
    file.tensors.push_back({"W.columns", "U16", {3}, bytes_of(U16{1}, U16{2}, U16{4})});
  }
  return file;
}

// The same as a file of format espalier-1.
SafeTensors older(SafeTensors file) {
  file.metadata["format"] = "espalier-1";
  file.metadata.erase("version");
  file.sealed = false;
  return file;
}

class BrokenModelFile : public ModelFile {
 protected:
  BrokenModelFile() { number(model_.add("W", 2, 5)); }

  std::string spoiled(const std::string& form, const std::function<void(SafeTensors&)>& spoil) {
    SafeTensors file = small_file(form);
    spoil(file);
    save_safetensors(file, path_);
    const std::string message = complaint(model_);
    if (file.metadata.contains("format") && file.metadata["format"] == "espalier-2") {
      save_safetensors(older(file), path_);
      EXPECT_EQ(complaint(model_), message) << "of the same file in the older format";
    }
    return message;
  }
  // The same with the data of one tensor replaced, its shape following.
  std::string with(const std::string& form, std::size_t tensor, const std::vector<std::byte>& data) {
    return spoiled(form, [&](SafeTensors& file) {
      SafeTensor& target = file.tensors.at(tensor);
      target.shape = {static_cast<Index>(data.size() / dtype_bytes(target.dtype))};
      target.data = data;
    });
  }
  std::pair<int, int> damage(const std::function<void(Bag&)>& build);
  Bag model_;
};

TEST_F(BrokenModelFile, IsAcceptedBeforeItIsBroken) {
  for (const std::string form : {"bitmap", "delta8", "csr"})
    for (const bool as_older : {false, true}) {
      save_safetensors(as_older ? older(small_file(form)) : small_file(form), path_);
      Bag model;
      const Parameter& W = model.add("W", 2, 5);
      EXPECT_EQ(load_model(model, path_).version, as_older ? "" : "0.1.0");
      EXPECT_EQ(*W.pattern(), *Pattern::from_positions(2, 5, std::vector<Index>{1, 7, 9})) << form;
      EXPECT_TRUE(same_bits(W.value(), std::vector<Real>{1, 2, 3})) << form;
    }
  // Wider indices than the writer would choose.
  SafeTensors wide = small_file("csr");
  wide.tensors[1] = {"W.row_begin", "I64", {3}, bytes_of(I64{0}, I64{1}, I64{3})};
  wide.tensors[2] = {"W.columns", "U32", {3}, bytes_of(U32{1}, U32{2}, U32{4})};
  save_safetensors(wide, path_);
  load_model(model_, path_);
  EXPECT_EQ(*parameters_of(model_)[0]->pattern(), *Pattern::from_positions(2, 5, std::vector<Index>{1, 7, 9}));
}

TEST_F(BrokenModelFile, MetadataMustFitTheModel) {
  const auto set = [&](const std::string& key, const std::string& value) {
    return spoiled("bitmap", [&](SafeTensors& file) { file.metadata[key] = value; });
  };
  const auto without = [&](const std::string& key) {
    return spoiled("bitmap", [&](SafeTensors& file) { file.metadata.erase(key); });
  };
  EXPECT_EQ(without("format"), R"(metadata "format": expected "espalier-2" or "espalier-1", found none)");
  EXPECT_EQ(set("format", "pt"), R"(metadata "format": expected "espalier-2" or "espalier-1", found "pt")");
  EXPECT_EQ(
      without("form/W"),
      R"(metadata "form/W": expected one of dense, bitmap, delta8, csr, seed, seed+bitmap, seed+delta8, constant, scipy-csr, shared, shared+delta8, linear8, linear8+delta8, found none)");
  EXPECT_EQ(
      set("form/W", "coo"),
      R"(metadata "form/W": expected one of dense, bitmap, delta8, csr, seed, seed+bitmap, seed+delta8, constant, scipy-csr, shared, shared+delta8, linear8, linear8+delta8, found "coo")");
  EXPECT_EQ(without("shape/W"), R"(metadata "shape/W": expected "2x5", found none)");
  EXPECT_EQ(set("shape/W", "5x2"), R"(metadata "shape/W": expected "2x5", found "5x2")");
  EXPECT_EQ(set("form/V", "dense"),
            R"(metadata "form/V": expected no parameter of this name in this model, found "dense")");
  EXPECT_EQ(set("shape/V", "1x1"),
            R"(metadata "shape/V": expected no parameter of this name in this model, found "1x1")");
}

TEST_F(BrokenModelFile, TensorsMustFitTheModel) {
  const std::string f(real_dtype);
  EXPECT_EQ(spoiled("bitmap", [](SafeTensors& file) { file.tensors.erase(file.tensors.begin()); }),
            fmt::format(R"(tensor "W.values": expected {} [any], found no tensor of this name)", f));
  EXPECT_EQ(spoiled("bitmap", [](SafeTensors& file) { file.tensors.pop_back(); }),
            R"(tensor "W.bitmap": expected U8 [2], found no tensor of this name)");
  EXPECT_EQ(spoiled("bitmap",
                    [](SafeTensors& file) {
                      file.tensors.push_back({"V", "U8", {1}, bytes_of(U8{1})});
                    }),
            R"(tensor "V": expected no tensor of this name in this model, found U8 [1])");
  EXPECT_EQ(spoiled("bitmap", [](SafeTensors& file) { file.metadata["form/W"] = "dense"; }),
            fmt::format(R"(tensor "W": expected {} [2, 5], found no tensor of this name)", f));
  EXPECT_EQ(spoiled("bitmap",
                    [](SafeTensors& file) {
                      file.tensors[0].shape = {3, 1};
                    }),
            fmt::format(R"(tensor "W.values": expected {0} [any], found {0} [3, 1])", f));
  EXPECT_EQ(spoiled("bitmap",
                    [](SafeTensors& file) {
                      file.tensors[0] = {"W.values", "U16", {3}, bytes_of(U16{1}, U16{2}, U16{3})};
                    }),
            fmt::format(R"(tensor "W.values": expected {} [any], found U16 [3])", f));
  EXPECT_EQ(with("bitmap", 1, bytes_of(U8{0b111})), R"(tensor "W.bitmap": expected U8 [2], found U8 [1])");
  EXPECT_EQ(spoiled("csr", [](SafeTensors& file) { file.tensors[1].dtype = "I32"; }),
            R"(tensor "W.row_begin": expected U32 or I64 [3], found I32 [3])");
  EXPECT_EQ(with("csr", 1, bytes_of(U32{0}, U32{3})),
            R"(tensor "W.row_begin": expected U32 or I64 [3], found U32 [2])");
  EXPECT_EQ(with("csr", 2, bytes_of(U16{1}, U16{2})), R"(tensor "W.columns": expected U16 or U32 [3], found U16 [2])");

  model_.add_state("mean", {1, 2});
  EXPECT_EQ(spoiled("csr", [](SafeTensors&) {}),
            fmt::format(R"(tensor "state/mean": expected {} [2], found no tensor of this name)", f));
  EXPECT_EQ(spoiled("csr",
                    [&](SafeTensors& file) {
                      file.tensors.push_back({"state/mean", f, {1}, bytes_of(Real{1})});
                    }),
            fmt::format(R"(tensor "state/mean": expected {0} [2], found {0} [1])", f));
}

TEST_F(BrokenModelFile, BitmapsMustBeExact) {
  EXPECT_EQ(with("bitmap", 1, bytes_of(U8{0b10000010}, U8{0b11})),
            R"(tensor "W.bitmap": expected as many bits set as there are values, 3, found 4)");
  EXPECT_EQ(with("bitmap", 1, bytes_of(U8{0b10000010}, U8{0})),
            R"(tensor "W.bitmap": expected as many bits set as there are values, 3, found 2)");
  EXPECT_EQ(with("bitmap", 1, bytes_of(U8{0b10000010}, U8{0b100})),
            R"(tensor "W.bitmap": expected no bit set after position 9, found a last byte of 0x04)");
}

TEST_F(BrokenModelFile, DeltasMustStayInside) {
  EXPECT_EQ(with("delta8", 1, bytes_of(U8{1}, U8{5})),
            R"(tensor "W.deltas": expected as many deltas below 255 as there are values, 3, found 2)");
  EXPECT_EQ(with("delta8", 1, bytes_of(U8{1}, U8{1}, U8{1}, U8{1})),
            R"(tensor "W.deltas": expected as many deltas below 255 as there are values, 3, found 4)");
  EXPECT_EQ(with("delta8", 1, bytes_of(U8{1}, U8{5}, U8{2})),
            R"(tensor "W.deltas": expected positions below 2x5 = 10, found 10 at delta 2)");
  EXPECT_EQ(with("delta8", 1, bytes_of(U8{255}, U8{1}, U8{5}, U8{1})),
            R"(tensor "W.deltas": expected positions below 2x5 = 10, found 256 at delta 1)");
  EXPECT_EQ(with("delta8", 1, bytes_of(U8{1}, U8{5}, U8{1}, U8{255})),
            R"(tensor "W.deltas": expected a last delta below 255, found 255 with no weight to come)");
}

TEST_F(BrokenModelFile, CsrMustAscendAndStayInside) {
  EXPECT_EQ(with("csr", 1, bytes_of(U32{1}, U32{1}, U32{3})),
            R"(tensor "W.row_begin": expected row beginnings from 0 to the number of values, 3, found 1 to 3)");
  EXPECT_EQ(with("csr", 1, bytes_of(U32{0}, U32{1}, U32{4})),
            R"(tensor "W.row_begin": expected row beginnings from 0 to the number of values, 3, found 0 to 4)");
  EXPECT_EQ(with("csr", 1, bytes_of(U32{0}, U32{4}, U32{3})),
            R"(tensor "W.row_begin": expected ascending row beginnings, found 4 for row 1 and then 3)");
  EXPECT_PRED2(contains,
               spoiled("csr",
                       [](SafeTensors& file) {
                         file.tensors[1] = {"W.row_begin", "I64", {3}, bytes_of(I64{0}, I64{-1}, I64{3})};
                       }),
               "expected ascending row beginnings, found 0 for row 0 and then -1");
  EXPECT_EQ(with("csr", 2, bytes_of(U16{1}, U16{2}, U16{5})),
            R"(tensor "W.columns": expected columns below 5, found 5 in row 1)");
  EXPECT_EQ(with("csr", 2, bytes_of(U16{1}, U16{4}, U16{4})),
            R"(tensor "W.columns": expected ascending columns within a row, found 4 after 4 in row 1)");
  EXPECT_EQ(with("csr", 2, bytes_of(U16{1}, U16{4}, U16{2})),
            R"(tensor "W.columns": expected ascending columns within a row, found 2 after 4 in row 1)");
}

TEST_F(BrokenModelFile, ABiasIsNeverSparse) {
  Bag model;
  model.add("W", 2, 5, Role::bias);
  save_safetensors(small_file("bitmap"), path_);
  EXPECT_EQ(complaint(model), R"(metadata "form/W": expected dense or constant, for this is a bias, found "bitmap")");
}

TEST_F(BrokenModelFile, TheLastParameterOfAModelCanSpoilAllWithoutChangingAny) {
  Bag saved, loaded;
  for (Bag* model : {&saved, &loaded}) {
    number(model->add("first", 3, 3));
    number(model->add("last", model == &saved ? 3 : 4, 3));
    model->add_state("state", {1});
  }
  parameters_of(saved)[0]->become(every(3, 3, 2), Storage::csr);
  save_model(saved, {}, path_);
  EXPECT_PRED2(contains, complaint(loaded), "\"last\": expected");  // complaint() compares the model before and after
}

// The file at path_, cut short at every length and damaged at every byte: a FileError or a model, and no half model.
// Returns how many were accepted and refused.
std::pair<int, int> BrokenModelFile::damage(const std::function<void(Bag&)>& build) {
  const std::string bytes = read_file(path_, 1 << 20);
  Bag pristine;
  build(pristine);
  const auto untouched = contents_of(pristine);
  int refused = 0, accepted = 0;
  const auto attempt = [&](const std::string& damaged) {
    std::filesystem::remove(path_);  // some file systems wait for the disk when a file is overwritten
    folder_.write("model.safetensors", {reinterpret_cast<const std::uint8_t*>(damaged.data()), damaged.size()});
    Bag model;
    build(model);
    try {
      load_model(model, path_);
      ++accepted;
    } catch (const FileError& error) {
      ++refused;
      EXPECT_EQ(contents_of(model), untouched) << error.what();
    }
  };
  for (std::size_t length = 0; length < bytes.size(); ++length) attempt(bytes.substr(0, length));
  EXPECT_EQ(accepted, 0);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      attempt(damaged);
    }
    for (const char value : {'\0', '\xff', '"', '}', '9'}) {
      std::string damaged = bytes;
      damaged[at] = value;
      if (damaged != bytes) attempt(damaged);
    }
  }
  return {accepted, refused};
}

std::vector<std::string> forms_of(const SavedModel& saved) {
  std::vector<std::string> forms;
  for (const StoredLayer& layer : saved.layers) forms.push_back(layer.form);
  return forms;
}

TEST_F(BrokenModelFile, AnyDamagedByteIsRefused) {
  // One of each form, a bias and a state, as small as they come.
  const auto build = [](Bag& model) {
    model.add("a", 2, 2);
    model.add("b", 2, 5);
    model.add(Parameter("c", every(1, 900, 500)));
    model.add(Parameter("d", every(1, 8'000, 5'000)));
    model.add("e", 2, 1, Role::bias);
    model.add_state("s", {1});
  };
  Bag saved;
  build(saved);
  saved.visit_parameters([](Parameter& W) { number(W); });
  parameters_of(saved)[1]->become(every(2, 5, 2), Storage::csr);
  parameters_of(saved)[2]->become(every(1, 900, 300, 260), Storage::csr);
  parameters_of(saved)[3]->become(every(1, 8'000, 800, 600), Storage::csr);
  EXPECT_EQ(forms_of(save_model(saved, {.dataset = "d", .seed = 1, .notes = {{"k", "v"}}}, path_)),
            (std::vector<std::string>{"dense", "bitmap", "delta8", "csr", "dense", "dense"}));
  const SafeTensors file = load_safetensors(path_);
  const auto [accepted, refused] = damage(build);
  EXPECT_EQ(accepted, 0);
  EXPECT_GT(refused, 15'000);

  // Files of the older format have no checksums: other values and positions pass, and no half model.
  save_safetensors(older(file), path_);
  const auto [older_accepted, older_refused] = damage(build);
  EXPECT_GT(older_accepted, 100);
  EXPECT_GT(older_refused, 5'000);
}

// --- random weights that were never trained -------------------------------------------------------------------------

constexpr Origin origin{Initialiser::signed_constant, 7};

// W as it is drawn, times `scale`, on a pattern (null: all of it).
Parameter& draw(Parameter& W, const PatternPtr& pattern, Real scale, const Origin& from = origin) {
  W.become(nullptr, Storage::dense);
  initialise(W, from.initialiser, from.seed);
  for (Real& w : W.value()) w *= scale;
  if (pattern) W.become(pattern, Storage::masked);
  return W;
}

TEST_F(ModelFile, RandomWeightsCostTheirMaskAndComeBackBitByBit) {
  struct Net {
    const char* name;
    Shape input;
  };
  for (const Net& net : {Net{"lenet-300-100", {784}}, Net{"lenet-5", {1, 28, 28}}})
    for (const char* initialiser :
         {"kaiming", "kaiming-uniform", "xavier", "lecun-uniform", "signed-constant", "unit-normal"}) {
      SCOPED_TRACE(fmt::format("{} {}", net.name, initialiser));
      const Origin from{initialiser_named(initialiser), 12345678901234567890u};
      const ModulePtr saved = make_model(net.name, {.input = net.input, .outputs = 10, .seed = 3});
      const ModulePtr loaded = make_model(net.name, {.input = net.input, .outputs = 10, .seed = 4});
      std::uintmax_t mask_bytes = 0;
      std::vector<std::string> forms;
      Index layer = 0;
      for (Parameter* W : parameters_of(*saved)) {
        if (!W->prunable()) {
          forms.push_back("constant");
          continue;
        }
        const Index step = std::vector<Index>{2, 20, 3, 1}[layer];
        draw(*W, step == 1 ? nullptr : every(W->rows(), W->cols(), step), std::sqrt(Real(1.1) + Real(layer++)), from);
        forms.push_back(step == 1 ? "seed" : step > 8 ? "seed+delta8" : "seed+bitmap");
        if (step > 1) mask_bytes += static_cast<std::uintmax_t>(step > 8 ? W->nonzeros() : (W->positions() + 7) / 8);
      }
      const ModelCard card{.model = net.name, .input = net.input, .outputs = 10};
      const SavedModel written = save_model(*saved, card, path_, {.origin = from});
      EXPECT_EQ(written, model_bytes(*saved, card, {.origin = from}));
      EXPECT_EQ(written.file_bytes, std::filesystem::file_size(path_));
      EXPECT_EQ(forms_of(written), forms);
      std::uintmax_t bytes = 0;
      for (const StoredLayer& stored : written.layers) bytes += stored.bytes;
      EXPECT_EQ(bytes, mask_bytes);
      EXPECT_EQ(load_model(*loaded, path_), as_read(card));
      EXPECT_EQ(contents_of(*loaded), contents_of(*saved));
    }
}

// --- a file alone is enough -----------------------------------------------------------------------------------------

struct NamedModel {
  const char* name;
  Shape input;
  Index outputs;
};
const std::vector<NamedModel> models_of_all_families{{"lenet-300-100", {1, 28, 28}, 10},
                                                     {"lenet-5", {1, 28, 28}, 10},
                                                     {"mlp:12-5-3", {3, 2, 2}, 3},
                                                     {"conv-2", {3, 16, 16}, 4},
                                                     {"resnet-20", {3, 16, 16}, 5},
                                                     {"vgg-small", {3, 32, 32}, 2},
                                                     {"cnn-1d", {20, 3}, 4},
                                                     {"gru:6", {20, 3}, 4},
                                                     {"attention:6x3x1", {20, 3}, 4},
                                                     {"linear", {10}, 1},
                                                     {"tabular:12-8", {10}, 3},
                                                     {"tabular:12-8+norm+dropout=0.1", {10}, 3},
                                                     {"tabular-resnet:8x2+norm", {10}, 3},
                                                     {"average:3xtabular:7+norm", {10}, 2}};

TEST_F(ModelFile, EveryModelOfTheZooOpensFromItsFileAlone) {
  for (const NamedModel& net : models_of_all_families) {
    SCOPED_TRACE(net.name);
    const ModulePtr saved = make_model(net.name, {.input = net.input, .outputs = net.outputs, .seed = 3});
    Index layer = 0;
    for (Parameter* W : parameters_of(*saved)) {
      number(*W);
      if (W->prunable() && ++layer % 2) W->become(every(W->rows(), W->cols(), 4), Storage::csr);
    }
    saved->visit_state([](const std::string&, std::span<Real> n) { std::iota(n.begin(), n.end(), Real{0.5}); });
    const ModelCard card{.model = net.name, .input = net.input, .outputs = net.outputs};
    save_model(*saved, card, path_);
    const OpenedModel opened = open_model(path_);
    EXPECT_EQ(contents_of(*opened.model), contents_of(*saved));
    EXPECT_EQ(opened.card, as_read(card));
    EXPECT_EQ(opened.model->output_shape(net.input), saved->output_shape(net.input));
    for (const Parameter* W : parameters_of(*opened.model))
      EXPECT_EQ(W->storage(), W->pattern() ? Storage::csr : Storage::dense) << W->name();
  }
}

TEST_F(ModelFile, AFileOfTheOlderFormatIsToldItsExtents) {
  const ModulePtr saved = make_model("tabular:5", {.input = {4}, .outputs = 2, .seed = 3});
  save_model(*saved, {}, path_);
  SafeTensors file = load_safetensors(path_);
  file.sealed = false;
  file.metadata.erase("version");
  file.metadata["format"] = "espalier-1";
  file.metadata["model"] = "tabular:5";
  file.metadata["dataset"] = "people.csv";
  file.metadata["mine"] = "kept";
  save_safetensors(file, path_);
  const OpenedModel opened = open_model(path_, {4}, 2);
  EXPECT_EQ(contents_of(*opened.model), contents_of(*saved));
  EXPECT_EQ(opened.card, (ModelCard{.model = "tabular:5", .dataset = "people.csv", .notes = {{"mine", "kept"}}}));
  EXPECT_THROW(open_model(path_), FileError);
  EXPECT_THROW(open_model(path_, {5}, 2), FileError);
}

TEST_F(ModelFile, OpensOnlyWhatSaysEnough) {
  const ModulePtr saved = make_model("tabular:5", {.input = {4}, .outputs = 2});
  const ModelCard card{.model = "tabular:5", .input = {4}, .outputs = 2, .preprocessing = "{}", .seed = 1};
  save_model(*saved, card, path_);
  const SafeTensors right = load_safetensors(path_);
  const auto refused = [&](const std::function<void(SafeTensors&)>& spoil) -> std::string {
    SafeTensors file = right;
    spoil(file);
    save_safetensors(file, path_);
    try {
      open_model(path_);
    } catch (const FileError& error) {
      return std::string(error.what()).substr(path_.string().size() + 2);
    }
    return "opened";
  };
  const auto set = [&](const std::string& key, const std::string& value) {
    return refused([&](SafeTensors& file) { file.metadata[key] = value; });
  };
  const auto without = [&](const std::string& key) {
    return refused([&](SafeTensors& file) { file.metadata.erase(key); });
  };
  EXPECT_EQ(refused([](SafeTensors&) {}), "opened");
  EXPECT_EQ(refused([](SafeTensors& file) { file.sealed = false; }),
            R"(metadata "crc32": expected checksums, which files of this format have, found none)");
  EXPECT_PRED2(contains, without("version"), R"(metadata "version": expected that of the Espalier)");
  EXPECT_PRED2(contains, without("model"), R"(metadata "model": expected a name)");
  EXPECT_PRED2(contains, without("input"), R"(metadata "input": expected one to four extents)");
  EXPECT_PRED2(contains, without("outputs"), R"(metadata "outputs": expected a number of outputs, found none)");
  for (const char* text : {"", "x", "4x", "0", "-4", "4x4x4x4x4", "4.5", "99999999999", "65536x65536"})
    EXPECT_PRED2(contains, set("input", text), R"(metadata "input": expected one to four extents)") << text;
  for (const char* text : {"", "0", "-1", "2.5", "two"})
    EXPECT_PRED2(contains, set("outputs", text), R"(metadata "outputs": expected a number of outputs)") << text;
  EXPECT_PRED2(contains, set("seed", "one"), R"(metadata "seed": expected a seed, found "one")");
  EXPECT_PRED2(contains, set("fingerprint", "xyz"), R"(metadata "fingerprint": expected hexadecimal digits)");
  for (const char* key : {"preprocesing", "Model", "fom/fc1.weight", "x"})
    EXPECT_PRED2(contains, set(key, "v"), "expected no such key in this format") << key;
  EXPECT_PRED2(contains, set("model", "resnet-21"), "[model] expected ");
  EXPECT_PRED2(contains, set("model", "lenet-5"), "[model] lenet-5: expected images");
  for (const char* name : {"lenet\n5", "lenet\x1b[31m", "caf\u00e9", "tabular:5 "})
    EXPECT_PRED2(contains, set("model", name), R"(metadata "model": expected a name such as lenet-5, found ")");
  EXPECT_PRED2(contains, set("input", "5"), R"(tensor "fc1.weight": expected )");
  EXPECT_PRED2(contains, refused([](SafeTensors& file) {
                 for (const char* key : {"model", "input", "outputs"}) file.metadata.erase(key);
               }),
               "loaded into that");
}

// A few letters are enough to name any of these; the file has the weights of none of them.
TEST_F(ModelFile, AModelFarLargerThanItsFileIsRefusedBeforeMemoryIsAskedFor) {
  struct Huge {
    std::string model, input, outputs;
  };
  for (const Huge& huge :
       {Huge{"mlp:4-20000000-2", "4", "2"}, Huge{"tabular:20000000", "4", "2"}, Huge{"tabular:4+norm", "4", "50000000"},
        Huge{"gru:1000000", "4x4", "2"}, Huge{"attention:4x4x2", "500000000x4", "2"},
        Huge{"attention:4x4x2+tokens=16", "500000000", "2"}, Huge{"attention:1x1x1000", "4x4", "90000000"},
        Huge{"average:100xtabular-resnet:1x1000", "4", "2"}}) {
    SafeTensors file{.metadata = {{"format", "espalier-2"},
                                  {"version", "0.1.0"},
                                  {"model", huge.model},
                                  {"input", huge.input},
                                  {"outputs", huge.outputs}},
                     .tensors = {},
                     .sealed = true};
    save_safetensors(file, path_);
    try {
      open_model(path_);
      ADD_FAILURE() << huge.model << " was opened";
    } catch (const FileError& error) {
      EXPECT_PRED2(contains, error.what(), "besides its weights, got a larger one");
    }
  }
}

TEST_F(ModelFile, NeitherHoldsNorTakesNumbersThatAreNotFinite) {
  using Limits = std::numeric_limits<Real>;
  for (const Real bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()})
    for (const char* where : {"dense", "sparse", "bias", "state"}) {
      const auto build = [&](Bag& model) {
        number(model.add("dense", 3, 4));
        number(model.add(Parameter("sparse", every(3, 4, 2))));
        number(model.add("bias", 3, 1, Role::bias));
        model.add_state("state", {1, 2});
      };
      Bag model, loaded;
      build(model);
      build(loaded);
      save_model(model, {}, path_);
      SafeTensors file = load_safetensors(path_);
      for (SafeTensor& tensor : file.tensors)
        if (tensor.name.find(where) != std::string::npos && tensor.dtype == real_dtype)
          std::memcpy(tensor.data.data(), &bad, sizeof bad);
      save_safetensors(file, path_);
      EXPECT_PRED2(contains, complaint(loaded), "expected finite numbers, found NaN or Inf") << where;
      for (Parameter* W : parameters_of(model))
        if (W->name() == where) W->value()[1] = bad;
      model.visit_state([&](const std::string& name, std::span<Real> n) { n[0] = name == where ? bad : n[0]; });
      EXPECT_THROW(save_model(model, {}, path_), DivergedError) << where;
    }
}

TEST_F(ModelFile, AWeightThatWasTrainedIsWrittenWithItsLayersValues) {
  Bag saved, loaded;
  draw(saved.add("trained", 6, 8), every(6, 8, 2), Real(1.5));
  draw(saved.add("untouched", 6, 8), every(6, 8, 2), Real(1.5));
  draw(saved.add("another seed", 6, 8), nullptr, 1, {origin.initialiser, origin.seed + 1});
  saved.add("bias", 6, 1, Role::bias).value()[5] = Real(0.25);
  saved.add("scale", 6, 1, Role::bias);
  std::ranges::fill(parameters_of(saved)[4]->value(), Real{1});
  Real& last = parameters_of(saved)[0]->value()[46];
  last = std::nextafter(last, Real{2});
  for (const Parameter* W : parameters_of(saved)) loaded.add(W->name(), W->rows(), W->cols(), W->role());
  EXPECT_EQ(forms_of(save_model(saved, {}, path_, {.origin = origin})),
            (std::vector<std::string>{"bitmap", "seed+bitmap", "dense", "dense", "constant"}));
  load_model(loaded, path_);
  EXPECT_EQ(contents_of(loaded), contents_of(saved));
  // Without an origin nothing says where the weights are from.
  EXPECT_EQ(forms_of(save_model(saved, {}, path_)),
            (std::vector<std::string>{"bitmap", "bitmap", "dense", "dense", "dense"}));
}

TEST(ModelFileForms, TheEntropyOfAMaskIsABitPerPositionAtOneHalfAndLessElsewhere) {
  EXPECT_DOUBLE_EQ(mask_entropy_bytes(Parameter("W", every(10, 20, 2))), 25);
  EXPECT_NEAR(mask_entropy_bytes(Parameter("W", every(10, 20, 10))), 0.468996 * 25, 1e-4);
  EXPECT_EQ(mask_entropy_bytes(Parameter("W", 10, 20)), 0);
  EXPECT_EQ(mask_entropy_bytes(Parameter("W", Pattern::from_positions(10, 20, {}))), 0);
}

TEST_F(BrokenModelFile, WhatDrawsTheWeightsMustBeCompleteAndTrue) {
  Bag saved, model;
  draw(saved.add("W", 2, 5), every(2, 5, 3), Real(0.75));
  saved.add("b", 2, 1, Role::bias);
  model.add("W", 2, 5);
  model.add("b", 2, 1, Role::bias);
  save_model(saved, {}, path_, {.origin = origin});
  const SafeTensors right = load_safetensors(path_);
  EXPECT_EQ(right.metadata.at("form/W"), "seed+bitmap");
  EXPECT_EQ(right.metadata.at("scale/W"), "0.75");
  const auto spoil = [&](const std::function<void(SafeTensors&)>& how) {
    SafeTensors file = right;
    how(file);
    save_safetensors(file, path_);
    return complaint(model);
  };
  const auto set = [&](const std::string& key, const std::string& value) {
    return spoil([&](SafeTensors& file) { file.metadata[key] = value; });
  };
  const auto without = [&](const std::string& key) {
    return spoil([&](SafeTensors& file) { file.metadata.erase(key); });
  };
  EXPECT_EQ(without("seed/W"), R"(metadata "seed/W": expected a seed, found none)");
  EXPECT_EQ(set("seed/W", "-1"), R"(metadata "seed/W": expected a seed, found "-1")");
  EXPECT_EQ(set("seed/W", "18446744073709551616"),
            R"(metadata "seed/W": expected a seed, found "18446744073709551616")");
  EXPECT_PRED2(contains, set("seed/W", "8"), R"(metadata "check/W": expected ")");
  EXPECT_EQ(without("initialiser/W"),
            R"(metadata "initialiser/W": expected an initialiser such as signed-constant, found none)");
  EXPECT_EQ(set("initialiser/W", "zeros"),
            R"(metadata "initialiser/W": expected an initialiser such as signed-constant, found "zeros")");
  EXPECT_PRED2(contains, set("initialiser/W", "kaiming"), "that of the weights as they are drawn here");
  EXPECT_EQ(without("scale/W"), R"(metadata "scale/W": expected a number, found none)");
  for (const char* scale : {"", "1x", "nan", "inf", "1e999"})
    EXPECT_PRED2(contains, set("scale/W", scale), R"(metadata "scale/W": expected a number, found )");
  EXPECT_PRED2(contains, set("scale/W", "0.7500001"), R"(metadata "check/W": expected ")");
  EXPECT_PRED2(contains, without("check/W"), "as they are drawn here, found none");
  EXPECT_EQ(without("shape/W"), R"(metadata "shape/W": expected "2x5", found none)");
  EXPECT_EQ(without("value/b"), R"(metadata "value/b": expected a number, found none)");
  EXPECT_EQ(set("value/b", "zero"), R"(metadata "value/b": expected a number, found "zero")");
  EXPECT_EQ(set("form/W", "constant"),
            R"(metadata "form/W": expected not constant, for this is a weight, found "constant")");
  EXPECT_EQ(set("form/b", "seed"),
            R"(metadata "form/b": expected dense or constant, for this is a bias, found "seed")");
  EXPECT_EQ(set("seed/V", "1"), R"(metadata "seed/V": expected no parameter of this name in this model, found "1")");
  EXPECT_EQ(spoil([](SafeTensors& file) { file.tensors.clear(); }),
            R"(tensor "W.bitmap": expected U8 [2], found no tensor of this name)");
  EXPECT_EQ(spoil([](SafeTensors& file) {
              file.tensors[0].shape = {3};
              file.tensors[0].data.resize(3);
            }),
            R"(tensor "W.bitmap": expected U8 [2], found U8 [3])");
  // Another mask draws other weights.
  EXPECT_PRED2(contains, spoil([](SafeTensors& file) { file.tensors[0].data[0] ^= std::byte{1}; }),
               R"(metadata "check/W": expected ")");
}

TEST_F(BrokenModelFile, AnyDamagedByteOfDrawnWeightsIsRefused) {
  const auto build = [](Bag& model) {
    model.add("a", 2, 2);
    model.add("b", 2, 5);
    model.add("c", 3, 30);
    model.add("d", 2, 1, Role::bias);
  };
  Bag saved;
  build(saved);
  draw(*parameters_of(saved)[0], nullptr, 1);
  draw(*parameters_of(saved)[1], every(2, 5, 2), Real(1.5));
  draw(*parameters_of(saved)[2], every(3, 30, 20), Real(0.3));
  EXPECT_EQ(forms_of(save_model(saved, {}, path_, {.origin = origin})),
            (std::vector<std::string>{"seed", "seed+bitmap", "seed+delta8", "constant"}));
  const auto [accepted, refused] = damage(build);
  EXPECT_EQ(accepted, 0);
  EXPECT_GT(refused, 5'000);
}

// --- narrower networks -----------------------------------------------------------------------------------------------

// The model of that name with every second group of each width taken out.
ModulePtr narrowed(const std::string& name, const Shape& input) {
  ModulePtr model = make_model(name, {.input = input, .outputs = 3});
  const std::vector<Width> widths = widths_of(*model, input);
  Kept kept = all_of(widths);
  for (std::size_t w = 0; w < widths.size(); ++w)
    if (widths[w].fixed.empty()) std::erase_if(kept[w], [](Index group) { return group % 2 == 1; });
  narrow(*model, widths, kept);
  return model;
}

TEST_F(ModelFile, OfANetworkThatBecameNarrowerNeedsNothingButItself) {
  for (const auto& [name, input] : std::vector<std::pair<std::string, Shape>>{{"mlp:6-5-4-3", {6}},
                                                                              {"lenet-5", {1, 16, 16}},
                                                                              {"tabular-resnet:6x2", {5}},
                                                                              {"tabular:8-7+norm", {5}},
                                                                              {"gru:5", {4, 2}},
                                                                              {"attention:12x4x1", {3, 2}},
                                                                              {"average:2xtabular:6", {5}}}) {
    SCOPED_TRACE(name);
    const ModulePtr saved = narrowed(name, input);
    save_model(*saved, {.model = name, .input = input, .outputs = 3}, path_);
    const OpenedModel opened = open_model(path_);
    EXPECT_EQ(contents_of(*opened.model), contents_of(*saved));
    EXPECT_EQ(opened.model->output_shape(input), Shape{3});
    const ModulePtr wide = make_model(name, {.input = input, .outputs = 3});
    load_narrowed(*wide, input, path_);
    EXPECT_EQ(contents_of(*wide), contents_of(*saved));
  }
}

TEST_F(ModelFile, WhoseCoupledLayersAreNotEquallyNarrowIsRefused) {
  const ModelCard card{.model = "mlp:6-5-4-3", .input = {6}, .outputs = 3};
  const auto refused = [&](const std::string& parameter, std::vector<Index> rows, std::vector<Index> columns) {
    const ModulePtr model = narrowed("mlp:6-5-4-3", {6});
    model->visit_parameters([&](Parameter& W) {
      if (W.name() == parameter) W.select(rows, columns);
    });
    save_model(*model, card, path_);
    try {
      open_model(path_);
    } catch (const FileError& error) {
      return std::string(error.what()).starts_with(path_.string() + ": ");
    }
    return false;
  };
  EXPECT_TRUE(refused("fc1.weight", {0, 1}, {0, 1, 2, 3, 4, 5})) << "2 units, of which fc2 reads 3";
  EXPECT_TRUE(refused("fc1.weight", {0, 1, 2}, {0, 1, 2, 3, 4})) << "an input less";
  EXPECT_TRUE(refused("fc1.bias", {0, 1}, {0}));
  EXPECT_TRUE(refused("fc2.weight", {0, 1}, {1, 2}));
  EXPECT_TRUE(refused("output.weight", {0, 1}, {0, 1})) << "an output less";
}

}  // namespace
}  // namespace espalier
