// The lottery ticket: iterative magnitude pruning with rewinding.
//
// What training made large was in a lucky place from the start. To go back to step k instead of the initialisation is
// the second paper's proposal, to repeat only the schedule of the learning rate the third one's.
//
// Nothing is shown without the controls: is it the pattern, whatever the initial values (`--control reinit`), the
// number per layer (`random-pattern`), or just fewer weights (`small-dense`)?
//
// Allocation: the first paper prunes each layer at the same rate, the output layer at half of it; here all layers
// compete. At density 0.05 that was better on MNIST's validation data: 98.03 against 97.81 % with equal rates, the mean
// of three seeds, which differ by as much.
//
// When: between whole trainings of --epochs each.
//
// Exercise: the same with `--rewind rate`. Which of the two is better at density 0.02, and what did each need from the
// first training?
#include "espalier/pruning/method.h"

namespace espalier::method_pages {

MethodInfo lottery() {
  return {.name = "lottery",
          .family = "lottery ticket",
          .line = "prune by |w|, rewind to where training began, train again",
          .source =
              "Frankle & Carbin, The lottery ticket hypothesis, 2019; Frankle, Dziugaite, Roy, Carbin, Linear "
              "mode connectivity and the lottery ticket hypothesis, 2020 (to step k); Renda, Frankle, Carbin, "
              "Comparing rewinding and fine-tuning in neural network pruning, 2020 (the rate only)",
          .formula = "R times: train w_0 to w_T, keep the d^(1/R) largest |w_T|, w := w_0; then train",
          .cost = "rounds + 1 trainings, each cheaper than the one before",
          .caveat =
              "large networks have no ticket at initialisation, only a little later (rewind 500); shows "
              "something only beside the controls reinit and random-pattern",
          .example = "espalier train --method lottery --density 0.135 --rounds 9 --epochs 10",
          .defaults = {.allocation = Allocation::global,
                       .rewind = {Rewind::Kind::step, 0},
                       .schedule = {.kind = Schedule::Kind::iterative, .begin = 0.05, .end = 0.6, .rounds = 10}},
          .criterion = [](const auto&) { return criterion_named("magnitude", {}); }};
}

}  // namespace espalier::method_pages
