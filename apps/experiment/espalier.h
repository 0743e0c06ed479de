// All of Espalier in one header:  #include "espalier/espalier.h"
//
//   load data            load("mnist"), load("table.csv")             datasets/catalogue.h
//   build a network      Sequential, Linear, make_model("conv-4")     layers/
//   train, prune, save   Experiment, train, prune_by, save_model      experiment/experiment.h
//   print what it cost   table_of(result_of(...))                     experiment/text.h
//
// The chapters (README.md of each folder) say how it works.
#pragma once

#include "espalier/core/error.h"
#include "espalier/core/parameter.h"
#include "espalier/core/random.h"
#include "espalier/core/tape.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/datasets/dataset.h"
#include "espalier/datasets/loader.h"
#include "espalier/datasets/parts.h"
#include "espalier/experiment/experiment.h"
#include "espalier/experiment/from_config.h"
#include "espalier/experiment/result.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/text.h"
#include "espalier/layers/attention.h"
#include "espalier/layers/batch_norm.h"
#include "espalier/layers/conv1d.h"
#include "espalier/layers/conv2d.h"
#include "espalier/layers/conv_transpose2d.h"
#include "espalier/layers/dropout.h"
#include "espalier/layers/embedding.h"
#include "espalier/layers/gru.h"
#include "espalier/layers/layer_norm.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/models.h"
#include "espalier/layers/pooling.h"
#include "espalier/layers/positions.h"
#include "espalier/layers/residual.h"
#include "espalier/layers/sequence.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/inference.h"
#include "espalier/optim/optimizer.h"
#include "espalier/optim/trainer.h"
#include "espalier/pruning/measure.h"
#include "espalier/pruning/method.h"
#include "espalier/pruning/pruner.h"
