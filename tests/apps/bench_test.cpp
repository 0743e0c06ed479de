#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "apps/bench/ruler.h"
#include "espalier/core/error.h"
#include "support/tool.h"

namespace espalier {
namespace {

using testing::Ran;
using testing::tool;

TEST(Ruler, KernelsNarrowerThanTheProcessorsVectorsDoNotFit) {
  for (const bool amd : {false, true}) {
    EXPECT_TRUE(kernels_fit("Prescott", Vectors::sse, amd));
    for (const char* old : {"Prescott", "Core2", "Nehalem", "Sandybridge", "Generic", ""}) {
      EXPECT_FALSE(kernels_fit(old, Vectors::avx2, amd)) << old;
      EXPECT_FALSE(kernels_fit(old, Vectors::avx512, amd)) << old;
    }
    for (const char* wide : {"Haswell", "Zen", "SkylakeX"}) EXPECT_TRUE(kernels_fit(wide, Vectors::avx2, amd)) << wide;
    EXPECT_TRUE(kernels_fit("SkylakeX", Vectors::avx512, amd));
  }
  EXPECT_FALSE(kernels_fit("Haswell", Vectors::avx512, false));
  EXPECT_TRUE(kernels_fit("Zen", Vectors::avx512, true));
}

// In a test's process the library is not loaded again, so on some machines the ruler does not fit.
TEST(Ruler, GivesPercentagesOnlyIfItFits) {
  const Ran ran = tool("bench kernels --rows 40 --cols 30 --lanes 16 --json");
  ASSERT_EQ(ran.code, exit_done) << ran.err;
  const auto result = nlohmann::json::parse(ran.out);
  EXPECT_FALSE(result["openblas_core"].get<std::string>().empty());
  for (const auto& rung : result["kernels"]) {
    const bool compared = result["openblas_fits"].get<bool>() && rung["kernel"] != "naive";
    EXPECT_EQ(rung["of_openblas"].is_number(), compared) << rung;
    EXPECT_LE(rung["quartiles"][0].get<double>(), rung["seconds"].get<double>());
    EXPECT_LE(rung["seconds"].get<double>(), rung["quartiles"][1].get<double>());
  }
  const Ran table = tool("bench kernels --rows 40 --cols 30 --lanes 16");
  EXPECT_EQ(table.out.find("no ruler") == std::string::npos, result["openblas_fits"].get<bool>()) << table.out;
}

}  // namespace
}  // namespace espalier
