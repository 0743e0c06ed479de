#!/usr/bin/env bash
# Every header of an installation compiles alone, with no warning, and needs no other include path than the installation's.
#
#   tests/consumer/headers.sh PREFIX [COMPILER...]
set -euo pipefail
include=$(realpath "$1")/include
shift
compilers=("${@:-g++}")
check() {
  if ! printf '#include "%s"\n' "$3" | "$1" -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I "$2" -x c++ -; then
    echo "headers.sh: $1: $3 does not compile alone" >&2
    return 1
  fi
}
export -f check
count=$(cd "$include" && find espalier -name '*.h' | wc -l)
for compiler in "${compilers[@]}"; do
  (cd "$include" && find espalier -name '*.h' -print0) |
    xargs -0 -P "$(nproc)" -I HEADER bash -c 'check "$@"' check "$compiler" "$include" HEADER
  echo "headers.sh: $compiler: each of $count headers compiles alone"
done
