#!/usr/bin/env bash
# Builds and runs tests, and says how much processor time that took. Distribution packages that are missing are installed.
#
#   tests/run.sh              every test, optimised, over float and double
#   tests/run.sh layers       only those of a folder (core, layers, datasets, optim, pruning, apps), with no more libraries
#                             than they need; of core, layers and optim over double too, where gradients are checked
#   tests/run.sh dev          another preset: with clang under AddressSanitizer and UndefinedBehaviorSanitizer;
#   tests/run.sh tsan         under ThreadSanitizer;
#   tests/run.sh clang        optimised, by clang
#   tests/run.sh dev layers   both
#   tests/run.sh fuzz         what reads files, fuzzed for fifteen minutes each; fuzz SECONDS [HARNESS...]: tests/fuzz/run.sh
#
# Real data is used where $ESPALIER_DATA or ./data has it; tests that want it say so when they skip.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = fuzz ]; then exec tests/fuzz/run.sh "${2:-900}" "${@:3}"; fi
source apps/install_packages.sh
preset=release
folders=()
for word in "$@"; do
  case $word in
    release | dev | tsan | clang) preset=$word ;;
    core | layers | datasets | optim | pruning | apps) folders+=("$word") ;;
    *)
      echo "tests/run.sh: expected a preset (release, dev, tsan, clang) or a folder (core, layers, datasets, optim," \
        "pruning, apps), got $word" >&2
      exit 2
      ;;
  esac
done

spent=$(mktemp)
report() {  # however it ends
  local code=$?
  times >"$spent"
  awk -v wall="$SECONDS" -v code="$code" 'NR == 2 { split($1, user, /[ms]/); split($2, sys, /[ms]/)
    printf "tests/run.sh: %s; %.0f CPU seconds (%.0f user, %.0f system), %.1f minutes by the clock\n",
      code == 0 ? "all passed" : "failed, exit code " code, 60 * (user[1] + sys[1]) + user[2] + sys[2],
      60 * user[1] + user[2], 60 * sys[1] + sys[2], wall / 60 }' "$spent"
  rm -f "$spent"
}
trap report EXIT

install_packages "${build_packages[@]}" "${test_packages[@]}"
case $preset in dev | tsan | clang) install_packages "${clang_packages[@]}" ;; esac
cmake --preset "$preset" -DESPALIER_TESTS=ON >/dev/null
if [ ${#folders[@]} -eq 0 ]; then
  cmake --build --preset "$preset"
  ctest --preset "$preset" --parallel "$(nproc)"
  exit
fi

# A sanitizer's preset has no tests over double, and ThreadSanitizer's none of some folders: run those that there are.
known=$(cmake --build --preset "$preset" --target help)
programs=()
for folder in "${folders[@]}"; do
  for program in "espalier_${folder}_tests" "espalier_${folder}_tests_double"; do
    if grep -q "^$program: " <<<"$known"; then programs+=("$program"); fi
  done
done
cmake --build --preset "$preset" --target "${programs[@]}"
failed=0
for program in "${programs[@]}"; do tests/sharded.sh "$preset" "$program" || failed=1; done
exit $failed
