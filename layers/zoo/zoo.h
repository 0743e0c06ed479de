// The families of models in this folder, one function a file. Each returns its entries of models().
#pragma once

#include <vector>

#include "espalier/layers/models.h"

namespace espalier::zoo {

std::vector<ModelFamily> mlps();              // lenet-300-100, mlp:
std::vector<ModelFamily> image_models();      // lenet-5, conv-N, resnet-20, vgg-small
std::vector<ModelFamily> table_models();      // linear, tabular:, tabular-resnet:
std::vector<ModelFamily> sequence_models();   // cnn-1d, gru:
std::vector<ModelFamily> attention_models();  // attention:
std::vector<ModelFamily> averages();          // average:

}  // namespace espalier::zoo
