// Bytes in fewer bytes, and back.
#include "espalier/core/deflate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "espalier/core/random.h"

namespace espalier {
namespace {

// Small numbers that are more frequent the smaller they are, as deltas are.
std::vector<std::byte> uneven(std::size_t count) {
  const Random random(1, "uneven");
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < count; ++i)
    bytes.push_back(static_cast<std::byte>(std::min(255.0, 1 / (1.01 - random.uniform(i)))));
  return bytes;
}

TEST(Deflate, ComesBackAsItWas) {
  for (const std::size_t count : {0, 1, 100, 16'384, 100'000}) {
    const std::vector<std::byte> bytes = uneven(count);
    const auto stream = deflated(bytes);
    EXPECT_EQ(inflated(stream, count), bytes) << count;
    EXPECT_EQ(deflated(bytes), stream);
  }
  EXPECT_LT(deflated(uneven(100'000)).size(), 50'000u);
  EXPECT_LT(deflated(std::vector<std::byte>(100'000)).size(), 200u) << "repetitions are found where there are any";
}

TEST(Deflate, NothingButAWholeStreamOfSoManyBytesIsTaken) {
  const std::vector<std::byte> bytes = uneven(1000);
  std::vector<std::byte> stream = deflated(bytes);
  EXPECT_FALSE(inflated(stream, 999));
  for (std::size_t length = 0; length < stream.size(); ++length)
    EXPECT_FALSE(inflated(std::span(stream).first(length), 1000)) << length;
  stream.push_back({});
  EXPECT_FALSE(inflated(stream, 1000));
  EXPECT_FALSE(inflated(bytes, 1000));
  // Sixteen megabytes in 16 KB: no more comes out than is asked for.
  EXPECT_FALSE(inflated(deflated(std::vector<std::byte>(1 << 24)), 1 << 20));
}

}  // namespace
}  // namespace espalier
