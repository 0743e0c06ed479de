// libFuzzer's harness of what a model's file says of its samples, in JSON: rules that are read are the same once more
// when they are written and read, and make finite features of any field; anything else ends in a FileError of one line.
// The first byte says whether the text is about rows of a table or other samples.
#include "espalier/datasets/preprocessing.h"

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/datasets/sample_rules.h"
#include "tests/fuzz/expectations.h"

namespace espalier {
namespace {

void try_samples(const std::string& text) {
  const std::string once = to_json(sample_rules_from_json(text, "fuzz"));
  expect(kind_of_preprocessing(once, "once") == "samples");
  expect(to_json(sample_rules_from_json(once, "once")) == once);
}

void try_table(const std::string& text) {
  const Preprocessing rules = preprocessing_from_json(text, "fuzz");
  const std::string once = to_json(rules);
  expect(to_json(preprocessing_from_json(once, "once")) == once);
  constexpr Index few = 1000;
  if (rules.features() > few) return;
  expect(static_cast<Index>(rules.feature_names().size()) == rules.features());
  const Encoder encoder(rules);
  EncodingCounts counts(rules.columns.size());
  std::vector<Cell> cells(rules.columns.size());
  std::vector<Real> features(static_cast<std::size_t>(encoder.features()));
  for (const char* field : {"", "0", "-1.5", "3e38", "-1e300", "inf", "a", "?"}) {
    for (std::size_t c = 0; c < cells.size(); ++c) cells[c] = encoder.encode(c, field, counts);
    if (rules.sparse_features == 0) encoder.expand(cells, features);
    expect_finite(features);
    try {
      if (rules.target.classes.empty())
        encoder.value(field);
      else
        expect(encoder.label(field) < static_cast<std::int32_t>(rules.target.classes.size()));
    } catch (const BadField&) {
    }
  }
  rules.target.text_of(0.5);
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  try {
    if (data[0] % 2)
      espalier::try_samples(text);
    else
      espalier::try_table(text);
  } catch (const espalier::FileError& error) {
    espalier::expect_one_line(error);
  }
  return 0;
}
