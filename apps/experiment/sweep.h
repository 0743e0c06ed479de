// A sweep: methods x densities x structures x seeds, and the dense network and random patterns beside them.
//
//   SWEEP/dense-1-elements-1/        trained side by side, one thread each ...
//   SWEEP/rigl-0.1-elements-1/
//   SWEEP/rigl-0.05-elements-1/      ... and timed afterwards, one at a time, each beside its dense network
//   SWEEP/sweep.json                 which runs there are
//
// Invariants (tests/apps/sweep_test.cpp names them by number):
//   1. A run of a sweep has the bits of the same run alone.
//   2. A sweep that goes on trains what is missing, and touches no run that is finished.
//   3. What cannot work is refused before anything is trained.
//   4. No time is measured while another run is trained; until it is measured, a result says so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/experiment/config.h"
#include "espalier/experiment/run_folder.h"

namespace espalier {

struct SweepGrid {
  RunConfig base;  // what is open in it is settled by each method
  // Of those that are empty there is one: the base's.
  std::vector<std::string> methods;
  std::vector<double> densities;
  std::vector<std::string> structures;
  std::vector<std::uint64_t> seeds;
  bool dense = true, random = true;  // beside them, for each seed
};

struct SweepRun {
  std::string name;  // METHOD-DENSITY-STRUCTURE-SEED, of its folder
  RunConfig config;  // settled
  bool operator==(const SweepRun& other) const;
};

std::string run_name(const RunConfig& config);
// A run of density 1 keeps every weight: whatever its method, it is the dense network.
bool is_dense(const RunConfig& config);

// The density that structure or allocation fix, if they do: N:M, or one for each layer.
std::optional<double> fixed_density(const RunConfig& config, Module& model);

// Seed by seed, the dense network first. Each is once there: 2:4 has one density. Throws UsageError for what cannot
// work (3). data: of the base's seed.
std::vector<SweepRun> runs_of(const SweepGrid& grid, const DataParts& data);

// sweep.json: what a sweep consists of, so that it can go on.
constexpr const char* sweep_file_name = "sweep.json";
struct SweepPlan {
  std::vector<SweepRun> runs;
  std::string data = {};  // fingerprint of the first seed's, as 16 hexadecimal digits
  double race_seconds = 0;
  bool dense_beside = false;  // the dense runs are there to be compared with, and were not asked for themselves
};
void write_plan(const RunFolder& folder, const SweepPlan& plan);
// None if the folder holds no sweep, or a single run. Throws FileError.
std::optional<SweepPlan> plan_in(const std::filesystem::path& folder);

struct SweepOptions {
  int threads = 0;  // 0: one per processor; so many runs at a time, and as many threads for each where it is timed
  double checkpoint_every = default_checkpoint_seconds;
  std::vector<BaselineResult> baselines = {};  // of the first seed, if they are known
};

struct SweepOutcome {
  std::vector<std::filesystem::path> runs;  // that are finished, and timed
  struct Failure {
    std::string name, said;
    int code;
  };
  std::vector<Failure> failures;
};

// Trains and times what is missing, and says on stderr how far it is. Throws InterruptedError when it is asked to stop.
SweepOutcome run_sweep(const SweepPlan& plan, const RunFolder& folder, const SweepOptions& options);

// Throws the error of the first run that failed, if one did.
void require_no_failure(const SweepOutcome& outcome, const RunFolder& folder);

// Says, and keeps, the network as it was after the last good epoch of a training that diverges.
Observer keeping_last_epoch(Observer observer, const RunConfig& config, const DataParts& data, const RunFolder& folder,
                            std::uint64_t fingerprint);

}  // namespace espalier
