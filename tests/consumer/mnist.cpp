// A program of a project that uses Espalier. Everything that it trains with is its own: a layer, a criterion, a method,
// an optimizer, a data set. It trains, is interrupted and resumed, and expects the same bits; then it saves, loads, and
// expects the same answers.
#include <cstdio>

#include "outside.h"

namespace {

using namespace outside;

bool goes_on_to_the_same_bits(const MethodInfo& method) {
  Experiment whole = experiment_outside(method);
  const Trained expected = train(whole);
  const std::filesystem::path file = "checkpoint-" + method.name;
  std::filesystem::remove(file);
  Experiment pieces = experiment_outside(method);
  int asked = 0;
  try {
    train(pieces, {}, {.file = file, .stop = [&] { return ++asked > 50; }});
    return false;  // it was to be interrupted
  } catch (const InterruptedError&) {
  }
  Experiment rest = experiment_outside(method);
  const Trained resumed = train(rest, {}, {.file = file});
  std::printf("%s: accuracy %.4f, %.0f %% of the weights; interrupted and resumed: %s\n", method.name.c_str(),
              expected.test.accuracy, 100 * census_of(*whole.model).density(),
              weights_of(*rest.model) == weights_of(*whole.model) ? "the same bits" : "other bits");
  return weights_of(*rest.model) == weights_of(*whole.model) && resumed.test.loss == expected.test.loss &&
         expected.test.accuracy > 0.8;
}

bool loads_what_it_saved(const MethodInfo& method) {
  Experiment trained = experiment_outside(method);
  const Trained t = train(trained);
  save_model(*trained.model, {}, "outside.safetensors");
  Experiment fresh = experiment_outside(method);
  load_model(*fresh.model, "outside.safetensors");
  const Score score = Inference(*fresh.model, 1)
                          .score(Loader(fresh.data.test, {.batch = 64, .lanes = 16, .shuffle = false}), fresh.loss);
  return score.evaluation.accuracy == t.test.accuracy;
}

}  // namespace

int main() {
  methods().add(by_criterion());  // now it can be chosen by name, too
  const bool same = goes_on_to_the_same_bits(methods().named("beside-the-row")) && goes_on_to_the_same_bits(by_hook());
  return same && loads_what_it_saved(by_hook()) ? 0 : 1;
}
