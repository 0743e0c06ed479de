// The commands of `espalier bench`. Each adds its options to a subcommand and returns what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace espalier {

std::function<void()> add_bench(CLI::App& app);
std::function<void()> add_bench_kernels(CLI::App& bench);
std::function<void()> add_bench_convolution(CLI::App& bench);
std::function<void()> add_bench_pruning(CLI::App& bench);
std::function<void()> add_bench_csv(CLI::App& bench);
std::function<void()> add_bench_forms(CLI::App& bench);

}  // namespace espalier
