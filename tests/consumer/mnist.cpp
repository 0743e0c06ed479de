// A program of a project that uses Espalier: trains a small network on generated digits while it prunes nine weights in
// ten, saves it, loads it into a new one, and expects the same accuracy.
#include <cstdio>
#include <string>

#include "espalier/datasets/synthetic_digits.h"
#include "espalier/layers/linear.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/model_file.h"
#include "espalier/layers/sequential.h"
#include "espalier/optim/fit.h"
#include "espalier/optim/sgd.h"
#include "espalier/pruning/pruner.h"

using namespace espalier;

namespace {

Sequential network(std::uint64_t seed) {
  Sequential net("digits");
  net.add<Linear>(LinearOptions{.name = "hidden", .in = 784, .out = 100, .activation = Activation::relu}, seed);
  net.add<Linear>(LinearOptions{.name = "output", .in = 100, .out = 10}, seed);
  return net;
}

double accuracy_of(Sequential& net, const DatasetPtr& data) {
  const Sgd sgd({});
  Trainer trainer(net, softmax_cross_entropy, sgd, {.threads = 2});
  return trainer.evaluate(Loader(data, {.batch = 500, .shuffle = false})).accuracy;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string file = argc > 1 ? argv[1] : "digits.safetensors";
  const TrainTest data = synthetic_digits(2000, 500);
  Sequential net = network(1);
  const Sgd sgd({.momentum = 0.9F});
  Trainer trainer(net, softmax_cross_entropy, sgd, {.threads = 2});
  Pruner pruner(trainer.parameters(), {.schedule = {.density = 0.1}});
  Loader train(data.train, {});
  fit(trainer, train, nullptr,
      {.epochs = 4, .rate = {.rate = 0.1}, .progress = false, .after_step = [&](auto step, auto steps) {
         pruner.after_step(step, steps);
       }});
  const double saved = accuracy_of(net, data.test);
  save_model(net, {}, file);
  Sequential again = network(2);
  load_model(again, file);
  const double loaded = accuracy_of(again, data.test);
  std::printf("accuracy %.4f, after loading %.4f\n", saved, loaded);
  return saved == loaded && saved > 0.5 ? 0 : 1;
}
