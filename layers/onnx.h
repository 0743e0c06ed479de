// A model in a file of ONNX, opset 17, for the many programs that run such files. What the layers are in ONNX they say
// themselves (Module::to_onnx); FORMAT.md describes the file.
//
// It is written by the distribution's libonnx and libprotobuf. A build without them refuses.
#pragma once

#include <filesystem>

#include "espalier/layers/model_file.h"
#include "espalier/layers/onnx_graph.h"

namespace espalier {

// All operators of a model for samples of this shape. Throws UsageError for a layer that says nothing of ONNX.
OnnxGraph onnx_graph(const Module& model, const Shape& input, OnnxInitialisers initialisers);

// Whether this build can write.
bool writes_onnx();

// card: its input is the shape of a sample; all that it says is kept in the file. Equal models give equal bytes. Throws
// UsageError from a build that cannot write, for a model of 2 GB or more, and as onnx_graph does; FileError if the file
// cannot be written, and leaves what stood under that name; DivergedError if a number is NaN or infinite.
void export_onnx(const Module& model, const ModelCard& card, OnnxInitialisers initialisers,
                 const std::filesystem::path& path);

}  // namespace espalier
