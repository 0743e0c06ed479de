# Sourced by demo.sh and run.sh: installs what is missing of the distribution packages given as arguments.
install_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing from the distribution: ${missing[*]}" >&2
  local sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
build_packages=(g++ cmake ninja-build pkg-config libopenblas-serial-dev libhwy-dev libfmt-dev zlib1g-dev libcli11-dev
  nlohmann-json3-dev libtomlplusplus-dev libpng-dev libonnx-dev libprotobuf-dev libjs-chart.js)
test_packages=(libgtest-dev)
python_packages=(python3-numpy python3-scipy python3-onnx) # what the readers in Python are tested with
browser_packages=(chromium chromium-driver python3-selenium) # what tests/report.sh looks at pages with
picture_packages=(python3-matplotlib python3-numpy python3-scipy) # what apps/images/make draws with
clang_packages=(clang clang-format libomp-dev libclang-rt-14-dev)
