#!/usr/bin/env bash
# Fuzzes what reads files, by libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer:
#
#   tests/fuzz/run.sh 10             every harness, ten seconds each
#   tests/fuzz/run.sh 600 csv        one of them, ten minutes
#
# It begins with the files in tests/fuzz/corpus/HARNESS. Inputs that reach new branches stay in build/fuzz/HARNESS, where the
# next run begins; one that breaks something is written there as crash-..., and the exit code is 1. To run such an input
# alone: build/dev/tests/fuzz/espalier_fuzz_HARNESS FILE.
set -euo pipefail
cd "$(dirname "$0")/../.."
harnesses=()
for source in tests/fuzz/*.cpp; do harnesses+=("$(basename "$source" .cpp)"); done
seconds=${1:-}
if ! [[ $seconds =~ ^[0-9]+$ ]] || [[ $# -gt 2 ]] || [[ $# -eq 2 && " ${harnesses[*]} " != *" $2 "* ]]; then
  echo "tests/fuzz/run.sh: expected SECONDS [HARNESS], of ${harnesses[*]}; got $*" >&2
  exit 2
fi
if [ $# -eq 2 ]; then harnesses=("$2"); fi
source apps/install_packages.sh
install_packages "${build_packages[@]}" "${test_packages[@]}" "${clang_packages[@]}"
cmake --preset dev -DESPALIER_TESTS=ON >/dev/null
cmake --build --preset dev --target "${harnesses[@]/#/espalier_fuzz_}"
failed=0
for harness in "${harnesses[@]}"; do
  found=build/fuzz/$harness
  log=$found.log
  mkdir -p "$found"
  if "build/dev/tests/fuzz/espalier_fuzz_$harness" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=4096 -print_final_stats=1 -print_funcs=0 -verbosity=0 -artifact_prefix="$found/" "$found" \
    "tests/fuzz/corpus/$harness" >"$log" 2>&1; then
    echo "$harness: $(awk '/number_of_executed_units/ { print $2 }' "$log") inputs in $seconds s, nothing found"
  else
    failed=1
    echo "$harness: found something; the end of $log:"
    tail -n 40 "$log"
  fi
done
exit $failed
