// espalier predict and evaluate of images: a model's file knows how pixels become features.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/onnx.h"
#include "support/idx_files.h"
#include "support/temporary_folder.h"
#include "support/text.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::Bytes;
using testing::contains;
using testing::Ran;
using testing::tool;

constexpr Index classes = 3, extent = 4;

// Images of 4 x 4 pixels, in whose row k there is light if they are of class k.
Bytes images(Index count) {
  Bytes pixels;
  for (Index i = 0; i < count; ++i)
    for (Index p = 0; p < extent * extent; ++p)
      pixels.push_back(static_cast<std::uint8_t>((p / extent == i % classes ? 180 : 20) + (i * 7 + p * 13) % 60));
  return pixels;
}
Bytes labels(Index count) {
  Bytes numbers;
  for (Index i = 0; i < count; ++i) numbers.push_back(static_cast<std::uint8_t>(i % classes + 1));
  return numbers;
}

class EvaluateImages : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [part, count] : {std::pair{"train", Index{150}}, std::pair{"t10k", Index{30}}}) {
      folder_.write(fmt::format("shapes/{}-images-idx3-ubyte", part),
                    testing::idx_bytes({count, extent, extent}, images(count)));
      folder_.write(fmt::format("shapes/{}-labels-idx1-ubyte", part), testing::idx_bytes({count}, labels(count)));
    }
    const Ran ran =
        tool("train --data idx:" + path("shapes") +
             " --model mlp:16-8-3 --no-dense --epochs 20 --batch 16 --density 0.5 --threads 1 --out " + path("run"));
    ASSERT_EQ(ran.code, exit_done) << ran.err;
    std::filesystem::copy_file(path("run/model.safetensors"), path("model"));
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }
  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(EvaluateImages, OnTheTestImagesGivesTheFiguresOfTheRun) {
  const Metrics measured = *RunFolder(path("run"), Begin::where_it_stopped).result()->sparse.test;
  const Ran ran = tool("evaluate " + path("model") + " --json --data idx:" + path("shapes"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json.at("test_accuracy"), measured.accuracy);
  EXPECT_EQ(json.at("test_log_loss"), measured.log_loss);
  EXPECT_EQ(json.at("samples"), 30);
  const Ran text = tool("evaluate " + path("run") + " --part train --data idx:" + path("shapes"));
  EXPECT_TRUE(text.out.starts_with("of 150 samples whose class is known: accuracy ")) << text.out << text.err;
}

TEST_F(EvaluateImages, PredictAnswersEveryKindOfFileAlike) {
  const Ran idx = tool("predict " + path("model") + " " + path("shapes/t10k-images-idx3-ubyte"));
  ASSERT_EQ(idx.code, exit_done) << idx.err;
  const auto lines = lines_of(idx.out);
  ASSERT_EQ(lines.size(), 31u);
  EXPECT_EQ(lines[0], "class,p(1),p(2),p(3)");
  for (std::size_t i = 1; i < lines.size(); ++i)
    EXPECT_TRUE(lines[i].starts_with(fmt::format("{},", (i - 1) % 3 + 1))) << lines[i];
  EXPECT_PRED2(contains, idx.err, "30 samples");

  // Two pictures by hand: the first two images.
  const Bytes pixels = images(2);
  std::string files;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string header = "P5 4 4 255\n";
    Bytes picture(header.begin(), header.end());
    picture.insert(picture.end(), pixels.begin() + static_cast<std::ptrdiff_t>(16 * i),
                   pixels.begin() + static_cast<std::ptrdiff_t>(16 * (i + 1)));
    files += " " + folder_.write(fmt::format("{}.pgm", i), picture).string();
  }
  const Ran pictures = tool("predict " + path("run") + files + " --out " + path("answers.csv"));
  ASSERT_EQ(pictures.code, exit_done) << pictures.err;
  EXPECT_PRED2(contains, pictures.out, "2 samples, written to ");
  EXPECT_EQ(lines_of(read_file(path("answers.csv"), 1 << 20)),
            (std::vector<std::string>{lines[0], lines[1], lines[2]}));
}

TEST_F(EvaluateImages, MisuseEndsInOneLineAndADocumentedCode) {
  folder_.write("small.pgm", [] {
    const std::string picture = "P2 1 1 255 0";
    return Bytes(picture.begin(), picture.end());
  }());
  folder_.write("rows.csv", [] {
    const std::string rows = "a,b\n1,2\n";
    return Bytes(rows.begin(), rows.end());
  }());
  struct Bad {
    std::string line;
    int code;
    const char* message;
  };
  for (const Bad& bad :
       {Bad{"predict " + path("model") + " " + path("small.pgm"), exit_file, "expected a picture of 4 x 4 pixels"},
        Bad{"predict " + path("model") + " " + path("rows.csv"), exit_file, "8 bytes of none of these"},
        Bad{"predict " + path("model") + " absent.png", exit_file, "absent.png: expected samples, found no such file"},
        Bad{"predict absent absent.png", exit_file, "absent: "},
        Bad{"predict " + path("model") + " --keep id " + path("small.pgm"), exit_usage, "[--keep] expected none"},
        Bad{"predict " + path("shapes") + " " + path("small.pgm"), exit_file, "found no model.safetensors in it"},
        Bad{"evaluate " + path("model") + " --data " + path("small.pgm"), exit_file, "expected a picture of 4 x 4"},
        Bad{"evaluate " + path("model") + " --data " + path("shapes/t10k-images-idx3-ubyte"), exit_file,
            "expected samples with labels"},
        Bad{"evaluate " + path("model") + " --data absent", exit_usage, "[--data] expected "},
        Bad{"evaluate " + path("model") + " --data synthetic-signals", exit_usage, "[--data] "},
        Bad{"evaluate " + path("model"), exit_usage, "--data is required"}}) {
    const Ran ran = tool(bad.line);
    EXPECT_EQ(ran.code, bad.code) << bad.line << "\n" << ran.err;
    EXPECT_PRED2(contains, ran.err, bad.message) << bad.line;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
}

TEST_F(EvaluateImages, ANetworkForTextIsRefusedInOneLine) {
  const std::string name = "attention:4x1x1+tokens=7";
  save_model(*make_model(name, {.input = {8}, .outputs = 7}), {.model = name, .input = {8}, .outputs = 7},
             path("text"));
  for (const std::string& line :
       {"predict " + path("text") + " " + path("model"), "evaluate " + path("text") + " --data synthetic-text"}) {
    const Ran ran = tool(line);
    EXPECT_NE(ran.code, exit_done);
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
  EXPECT_PRED2(contains, tool("predict " + path("text") + " " + path("model")).err,
               "expected a network for the rows of a table, found one for something else");
}

// What other programs are given; tests/layers/python_reader_test.py reads such files.
TEST_F(EvaluateImages, ExportsWeightsAndModels) {
  const auto run = [&](const std::string& arguments) { return tool("export " + path("run") + " --to " + arguments); };
  ASSERT_EQ(run("safetensors --out " + path("copy")).code, exit_done);
  EXPECT_EQ(read_file(path("copy"), 1 << 20), read_file(path("model"), 1 << 20));
  ASSERT_EQ(run("csr --out " + path("csr")).code, exit_done);
  const SafeTensors csr = load_safetensors(path("csr"));
  EXPECT_TRUE(csr.sealed);
  std::vector<std::string> names;
  for (const SafeTensor& tensor : csr.tensors) names.push_back(tensor.name);
  for (const char* name :
       {"fc1.weight.data", "fc1.weight.indices", "fc1.weight.indptr", "fc1.weight.shape", "fc1.bias"})
    EXPECT_EQ(std::ranges::count(names, name), 1) << name;
  ASSERT_EQ(run("mtx --layer fc1.weight --out " + path("mtx")).code, exit_done);
  EXPECT_TRUE(read_file(path("mtx"), 1 << 20).starts_with("%%MatrixMarket matrix coordinate real general\n8 16 "));
  ASSERT_EQ(run("npz --layer fc1.weight --out " + path("npz")).code, exit_done);
  EXPECT_TRUE(read_file(path("npz"), 1 << 20).starts_with("PK\x03\x04"));
  const Ran dense = run("onnx --out " + path("onnx"));
  ASSERT_EQ(dense.code, writes_onnx() ? exit_done : exit_usage) << dense.err;
  if (writes_onnx()) {
    ASSERT_EQ(run("onnx --sparse --out " + path("sparse")).code, exit_done);
    const std::string file = read_file(path("onnx"), 1 << 20);
    EXPECT_PRED2(contains, file, "fc1.weight");
    EXPECT_PRED2(contains, file, "preprocessing") << "the card is kept";
    EXPECT_EQ(read_file(path("sparse"), 1 << 20), file) << "half of the weights with positions take more room";
  } else {
    EXPECT_PRED2(contains, dense.err, "install libonnx-dev");
    EXPECT_EQ(std::ranges::count(dense.err, '\n'), 1) << dense.err;
  }
  struct Bad {
    std::string arguments;
    const char* message;
  };
  for (const Bad& bad : {Bad{"npz --out " + path("x"), "[--layer] expected the name of a layer's weights"},
                         Bad{"csr --layer fc1.weight --out " + path("x"), "[--layer] expected none with --to csr"},
                         Bad{"mtx --layer fc9 --out " + path("x"), "[--layer] expected fc1.weight, fc1.bias"},
                         Bad{"csr --out " + path("run/model.safetensors"), "[--out] expected a file that is none of"},
                         Bad{"csr --sparse --out " + path("x"), "[--sparse] expected to be given with --to onnx only"},
                         Bad{"onnx --layer fc1.weight --out " + path("x"), "[--layer] expected none with --to onnx"},
                         Bad{"hdf5 --out " + path("x"), "--to"}}) {
    const Ran ran = run(bad.arguments);
    EXPECT_EQ(ran.code, exit_usage) << bad.arguments << ran.err;
    EXPECT_PRED2(contains, ran.err, bad.message);
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

// The line after "before: " or "after:  ", and what evaluate prints first.
std::string first_line(const std::string& text, const std::string& after) {
  const std::size_t begin = text.find(after);
  if (begin == std::string::npos) return "none";
  return text.substr(begin + after.size(), text.find('\n', begin) - begin - after.size());
}

TEST_F(EvaluateImages, ACompressedModelAnswersAsTheLineBesideItSays) {
  const auto compressed = [&](const std::string& flags, const std::string& out) {
    return tool("export " + path("run") + " --to compressed --threads 1 --out " + path(out) + flags);
  };
  const std::string data = " --threads 1 --data idx:" + path("shapes");
  const std::string right = first_line(tool("evaluate " + path("run") + data).out, "");
  for (const std::string flags : {"", " --bits 2", " --codebook linear", " --bits 3 --fine-tune 2"}) {
    const Ran ran = compressed(flags, "small");
    ASSERT_EQ(ran.code, exit_done) << ran.err;
    EXPECT_EQ(first_line(ran.out, "before: "), right);
    EXPECT_EQ(first_line(ran.out, "after:  "), first_line(tool("evaluate " + path("small") + data).out, "")) << flags;
    const std::string form = flags.find("linear") == std::string::npos ? "shared+delta8" : "linear8+delta8";
    EXPECT_EQ(load_safetensors(path("small")).metadata.at("form/fc1.weight"), form);
  }
  const std::string trained = read_file(path("small"), 1 << 20);
  compressed(" --bits 3 --fine-tune 2", "again");
  EXPECT_EQ(read_file(path("again"), 1 << 20), trained);
  compressed(" --bits 3", "untrained");
  EXPECT_NE(read_file(path("untrained"), 1 << 20), trained);
  EXPECT_PRED2(contains, tool("export " + path("small") + " --to compressed --out " + path("x")).out,
               "how good it is was not measured");
  for (const std::string& arguments :
       {path("run") + " --to csr --bits 4", path("run") + " --to compressed --bits 9",
        path("run") + " --to compressed --codebook linear --fine-tune 1",
        path("small") + " --to compressed --fine-tune 1", path("run") + " --to compressed --fine-tune -1"}) {
    const Ran ran = tool("export " + arguments + " --out " + path("y"));
    EXPECT_EQ(ran.code, exit_usage) << arguments << ran.err;
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path("y")));
}

TEST_F(EvaluateImages, ARunInScipysLayoutIsReadAsAnyOther) {
  const Ran ran = tool("train --data idx:" + path("shapes") +
                       " --model mlp:16-8-3 --no-dense --batch 16 --threads 1 --density 0.4 --epochs 1 --layout csr "
                       "--json --out " +
                       path("plain"));
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const SafeTensors file = load_safetensors(path("plain/model.safetensors"));
  EXPECT_EQ(file.metadata.at("form/fc1.weight"), "scipy-csr");
  EXPECT_EQ(RunFolder(path("plain"), Begin::where_it_stopped).result()->sparse.file_bytes,
            std::filesystem::file_size(path("plain/model.safetensors")));
  const std::string data = " --threads 1 --data idx:" + path("shapes");
  ASSERT_EQ(tool("export " + path("plain") + " --to safetensors --out " + path("usual")).code, exit_done);
  EXPECT_EQ(tool("evaluate " + path("plain") + data).out, tool("evaluate " + path("usual") + data).out);
  EXPECT_EQ(tool("train --data idx:" + path("shapes") + " --layout compressed").code, exit_usage);
}

TEST_F(EvaluateImages, TrainsOnFromAFile) {
  const std::string train = "train --data idx:" + path("shapes") +
                            " --model mlp:16-8-3 --no-dense --batch 16 --threads 1 --density 0.4 --out " + path("on");
  const Ran on = tool(train + " --epochs 1 --rate 0.0001 --init " + path("model"));
  ASSERT_EQ(on.code, exit_done) << on.err;
  const double right = RunFolder(path("on"), Begin::where_it_stopped).result()->sparse.test->accuracy;
  EXPECT_GT(right, 0.9) << "an epoch at this rate from drawn weights teaches nothing";
  EXPECT_PRED2(contains, read_file(path("on/config.toml"), 1 << 20), "init = ");
  for (const std::string& file : {std::string("absent"), path("shapes/t10k-images-idx3-ubyte")}) {
    const Ran ran = tool(train + " --overwrite --init " + file);
    EXPECT_EQ(ran.code, exit_file) << ran.err;
    const std::size_t error = ran.err.find("error: ");  // before it stands what was noticed about the labels
    ASSERT_NE(error, std::string::npos) << ran.err;
    EXPECT_EQ(std::ranges::count(ran.err.substr(error), '\n'), 1) << ran.err;
  }
}

}  // namespace
}  // namespace espalier
