#include "apps/tool/commands.h"

#include <fmt/format.h>

#include <new>

#include "core/error.h"

namespace espalier {

int run_guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return error.code();
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "error: {} (see --help)\n", error.what());
    return exit_usage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
    return exit_internal;
  } catch (const std::exception& error) {
    fmt::print(stderr, "internal error: {}\n", error.what());
    return exit_internal;
  }
}

namespace {

// `--config FILE` comes before all other flags, wherever it stands: they override it.
RunConfig config_of(int argc, char** argv) {
  constexpr std::string_view flag = "--config";
  if (argc < 2 || std::string_view(argv[1]) != "train") return {};
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == flag && i + 1 < argc) return from_toml(argv[i + 1]);
    if (word.starts_with(flag) && word.substr(flag.size()).starts_with('='))
      return from_toml(std::string(word.substr(flag.size() + 1)));
  }
  return {};
}

int run_command_line(int argc, char** argv) {
  CLI::App app("Espalier: train, prune and measure sparse networks on the processor.", "espalier");
  app.set_version_flag("--version", "espalier 0.1.0");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad, missing or unwritable file,\n"
      "4 interrupted (train --resume goes on), 5 training diverged.");
  CLI::App* train = app.add_subcommand("train", "Train a network dense and pruned, compare, leave a run folder");
  CLI::App* bench = app.add_subcommand("bench", "Time a dense and a sparse network side by side");
  CLI::App* kernels = bench->add_subcommand("kernels", "Time the kernels against the machine's limits");
  CLI::App* convolution = bench->add_subcommand("convolution", "The same for a convolution, from naive to threads");
  const Command run_train = add_train(*train, config_of(argc, argv)), run_bench = add_bench(*bench),
                run_kernels = add_bench_kernels(*kernels), run_convolution = add_bench_convolution(*convolution);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  }
  (*train ? run_train : *kernels ? run_kernels : *convolution ? run_convolution : run_bench)();
  return exit_done;
}

}  // namespace

int run_tool(int argc, char** argv) {
  return run_guarded([&] { return run_command_line(argc, argv); });
}

}  // namespace espalier
