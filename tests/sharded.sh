#!/usr/bin/env bash
# Runs a test program in one process per processor: under a sanitizer, a process per test, as ctest has it, takes longer to
# begin than most tests take.
#
#   tests/sharded.sh PRESET PROGRAM [FILTER]      FILTER as GoogleTest has it; else what the preset was configured with
set -euo pipefail
cd "$(dirname "$0")/.."
set -a
. "build/$1/tests/environment"
set +a
filter=${3:-${ESPALIER_TEST_FILTER:-*}}
shards=$(nproc)
pids=()
for ((shard = 0; shard < shards; shard++)); do
  GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard timeout 1800 "build/$1/tests/$2" --gtest_brief=1 \
    --gtest_filter="$filter" &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
