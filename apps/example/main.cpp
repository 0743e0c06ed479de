// Espalier from outside: load data, build a network, train it dense and pruned to a tenth, print the table, save.
#include <espalier/espalier.h>
#include <fmt/format.h>

using namespace espalier;

std::shared_ptr<Module> network() {
  auto net = std::make_shared<Sequential>("digits");
  net->add<Linear>(LinearOptions{.name = "hidden", .in = 784, .out = 300, .activation = Activation::relu}, /*seed=*/1);
  net->add<Linear>(LinearOptions{.name = "output", .in = 300, .out = 10}, /*seed=*/1);
  return net;
}

int main() {
  const DataParts data = load("synthetic-digits");  // or "mnist", or "table.csv"
  const std::shared_ptr<const Optimizer> sgd = make_optimizer({.name = "sgd", .momentum = 0.9});
  Experiment dense{.model = network(), .data = data, .loss = softmax_cross_entropy, .optimizer = sgd, .epochs = 4};
  Experiment sparse = dense;
  sparse.model = network();
  sparse.pruning = prune_by("magnitude", 0.1);

  const Trained whole = train(dense), pruned = train(sparse);
  fmt::print("{}", table_of(result_of(sparse, &whole, pruned)));
  save_model(*pruned.model, {}, "digits.safetensors");
}
