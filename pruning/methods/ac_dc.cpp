// AC/DC: alternating compressed / decompressed training.
//
//   |  dense  | sparse | dense | sparse | ... | sparse |       sparse: at its beginning, the d n largest |w| of all
//   0       begin                                     end      layers stay;  dense: the dead come back at 0
//
// Every dense phase is a chance to correct a mistake: a weight that was cut may grow again, and stays if it overtakes
// one that was not.
//
// When: dense for the first tenth of the training, then 2 rounds - 1 phases of equal length.
//
// Exercise: how many weights that are cut in one sparse phase are back in the next? Plot it over the phases.
#include <cmath>

#include "espalier/core/error.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

class AlternatingCompression final : public Method {
 public:
  explicit AlternatingCompression(const MethodContext& context)
      : pruner_(context.trainer.parameters(), criterion_named("magnitude"), context.options) {}

  std::vector<PruneEvent> after_step(Index step, Index steps) override {
    const Index phase = phase_after(step, steps);
    if (phase < 0 || (step > 0 && phase == phase_after(step - 1, steps))) return {};
    return phase % 2 == 0 ? pruner_.prune_to(pruner_.options().schedule.density, step) : decompress(step);
  }
  void require_possible(double density) const override { pruner_.require_possible(density); }
  double density() const override { return density_of(pruner_.layers()); }

 private:
  // The phase that the step after this one belongs to: -1 warm-up, then sparse if even, dense if odd.
  Index phase_after(Index step, Index steps) const {
    const Schedule& s = pruner_.options().schedule;
    const Index phases = 2 * s.rounds - 1;
    Index phase = -1;
    for (Index p = 0; p < phases; ++p) {
      const double part = s.begin + (s.end - s.begin) * static_cast<double>(p) / static_cast<double>(phases);
      if (step >= std::llround(part * static_cast<double>(steps))) phase = p;
    }
    return phase;
  }
  std::vector<PruneEvent> decompress(Index step) {
    std::vector<PruneEvent> events;
    for (Parameter* W : pruner_.layers()) events.push_back(pruner_.options().storage.apply(*W, nullptr, step));
    return events;
  }
  Pruner pruner_;
};

}  // namespace

namespace method_pages {
MethodInfo ac_dc() {
  return {.name = "ac-dc",
          .family = "during training",
          .line = "alternate sparse phases, pruned by magnitude, with dense ones in which the dead may come back",
          .source =
              "Peste, Iofinova, Vladu, Alistarh, AC/DC: alternating compressed/decompressed training of deep "
              "neural networks, 2021",
          .formula = "dense until begin, then 2 rounds - 1 equal phases: top d n of |w|, all, top d n, ... top d n",
          .cost = "half of the steps are dense; one pass over all weights at the beginning of each sparse phase",
          .caveat = "dense time and memory in the dense phases; the last sparse phase must be long enough to recover",
          .example = "espalier train --method ac-dc --density 0.02",
          .defaults = {.schedule = {.begin = 0.1, .end = 1, .rounds = 5}},
          .make = [](const MethodContext& context) { return std::make_unique<AlternatingCompression>(context); }};
}
}  // namespace method_pages

}  // namespace espalier
