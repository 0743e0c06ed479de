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
#include "espalier/experiment/run_folder.h"
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
  const Ran trained =
      tool("train --data synthetic-text --model mlp:64-8-27 --no-dense --epochs 1 --threads 1 --out " + path("text"));
  if (trained.code != exit_done) GTEST_SKIP() << trained.err;
  for (const std::string& line :
       {"predict " + path("text") + " " + path("model"), "evaluate " + path("text") + " --data synthetic-text"}) {
    const Ran ran = tool(line);
    EXPECT_EQ(ran.code, exit_file) << ran.err;
    EXPECT_PRED2(contains, ran.err, "expected a network for the rows of a table, found one for something else");
    EXPECT_EQ(std::ranges::count(ran.err, '\n'), 1) << ran.err;
  }
}

}  // namespace
}  // namespace espalier
