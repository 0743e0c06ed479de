// Filter pruning via the geometric median.
//
//   score of group i = sum over j of ||w_i - w_j||        the smallest go
//
// What has a small norm need not be redundant, and what is redundant need not have a small norm. A filter near the
// middle of all others, near the point with the least sum of distances, says what the others can say together.
//
//      o        o
//          x         x does not have the smallest norm; but it is the nearest to all others, and goes
//      o        o
//
// Here a group's vector is all that is coupled to it, pruned gradually; the paper takes the filter's own weights,
// prunes every layer by the same rate, softly (filters are set to zero and may come back) after each epoch.
//
// When: at the schedule's steps.
//
// Published: ResNet-110 on CIFAR-10 with 52 % fewer FLOPs, and 2.69 % (relative) better than before; ResNet-101 on
// ILSVRC-2012 with 42 % fewer FLOPs and no loss of top-5 accuracy.
//
// Exercise: copy one unit of a trained layer (its row twice, its column halved twice): the network computes the same.
// Which method takes one of the two out first, this one or neuron-magnitude?
#include "espalier/pruning/group_method.h"

namespace espalier {
namespace method_pages {
MethodInfo fpgm() {
  return {.name = "fpgm",
          .family = "whole units",
          .line = "take out the units that are nearest to all others of their layer",
          .source =
              "He, Liu, Wang, Hu, Yang, Filter pruning via geometric median for deep convolutional neural networks "
              "acceleration, 2019",
          .formula = "score_i = sum over j of ||w_i - w_j|| / mean of its layer",
          .cost = "distances of all pairs of a layer's units at every pruning: units^2 times weights of one",
          .caveat = "of two groups of alike units it thins out the larger one, whether that matters more or not",
          .example = "espalier train --method fpgm --density 0.3",
          .defaults = {.structure = {.kind = Structure::Kind::units},
                       .allocation = Allocation::uniform,
                       .schedule = {.density = 0.3, .begin = 0.2}},
          .make = [](const MethodContext& context) { return std::make_unique<GroupMethod>(context); },
          .group_criterion = "fpgm"};
}
}  // namespace method_pages
}  // namespace espalier
