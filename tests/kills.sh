#!/usr/bin/env bash
# Is anything lost when a training is killed, or a file cannot be written? Trains small networks, kills each of them by
# `kill -9` at a random moment, resumes it until it is done, and compares with the run that was left alone: the bits of
# the model, the metrics, the FLOPs, the files in the folder. Then the same with each write, fsync, rename and close in
# turn failing, and with a disk that is full: from some moment on, or a tmpfs of a megabyte on which ever
# more is left, which is skipped, aloud, where it may not be mounted.
#
#   tests/kills.sh          20 kills and some of the failing calls; two minutes on two cores
#   tests/kills.sh 200      so many kills, and every failing call
#   tests/kills.sh 200 7    with another seed of the moments
#
# Kills only processes that it has started. ESPALIER=build/quick has the tool of another build, with its tests.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${ESPALIER:-}
if [ -z "$build" ]; then
  source apps/install_packages.sh
  install_packages "${build_packages[@]}" "${test_packages[@]}" python3
  cmake --preset release -DESPALIER_TESTS=ON >/dev/null
  cmake --build --preset release --target espalier_cli espalier_failing_calls
  build=build/release
fi
exec python3 tests/kills/kills.py "$build/espalier" "$build/tests/libespalier_failing_calls.so" "${1:-20}" "${2:-1}"
