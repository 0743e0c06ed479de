#include "espalier/core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <vector>

#include "espalier/core/error.h"

namespace espalier {
namespace {

TEST(ParallelFor, CallsEachIndexOnceForAnyNumberOfThreads) {
  for (const int threads : {1, 2, 4, 16})
    for (const Index count : {0, 1, 3, 1000}) {
      std::vector<int> calls(count, 0);
      parallel_for(count, threads, [&](Index i) { ++calls[i]; });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(count), 1));
    }
}

TEST(ParallelFor, ThrowsTheFirstExceptionAfterAllHaveEnded) {
  for (const int threads : {1, 4}) {
    std::atomic<int> calls = 0;
    EXPECT_THROW(parallel_for(100, threads,
                              [&](Index i) {
                                ++calls;
                                if (i % 10 == 3) throw UsageError("three");
                              }),
                 UsageError);
    EXPECT_EQ(calls, 100);
  }
}

TEST(ParallelFor, EveryWorkerRoundsSubnormalsToZero) {
  for (const int threads : {1, 4}) {
    std::vector<double> products(64);
    parallel_for(64, threads, [&](Index i) {
      volatile double small = std::numeric_limits<double>::min();
      products[i] = small * 0.5;
    });
    for (const double product : products) EXPECT_EQ(product, 0);
  }
}

TEST(Threads, AtLeastOneByDefault) {
  EXPECT_GE(default_threads(), 1);
}

}  // namespace
}  // namespace espalier
