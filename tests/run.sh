#!/usr/bin/env bash
# Every test: installs missing distribution packages, builds, runs. `tests/run.sh dev` does it with clang under
# AddressSanitizer and UndefinedBehaviorSanitizer, `tests/run.sh tsan` under ThreadSanitizer, `tests/run.sh clang`
# optimised with clang.
# Real data is used where $ESPALIER_DATA or ./data has it; tests that want it say so when they skip.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
source apps/install_packages.sh
install_packages "${build_packages[@]}" "${test_packages[@]}"
case $preset in dev | tsan | clang) install_packages "${clang_packages[@]}" ;; esac
cmake --preset "$preset" -DESPALIER_TESTS=ON >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset" --parallel "$(nproc)"
