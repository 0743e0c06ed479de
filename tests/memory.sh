#!/usr/bin/env bash
# How much memory does a file take that is read? Every reader is given the files of its fuzzer's corpus, and others that were
# made to be expensive: gzip bombs, headers that promise much, files that are cut off, lists of a million small things. Each is
# read by a process of its own, without sanitizers and under a limit of addresses and seconds. Its peak resident memory may be
# 64 MB and four times the decompressed file, and 2 KB for each column of a table; what is refused is refused in one line.
#
#   tests/memory.sh             all of them; a minute or two
#   tests/memory.sh csv model   of these readers: espalier_read_file in tests/memory has their names
#
# ESPALIER=build/quick has the tests of another build.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${ESPALIER:-}
if [ -z "$build" ]; then
  source apps/install_packages.sh
  install_packages "${build_packages[@]}" "${test_packages[@]}" python3
  cmake --preset release -DESPALIER_TESTS=ON >/dev/null
  cmake --build --preset release --target espalier_read_file
  build=build/release
fi
exec python3 tests/memory/memory.py "$build/tests/espalier_read_file" tests/fuzz/corpus "$@"
