#!/usr/bin/env bash
# Types the commands of the project's pages, as they stand there and in their order, in a fresh copy of the source tree: each
# has to end well, within some minutes. Those in tests/readme_not_run.txt are left out; tests/readme.py checks their names and
# flags like all others'. Files that are the reader's own (people.csv, ...) are made here. Takes a quarter of an hour.
#
#   tests/readme.sh [PAGE...]        such as README.md
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(realpath "${ESPALIER:-build/release/espalier}")
most_seconds=${MOST_SECONDS:-300}
python=/usr/bin/python3
[ -x $python ] || python=python3
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --deduplicate --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
"$python" tests/readme.py "$tool" --run >"$copy/commands.txt"
mkdir -p "$copy/build"
ln -s "$(dirname "$tool")" "$copy/build/release"
export HOME=$copy/home
mkdir "$HOME"

make_files() {  # that pages name, in the folder where their commands are typed
  awk 'BEGIN { srand(1); print "name,age,city,hours,income"
    for (i = 0; i < 600; ++i) { age = 18 + int(50 * rand()); hours = 10 + int(50 * rand()); c = int(3 * rand())
      print "p" i "," age ",\"" (c == 0 ? "Ulm, Donau" : c == 1 ? "Bremen" : "Jena") "\"," hours "," (age + hours + 20 * (c == 1) > 85 ? ">50K" : "<=50K") } }' >people.csv
  head -n 60 people.csv >new_people.csv
  head -n 200 people.csv >more_people.csv
}

failed=0 ran=0 page=
while IFS=$'\t' read -r of command <&3; do
  if [ $# -gt 0 ] && [[ " $* " != *" $of "* ]]; then continue; fi
  if [ "$of" != "$page" ]; then  # every page begins anew
    page=$of
    rm -rf "$copy/runs" "$copy"/*.safetensors "$copy"/*.csv
    (cd "$copy" && make_files)
  fi
  begun=$SECONDS code=0
  (cd "$copy" && PATH="$copy/build/release:$PATH" timeout "$most_seconds" bash -euo pipefail -c "$command") >"$copy/said" 2>&1 </dev/null ||
    code=$?
  ran=$((ran + 1))
  if [ $code -eq 0 ]; then
    echo "  $page: $command ($((SECONDS - begun)) s)"
  else
    failed=$((failed + 1))
    echo "readme.sh: $page: exit code $code: $command" >&2
    tail -n 5 "$copy/said" >&2
  fi
done 3<"$copy/commands.txt"
if [ $failed -gt 0 ]; then
  echo "readme.sh: $failed of $ran commands failed" >&2
  exit 1
fi
echo "readme.sh: $ran commands passed"
