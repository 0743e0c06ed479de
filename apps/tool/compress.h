// espalier export --to compressed: Deep Compression, and what it costs in accuracy.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

#include "espalier/experiment/compress.h"

namespace espalier {

void add_compress_flags(CLI::App& app, CompressOptions& options);

// Compresses the network, which was opened from `path`, writes the file, and prints bytes layer by layer and, of a run,
// how good the network was and is.
void export_compressed(TrainedNetwork network, const ModelCard& card, const std::filesystem::path& path,
                       const CompressOptions& options, const std::filesystem::path& out);

}  // namespace espalier
