#!/usr/bin/env bash
# The main job: from a fresh clone to a sparse network and the table that says what became smaller and faster.
# Installs missing distribution packages, builds, runs. --open opens the page of the run; other arguments go to the sample
# app (apps/demo.sh --help).
set -euo pipefail
cd "$(dirname "$0")/.."
log=build/demo.log
cpu_minutes=6  # of a build from nothing

source apps/install_packages.sh
install_packages "${build_packages[@]}"
mkdir -p build
: >"$log"
if [ -x build/release/mnist ]; then
  echo "building what has changed, log: $log" >&2
else
  echo "building, about $cpu_minutes CPU minutes the first time, log: $log" >&2
fi

build() {
  { [ -f build/release/CMakeCache.txt ] || cmake --preset release -DESPALIER_TESTS=OFF; } &&
    cmake --build --preset release --target espalier_mnist
}
# What ninja said last, "[n/m] Building ...": in place on a terminal, else a line every ten seconds.
show_progress() {
  local said=0 line
  while sleep 0.5 >/dev/null 2>&1; do
    line=$(grep '^\[[0-9]*/[0-9]*\]' "$log" | tail -n 1 || true)
    if [ -z "$line" ]; then continue; fi
    if [ -t 2 ]; then
      printf '\r\033[K%.79s' "$line" >&2
    elif ((SECONDS - said >= 10)); then
      echo "$line (after $SECONDS s)" >&2
      said=$SECONDS
    fi
  done
}
show_progress &
progress=$!
trap 'kill $progress 2>/dev/null || true' EXIT
code=0
build >"$log" 2>&1 || code=$?
kill $progress 2>/dev/null || true
if [ -t 2 ]; then printf '\r\033[K' >&2; fi
if [ $code -ne 0 ]; then
  tail -n 40 "$log" >&2
  echo "the build failed with exit code $code; the whole log is $log" >&2
  exit $code
fi

open=
arguments=()
for argument in "$@"; do
  if [ "$argument" = --open ]; then open=yes; else arguments+=("$argument"); fi
done
set -- "${arguments[@]}"
build/release/mnist "$@" || exit $?

out=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) exit 0 ;;
    --out) out=${2:-$out} ;;
    --out=*) out=${1#--out=} ;;
  esac
  shift
done
# Without --out: runs/mnist or, if that is used, runs/mnist-2, -3, ...
if [ -z "$out" ]; then out=$(dirname "$(ls -t runs/mnist/result.json runs/mnist-[0-9]*/result.json 2>/dev/null | head -n 1)"); fi
if [ -n "$open" ]; then
  opener=$(command -v xdg-open || command -v open || true)
  if [ -z "$opener" ] || ! "$opener" "$out/report.html" >/dev/null 2>&1; then
    echo "--open: expected xdg-open or open to show a page, found none that does" >&2
  fi
fi
cat <<END

The run is in $out, and its page, which shows the network being pruned, is

  $out/report.html$([ -n "$open" ] || echo "        # apps/demo.sh --open opens it")

Next:

  cmake --build --preset release --target espalier_cli     # the tool, a few CPU minutes more the first time
  build/release/espalier train --config $out/config.toml --density 0.02 --out runs/mnist-sparser --overwrite
  build/release/espalier explain magnitude
  build/release/espalier train --help                      # of your own table: train --data FILE.csv
END
