// libFuzzer's harness of tables: any text is loaded, and its rows are read, or ends in an Error of one line.
#include "espalier/datasets/table.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "espalier/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const char* const tasks[] = {"auto", "classification", "regression"};
  espalier::TableOptions options{.task = tasks[data[0] % 3], .validation = 2, .test_fraction = 0.3};
  const char* const scalings[] = {"standard", "quantile", "robust", "piecewise"};
  options.scaling = scalings[data[0] >> 5 & 3];
  if (data[0] & 0x80) options.encoding = "ordinal";
  try {
    const std::string text(reinterpret_cast<const char*>(data) + 1, bytes - 1);
    const espalier::DataParts parts = espalier::load_table_text("fuzz", text, options);
    if (espalier::to_json(espalier::preprocessing_from_json(espalier::to_json(*parts.preprocessing), "json")) !=
        espalier::to_json(*parts.preprocessing))
      std::abort();
    std::vector<espalier::Real> features(static_cast<std::size_t>(parts.train->shape().features()));
    for (espalier::Index i = 0; i < parts.train->samples(); ++i) {
      parts.train->read(i, features);
      for (const espalier::Real x : features)
        if (!std::isfinite(x)) std::abort();
    }
  } catch (const espalier::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
