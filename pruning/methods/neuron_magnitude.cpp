// Gradual magnitude pruning of whole units.
//
// A unit whose weights are all small says little, and little is heard of it: it goes, with the row that makes it, its
// bias, its normalisation and the columns that read it. What is left is a narrower dense network.
//
// When: at the schedule's steps, gradually, cubic as for single weights. Between two prunings the units that stay learn
// to do without the others.
//
// Published: filters of small norm, one layer after the other: VGG-16 on CIFAR-10 with 34 % fewer FLOPs, ResNet-110
// with 38 % fewer, at nearly the original accuracy (Li et al. 2017, who sum |w| of the filter alone). Over all that is
// coupled, as here: Fang et al. 2023. LeNet-300-100 with 266-88-33 units read has 1.8 % error on MNIST, with L0 gates
// on units (Louizos et al. 2018).
//
// Exercise: which layer of LeNet-300-100 loses more of its units with --allocation global? Then try --criterion l1,
// under which wide layers and narrow ones are told apart by other numbers. Does the order of the layers change?
#include "espalier/pruning/group_method.h"

namespace espalier {
namespace method_pages {
MethodInfo neuron_magnitude() {
  return {.name = "neuron-magnitude",
          .family = "whole units",
          .line = "take out the units whose weights have the smallest norm, gradually",
          .source =
              "Li, Kadav, Durdanovic, Samet, Graf, Pruning filters for efficient ConvNets, 2017; Fang, Ma, Song, Mi, "
              "Wang, DepGraph: towards any structural pruning, 2023",
          .formula = "score = sqrt(sum of w^2 over all weights that are coupled to the unit) / mean of its layer",
          .cost = "one pass over the weights at every pruning; from then on the narrower network's steps",
          .caveat =
              "coarser than single weights: at equally many parameters it loses more accuracy; a unit that repeats "
              "what another one says has a large norm as well",
          .example = "espalier train --method neuron-magnitude --density 0.3",
          .defaults = {.structure = {.kind = Structure::Kind::units}, .schedule = {.density = 0.3, .begin = 0.2}},
          .make = [](const MethodContext& context) { return std::make_unique<GroupMethod>(context); },
          .group_criterion = "l2"};
}
}  // namespace method_pages
}  // namespace espalier
