#include "apps/tool/data.h"

#include "core/error.h"
#include "datasets/locate.h"
#include "datasets/mnist.h"
#include "datasets/synthetic_digits.h"

namespace espalier {

Data load_data(RunConfig& config) {
  TrainTest parts;
  std::string name = config.data;
  if (name != "synthetic-digits") {
    const std::filesystem::path folder = find_data(config.data_dir, "mnist", holds_mnist);
    if (!folder.empty()) {
      name = "mnist";
      parts = mnist(folder);
    } else if (name == "mnist") {
      throw FileError(
          "mnist: expected train-images-idx3-ubyte[.gz] and its three companions in --data-dir, $ESPALIER_DATA or "
          "./data, "
          "found none; the README says where to get them, --data synthetic-digits does without");
    } else {
      fmt::print(stderr, "no MNIST files in $ESPALIER_DATA or ./data: using generated digits instead\n");
      name = "synthetic-digits";
    }
  }
  if (name == "synthetic-digits") parts = synthetic_digits();
  config.data = name;

  // A small set gives at most a tenth of itself for validation.
  const Index held_out = std::min(config.validation, parts.train->samples() / 10);
  const Split split_parts = split(parts.train, held_out, config.seed);
  const Moments m = moments(*split_parts.train);
  const auto standardised = [&](const DatasetPtr& set) -> DatasetPtr {
    return std::make_shared<Standardised>(set, m.mean, m.deviation);
  };
  return {name, standardised(split_parts.train), standardised(split_parts.validation), standardised(parts.test),
          parts.provenance};
}

}  // namespace espalier
