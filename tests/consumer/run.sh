#!/usr/bin/env bash
# A project outside builds with the library, and its program runs: the release build is installed into a folder, that folder
# moved, and the project beside this script built against it.
#
#   tests/consumer/run.sh         by find_package and g++; or as it is told: tests/consumer/run.sh pkg_config clang++
#   tests/consumer/run.sh --all   by find_package, pkg-config and add_subdirectory, each with g++ and clang++; and what an
#                                 installation promises: no flags, one component without the packages of the others, headers
#                                 that compile alone
set -euo pipefail
cd "$(dirname "$0")/../.."
source apps/install_packages.sh
install_packages "${build_packages[@]}"
compilers=("${2:-g++}")
ways=("${1:-find_package}")
if [ "${1:-}" = --all ]; then
  install_packages "${clang_packages[@]}"
  compilers=(g++ clang++)
  ways=(find_package pkg_config add_subdirectory)
fi
here=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
say() { echo "consumer: $*"; }
fail() {
  echo "consumer: $*" >&2
  exit 1
}
# Shows what a command prints only if it fails.
quietly() {
  "$@" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    fail "failed: $*"
  }
}

[ -f build/release/CMakeCache.txt ] || quietly cmake --preset release -DESPALIER_TESTS=OFF
quietly cmake --build --preset release --target espalier_cli  # and with it all that is installed
quietly cmake --install build/release --prefix "$scratch/first"
prefix=$scratch/moved
mv "$scratch/first" "$prefix"

# $1: compiler, $2: folder to build in
find_package() {
  quietly cmake -S tests/consumer -B "$2" -G Ninja -DCMAKE_CXX_COMPILER="$1" -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_PREFIX_PATH="$prefix"
  quietly cmake --build "$2"
}
pkg_config() {
  local flags pc
  pc=$(dirname "$(find "$prefix" -name espalier.pc)")
  flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs espalier)
  mkdir -p "$2"
  # shellcheck disable=SC2086
  quietly "$1" -std=c++20 -o "$2/mnist" tests/consumer/mnist.cpp $flags
}
add_subdirectory() {
  quietly cmake -S tests/consumer -B "$2" -G Ninja -DCMAKE_CXX_COMPILER="$1" -DESPALIER_SOURCE="$here"
  quietly cmake --build "$2" --target mnist
}

for way in "${ways[@]}"; do
  for compiler in "${compilers[@]}"; do
    folder=$scratch/$way-$compiler
    $way "$compiler" "$folder"
    (cd "$folder" && ./mnist) >"$scratch/said" || fail "$way, $compiler: the program failed: $(cat "$scratch/said")"
    say "$way, $compiler: $(cat "$scratch/said")"
  done
done

# The example that newcomers are shown, as they would build it.
example=$scratch/example
quietly cmake -S apps/example -B "$example" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
quietly cmake --build "$example"
(cd "$example" && ./example) >"$scratch/said" || fail "apps/example failed: $(cat "$scratch/said")"
say "apps/example: $(grep 'training step' "$scratch/said")"
[ "${1:-}" = --all ] || exit 0

# Warnings, optimisation, instruction sets, sanitizers and precompiled headers are our own affair.
exported=$(find "$prefix" -name 'espalier-*.cmake' -o -name espalier.pc)
# shellcheck disable=SC2086
if grep -nE -- '[ ";](-W[^l]|-O|-march|-fsanitize)|PRECOMPILE|cmake_pch|BUILD_INTERFACE|'"$here" $exported; then
  fail "flags or paths of our build are exported, see above"
fi
say "no flags are exported"

# One project for each: what it asks for, and what must (not) be found then.   NAME CMAKE-LINES...
configures() {
  mkdir -p "$scratch/$1"
  printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(ask LANGUAGES CXX)' "${@:2}" >"$scratch/$1/CMakeLists.txt"
  cmake -S "$scratch/$1" -B "$scratch/$1/build" -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/log" 2>&1
}
quietly configures few 'find_package(espalier CONFIG REQUIRED COMPONENTS core layers optim)' \
  'foreach(package SerialOpenBLAS CLI11 tomlplusplus nlohmann_json)' '  if(DEFINED ${package}_FOUND)' \
  '    message(FATAL_ERROR "looked for ${package}")' '  endif()' 'endforeach()' \
  'if(NOT TARGET espalier::optim OR TARGET espalier::pruning)' '  message(FATAL_ERROR "other targets")' 'endif()'
if configures unknown 'find_package(espalier CONFIG REQUIRED COMPONENTS core colour)'; then
  fail "an unknown component was found"
fi
tr -s ' \n' ' ' <"$scratch/log" | grep -q 'component colour: expected one of core, layers' || {
  cat "$scratch/log" >&2
  fail "an unknown component: expected an error that names it and the components there are"
}
quietly configures optional 'find_package(espalier CONFIG REQUIRED COMPONENTS core OPTIONAL_COMPONENTS colour)' \
  'if(espalier_colour_FOUND OR NOT espalier_core_FOUND)' '  message(FATAL_ERROR "wrong")' 'endif()'
quietly cmake -S . -B "$scratch/part" -G Ninja -DESPALIER_COMPONENTS="layers;optim" -DESPALIER_TESTS=OFF \
  -DCMAKE_DISABLE_FIND_PACKAGE_SerialOpenBLAS=ON -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON \
  -DCMAKE_DISABLE_FIND_PACKAGE_tomlplusplus=ON
say "components look for their own packages only"

tests/consumer/headers.sh "$prefix" "${compilers[@]}"
