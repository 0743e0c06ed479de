#!/usr/bin/env bash
# What is exported as ONNX gives in ONNX Runtime what it gives here: every layer and every family of models, dense and pruned,
# to 1e-5 of the largest output; a table says how near. ONNX Runtime is no package of the distribution: it comes from PyPI into
# build/onnx, and where that cannot be reached this is skipped, and says so.
#
#   tests/onnx_runtime.sh
set -euo pipefail
cd "$(dirname "$0")/.."
source apps/install_packages.sh
install_packages "${build_packages[@]}" "${test_packages[@]}"
skip() {
  echo "tests/onnx_runtime.sh: SKIPPED: $*" >&2
  exit 0
}
python=build/onnx/bin/python
if ! $python -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
  python3 -m venv build/onnx || skip "python3 makes no virtual environment (python3-venv)"
  $python -m pip install --quiet numpy onnx onnxruntime || skip "onnxruntime could not be installed from PyPI"
fi
[ -f build/release/CMakeCache.txt ] || cmake --preset release >/dev/null
cmake --build --preset release --target espalier_write_onnx >/dev/null
code=0
$python tests/layers/onnx_test.py build/release/tests/espalier_write_onnx --require-runtime || code=$?
[ "$code" -ne 77 ] || skip "see above"
exit "$code"
