#!/usr/bin/env bash
# Do two builds of the tool compute the same bits? Trains the same small networks with both and compares what they leave
# behind: the model file, the metrics without their seconds, the figures of result.json that are not times.
#
#   tests/golden.sh OLD NEW           trains with both tools, compares; exit 1 if any run differs
#   tests/golden.sh --record TOOL     prints a line for each run:  name  model  metrics  figures
#
# Bits depend on the processor's SIMD target and on the mathematical library, so digests are not kept in the repository:
# old and new run side by side. Takes about two minutes on two cores. KEEP=folder keeps the run folders there.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD

# Small CIFAR-10 files: some hundred records of noise, whose labels go round.
make_images() {  # folder
  python3 - "$1" <<'PY'
import random, sys
random.seed(1)
for name, count in [(f"data_batch_{i}.bin", 60) for i in range(1, 6)] + [("test_batch.bin", 100)]:
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        for i in range(count):
            f.write(bytes([i % 10]) + bytes((random.getrandbits(8) + 23 * (i % 10)) % 256 for _ in range(3072)))
PY
}

# name, then the arguments of `train`. Every model family, optimizer, storage and method occurs.
runs() {
  local method
  cat <<'RUNS'
mlp-csr --data synthetic-digits --epochs 2 --density 0.05 --validation 500
mlp-rigl-nesterov --data synthetic-digits --epochs 2 --method rigl --optimizer nesterov --validation 500
mlp-masked --config masked.toml
mlp-nm-adam --data synthetic-digits --epochs 1 --structure 2:4 --optimizer adam --rate 0.001
mlp-lottery-reinit --data synthetic-table --model mlp:70-64-32-2 --epochs 3 --method lottery --rounds 2 --control reinit
table-rewind-step --data synthetic-table --model tabular:48-24 --epochs 3 --method lottery --rounds 2 --rewind 20 --seeds 2
table-norm --data synthetic-table --model tabular:48-24+norm+dropout=0.1 --epochs 3 --optimizer adamw --rate 0.002
table-resnet --data synthetic-table-regression --model tabular-resnet:24x2+norm --epochs 3 --loss huber --optimizer adam --rate 0.002
table-quantile --data synthetic-table-regression --model tabular:32 --epochs 3 --loss quantile --quantile 0.9 --method random
table-balanced --data synthetic-table --model tabular:32 --epochs 3 --class-weights balanced --control shuffled-mask
table-small-dense --data synthetic-table --model tabular:64-32 --epochs 3 --control small-dense
table-block --data synthetic-table --model tabular:64-32 --epochs 3 --structure block:2x2 --allocation er
table-race --data synthetic-table --model tabular:64-32 --epochs 2 --allocation lamp --clip-norm 0.5 --lanes 16
lenet-5-obs --data cifar10 --data-dir images --model lenet-5 --epochs 2 --method obs --validation 30
conv-2-erk --data cifar10 --data-dir images --model conv-2 --epochs 1 --method rigl --allocation erk --interval 1 --validation 30 --augment crop-flip
resnet-20-wanda --data cifar10 --data-dir images --model resnet-20 --epochs 2 --method wanda --density 0.2 --batch 50 --validation 30
gru-grasp --data synthetic-signals --model gru:16 --epochs 1 --method grasp --validation 100
cnn-1d-synflow --data synthetic-signals --model cnn-1d --epochs 1 --method synflow --validation 100
RUNS
  for method in $METHODS; do
    local model=tabular:32-16
    [ "$method" != slimming ] || model=tabular:32-16+norm # which it needs
    echo "method-$method --data synthetic-table --model $model --epochs 3 --method $method"
  done
}

# The figures of a result that no clock has touched.
figures() {
  python3 - "$1" <<'PY'
import json, sys
def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()
                if "seconds" not in k and "quartiles" not in k and k not in
                ("train_step", "inference", "latency", "processor", "peak_resident_bytes", "ratios", "threads")}
    return [plain(x) for x in v] if isinstance(v, list) else v
print(json.dumps(plain(json.load(open(sys.argv[1]))), sort_keys=True))
PY
}

digest() { sha256sum | cut -c1-16; }

# Digests of all that lies in a run folder, sub-folders of a sweep included.
line() {  # name folder
  printf '%-28s %s %s %s\n' "$1" \
    "$(find "$2" -name model.safetensors | sort | xargs cat | digest)" \
    "$(find "$2" -name metrics.jsonl | sort | xargs cat | sed -E 's/,"seconds":[^,}]*//g' | digest)" \
    "$(find "$2" -name result.json | sort | while read -r f; do figures "$f"; done | digest)"
}

record() {  # tool folder
  local tool=$1 at=$2 name rest moment
  mkdir -p "$at/images"
  make_images "$at/images"
  cd "$at"
  METHODS=${METHODS:-$("$tool" methods | sed -nE 's/^  ([a-z0-9-]+) .*/\1/p' | sort)}
  "$tool" train --data synthetic-digits --model mlp:784-100-10 --epochs 1 --density 0.3 --no-dense --threads 1 --out masked \
    >/dev/null 2>&1
  sed -E 's/^csr_below = .*/csr_below = 0.0/; s/^epochs = .*/epochs = 2/' masked/config.toml >masked.toml
  runs >runs.txt
  while read -r name rest; do
    # shellcheck disable=SC2086
    if "$tool" train $rest --threads 1 --out "$name" >"$name.log" 2>&1; then line "$name" "$name"; else
      printf '%-28s failed: %s\n' "$name" "$(tail -n 1 "$name.log")"
    fi
  done <runs.txt
  # Interrupted after a moment, as Ctrl-C does it, and resumed: the bits of mlp-rigl-nesterov.
  for name in mlp-rigl-nesterov table-rewind-step; do
    rest=$(sed -n "s/^$name //p" runs.txt)
    for moment in 0.3 0.6 1.2 2.4 5 10; do  # data must be loaded by then, and training not over
      # shellcheck disable=SC2086
      rm -rf "resumed-$name"
      timeout -s INT "$moment" "$tool" train $rest --threads 1 --out "resumed-$name" >/dev/null 2>&1 || true
      find "resumed-$name" -name 'checkpoint-*' 2>/dev/null | grep -q . && break
    done
    find "resumed-$name" -name 'checkpoint-*' 2>/dev/null | grep -q . || { echo "resumed-$name was not interrupted"; continue; }
    "$tool" train --resume "resumed-$name" >/dev/null 2>&1 || true
    line "resumed-$name" "resumed-$name"
  done
  # An old configuration, run again.
  "$tool" train --config mlp-csr/config.toml --out again >/dev/null 2>&1
  line again again
  cd "$here"
}

work=${KEEP:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
if [ "${1:-}" = --record ]; then
  record "$(realpath "$2")" "$work"
  exit
fi
[ $# -eq 2 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
old=$(realpath "$1") new=$(realpath "$2")
export METHODS
METHODS=$("$old" methods | sed -nE 's/^  ([a-z0-9-]+) .*/\1/p' | sort)
mkdir -p "$work/old" "$work/new"
record "$old" "$work/old" >"$work/old.txt" &
record "$new" "$work/new" >"$work/new.txt" &
wait
if diff "$work/old.txt" "$work/new.txt"; then
  echo "$(wc -l <"$work/old.txt") runs: the same bits"
else
  echo "old (<) and new (>) differ: model, metrics, figures"
  exit 1
fi
