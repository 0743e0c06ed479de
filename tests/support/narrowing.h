// Masking groups of a model and taking them out: the same network twice.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/random.h"
#include "espalier/layers/widths.h"
#include "support/batch_pass.h"

namespace espalier::testing {

// Weights, biases, scales and shifts of the groups that do not stay become zero, and none of them a pruned one.
inline void mask(Module& model, const std::vector<Width>& widths, const Kept& kept) {
  for (std::size_t w = 0; w < widths.size(); ++w)
    for (const Place& place : widths[w].places)
      model.visit_parameters([&](Parameter& W) {
        const bool rows = place.of == Place::Of::rows;
        if (W.name() != place.name || (!rows && place.of != Place::Of::columns)) return;
        const auto value = W.value();
        W.for_each_weight([&](Index r, Index c, Index at) {
          if (!std::ranges::binary_search(kept[w], place.group[rows ? r : c])) value[at] = 0;
        });
      });
}

// All groups but some, drawn at random from the widths that are not fixed; each keeps at least one. Returns how many
// were taken out.
inline Index take_some(const std::vector<Width>& widths, Kept& kept, Index most, const Random& random) {
  std::vector<std::pair<std::size_t, Index>> candidates;
  for (std::size_t w = 0; w < widths.size(); ++w)
    if (widths[w].fixed.empty())
      for (Index g = 0; g < widths[w].groups; ++g) candidates.emplace_back(w, g);
  for (std::size_t i = candidates.size(); i > 1; --i)
    std::swap(candidates[i - 1], candidates[static_cast<std::size_t>(random.uniform(i) * static_cast<double>(i))]);
  Index taken = 0;
  for (const auto& [w, g] : candidates)
    if (taken < most && kept[w].size() > 1) taken += std::erase(kept[w], g);
  return taken;
}

// Invariant 2 of layers/widths.h: what a network computes with groups masked it computes without them.
//   make()   the same model each time
template <typename Make>
void expect_masked_equals_narrow(Make&& make, const Shape& input, const std::vector<Tile>& tiles, Mode mode, Index most,
                                 const Random& random, Real relative) {
  const ModulePtr masked = make(), narrow_one = make();
  const std::vector<Width> widths = widths_of(*masked, input);
  Kept kept = all_of(widths);
  if (take_some(widths, kept, most, random) == 0) return;
  mask(*masked, widths, kept);
  narrow(*narrow_one, widths, kept);

  const Pass a = run_batch(*masked, tiles, {.mode = mode}), b = run_batch(*narrow_one, tiles, {.mode = mode});
  expect_close(flat(a.output), flat(b.output), relative, "output");
  expect_close(flat(a.input_gradient), flat(b.input_gradient), relative, "gradient of the input");
  // Of the masked network's gradients only those of what stays: kept beside the weights, and taken out with them.
  const std::vector<Parameter*> parameters = parameters_of(*masked);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    parameters[p]->add_slot("gradient");
    std::ranges::copy(a.gradient[p], parameters[p]->slot("gradient").begin());
  }
  narrow(*masked, widths, kept);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Parameter& W = *parameters_of(*narrow_one)[p];
    ASSERT_EQ(parameters[p]->rows(), W.rows()) << W.name();
    ASSERT_EQ(parameters[p]->cols(), W.cols()) << W.name();
    EXPECT_TRUE(same_bits(std::as_const(*parameters[p]).value(), W.value())) << W.name();
    expect_close(std::as_const(*parameters[p]).slot("gradient"), b.gradient[p], relative, W.name().c_str());
  }
}

// Biases and the like begin at zero, and so do the means of batch normalisation: a forgotten one would not show.
inline ModulePtr with_numbers_everywhere(ModulePtr model) {
  for (Parameter* W : parameters_of(*model))
    if (!W->prunable()) {
      const Random random(1, W->name());
      for (std::size_t n = 0; n < W->value().size(); ++n)
        W->value()[n] = static_cast<Real>((W->role() == Role::scale ? 0.5 : -0.5) + random.uniform(n));
    }
  model->visit_state([](const std::string& name, std::vector<Real>& numbers) {
    const Random random(1, name);
    for (std::size_t n = 0; n < numbers.size(); ++n) numbers[n] = static_cast<Real>(0.5 + random.uniform(n));
  });
  return model;
}

}  // namespace espalier::testing
