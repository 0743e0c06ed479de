#!/usr/bin/env bash
# A build that fails must not be silent: in a copy of the source tree with a broken header, apps/demo.sh has to show the
# compiler's error, name its log, and end with another exit code than 0. Takes half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --deduplicate --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
echo 'this is no declaration' >>"$copy/core/tensor.h"
code=0
"$copy/apps/demo.sh" --epochs 1 >"$copy/said" 2>&1 || code=$?
failed=0
expect() {  # WHAT PATTERN
  if grep -q -- "$2" "$copy/said"; then return; fi
  echo "demo_test.sh: expected $1, got:" >&2
  cat "$copy/said" >&2
  failed=1
}
expect "how long it takes, and where the log is" '^building, about .* CPU minutes .*log: build/demo.log'
expect "the compiler's error, with its place" 'tensor.h:[0-9]*:.*error'
expect "the exit code" "failed with exit code $code"
if [ $code -eq 0 ]; then echo "demo_test.sh: expected an exit code other than 0" >&2 && failed=1; fi
if [ $failed -eq 0 ]; then echo "demo_test.sh: passed"; fi
exit $failed
