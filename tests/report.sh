#!/usr/bin/env bash
# Pages of runs in a browser: trains small networks of several kinds, opens report.html of each in Chromium, and expects no
# word on the console, no request to a network, no empty panel, and answers to the slider, the charts' switches, the theme and
# the keyboard, on a desk and on a phone. With a folder, pictures of all pages are left there.
#
#   tests/report.sh [--long] [PICTURES]
#
# --long: the page of LeNet-5 with 100 epochs and 100 prunings as well, which takes some minutes: at most 5 MB, open in 2 s, and less
# than a hundredth of the training spent in writing down what the page shows.
set -euo pipefail
long=
if [ "${1:-}" = --long ]; then long=yes && shift; fi
cd "$(dirname "$0")/.."
espalier=${ESPALIER:-build/release/espalier}
pictures=${1:-}
python=
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -c 'import selenium' 2>/dev/null; then python=$candidate; fi
done
if [ -z "$python" ] || ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  echo "report.sh: SKIPPED: no chromium, chromedriver or selenium here (packages chromium, chromium-driver, python3-selenium)"
  exit 0
fi
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
unset ESPALIER_DATA
train() {  # NAME FLAGS...
  local name=$1
  shift
  "$espalier" train --threads "${THREADS:-1}" --out "$runs/$name" "$@" >"$runs/log" 2>&1 || { cat "$runs/log" >&2 && exit 1; }
}
# Names that would be markup, were they ever taken for it.
awk 'BEGIN { print "x,\"<script>alert(1)</script>\",<img src=x onerror=alert(2)>,label"
             for (i = 0; i < 400; ++i) print i % 17 "," i % 5 "," (i * 7) % 11 "," (i % 17 < 8 ? "</script>" : "<b>yes</b>") }' >"$runs/evil.csv"
train mlp --data synthetic-digits --model lenet-300-100 --density 0.05 --epochs 4
train cnn --data synthetic-digits --model lenet-5 --density 0.1 --epochs 1 --rate 0.01
train table --data synthetic-table --density 0.05 --epochs 10
train evil --data "$runs/evil.csv" --target label --model tabular:16 --density 0.2 --epochs 3
train gru --data synthetic-signals --model gru:16 --density 0.2 --epochs 1
train lottery --data synthetic-digits --model mlp:784-32-10 --method lottery --rounds 3 --density 0.2 --epochs 1
train rigl --data synthetic-digits --model mlp:784-100-10 --method rigl --density 0.1 --epochs 4 --interval 10
train alone --data synthetic-table-regression --no-dense --density 0.1 --epochs 5
train old --data synthetic-digits --model mlp:784-32-10 --density 0.1 --epochs 1
rm "$runs/old/masks.jsonl" "$runs/old/metrics.jsonl" && "$espalier" report "$runs/old" >/dev/null
for method in magnitude set; do
  train "pair-$method" --data synthetic-digits --model mlp:784-32-10 --method $method --density 0.2,0.05 --epochs 1
done
mkdir "$runs/comparison"
"$espalier" report "$runs/pair-magnitude" "$runs/pair-set" --out "$runs/comparison/report.html" >/dev/null
"$espalier" sweep --data synthetic-digits --model mlp:784-32-16-10 --methods magnitude,snip --densities 0.3,0.1 --structures elements,fan-in \
  --seeds 2 --epochs 1 --threads 2 --out "$runs/sweep" >"$runs/log" 2>&1 || { cat "$runs/log" >&2 && exit 1; }
if [ -n "$long" ]; then
  train long --data synthetic-digits --model lenet-5 --density 0.02 --epochs 100 --begin 0 --end 1 --interval 80 --rate 0.01
fi
"$python" tests/report.py "$runs" $pictures
