#!/usr/bin/env bash
# Fuzzes what reads files, by libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer:
#
#   tests/fuzz/run.sh 10             every harness, ten seconds each, as many side by side as there are processors
#   tests/fuzz/run.sh 900 csv model  two of them, fifteen minutes each
#
# It begins with the files in tests/fuzz/corpus/HARNESS. Inputs that reach new branches stay in build/fuzz/HARNESS, where the
# next run begins; one that breaks something is written there as crash-..., and the exit code is 1. To run such an input
# alone: build/dev/tests/fuzz/espalier_fuzz_HARNESS FILE.
#
# An input has at most 4 KiB, and 16 KiB decompressed for each of them: one that makes a reader ask for 64 MiB at once, that
# it has no use for, counts as found, too.
set -euo pipefail
cd "$(dirname "$0")/../.."
harnesses=()
for source in tests/fuzz/*.cpp; do harnesses+=("$(basename "$source" .cpp)"); done
usage() {
  echo "tests/fuzz/run.sh: expected SECONDS [HARNESS...], of ${harnesses[*]}; got $*" >&2
  exit 2
}
[[ ${1:-} =~ ^[0-9]+$ ]] || usage "$@"
seconds=$1
chosen=("${@:2}")
for harness in "${chosen[@]}"; do [[ " ${harnesses[*]} " == *" $harness "* ]] || usage "$@"; done
if [ ${#chosen[@]} -eq 0 ]; then chosen=("${harnesses[@]}"); fi
source apps/install_packages.sh
install_packages "${build_packages[@]}" "${test_packages[@]}" "${clang_packages[@]}"
cmake --preset dev -DESPALIER_TESTS=ON >/dev/null
cmake --build --preset dev --target "${chosen[@]/#/espalier_fuzz_}"

# One harness; says how many inputs it tried, how many edges between branches they took, and with which input the last
# new edge came.
fuzz() {
  local harness=$1 seconds=$2 found=build/fuzz/$1
  local log=$found.log
  mkdir -p "$found"
  if ! "build/dev/tests/fuzz/espalier_fuzz_$harness" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -malloc_limit_mb=64 -max_len=4096 -print_final_stats=1 -print_funcs=0 -print_pcs=0 -artifact_prefix="$found/" "$found" \
    "tests/fuzz/corpus/$harness" >"$log" 2>&1; then
    echo "$harness: found something; the end of $log:"
    tail -n 40 "$log"
    return 1
  fi
  awk -v harness="$harness" -v seconds="$seconds" '
    match($0, / cov: [0-9]+/) {
      edges = substr($0, RSTART + 6, RLENGTH - 6)
      if (edges != before && $1 ~ /^#/) last = substr($1, 2)
      before = edges
    }
    /number_of_executed_units/ { inputs = $2 }
    END { printf "%s: %d inputs in %d s, %d edges, the last new one at input %d; nothing found\n", harness, inputs, seconds,
          edges, last }' "$log"
}
export -f fuzz
printf '%s\n' "${chosen[@]}" | xargs -P "$(nproc)" -I '{}' bash -c 'fuzz {} '"$seconds"
