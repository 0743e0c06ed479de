// Weights for other programs: files that scipy and the like read without knowing this library.
//
//   npz    one matrix, as scipy.sparse.save_npz writes it
//   mtx    one matrix, in MatrixMarket's coordinate format: rows and columns from 1
//
// A whole model in such arrays is a model's file in the layout csr (layers/model_file.h).
#pragma once

#include <filesystem>
#include <string>

#include "espalier/layers/module.h"

namespace espalier {

// Each throws FileError if the file cannot be written, and leaves what stood under that name.
void export_npz(const Parameter& W, const std::filesystem::path& path);
void export_mtx(const Parameter& W, const std::filesystem::path& path);

// The parameter of that name. Throws UsageError, listing their names, if there is none.
const Parameter& parameter_named(const Module& model, const std::string& name);

}  // namespace espalier
