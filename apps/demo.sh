#!/usr/bin/env bash
# The main job: from a fresh clone to a sparse network and the table that says what became smaller and faster.
# Installs missing distribution packages, builds, runs. Arguments go to the sample app (apps/demo.sh --help).
set -euo pipefail
cd "$(dirname "$0")/.."
source apps/install_packages.sh
install_packages "${build_packages[@]}"
[ -f build/release/CMakeCache.txt ] || cmake --preset release -DESPALIER_TESTS=OFF >/dev/null
cmake --build --preset release --target espalier_mnist espalier_cli >/dev/null
exec build/release/mnist "$@"
