// Files that were damaged: every truncation of a file, and every bit of it the other way round.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace espalier::testing {

// Expects that `refused`, which is given a file's bytes and says whether they are refused, takes the whole file, and
// refuses it wherever it ends too early and whichever bit is flipped.
template <typename Refused>
void expect_refused_if_damaged(const std::string& whole, const Refused& refused) {
  EXPECT_FALSE(refused(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) ASSERT_TRUE(refused(whole.substr(0, length))) << length;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_TRUE(refused(damaged)) << "bit " << bit % 8 << " of byte " << bit / 8;
  }
}

}  // namespace espalier::testing
