#include "espalier/experiment/tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace espalier {

std::vector<std::string> surviving_inputs(Module& model, const Preprocessing& preprocessing) {
  const std::vector<Index> source = preprocessing.source_columns();
  const std::vector<Parameter*> parameters = parameters_of(model);
  const auto first = std::ranges::find_if(
      parameters, [&](const Parameter* W) { return W->prunable() && W->cols() == static_cast<Index>(source.size()); });
  if (first == parameters.end()) return {};
  const Parameter& W = **first;
  std::vector<bool> survives(static_cast<std::size_t>(preprocessing.source_column_count()));
  W.for_each_weight([&](Index, Index column, Index n) {
    if (W.value()[static_cast<std::size_t>(n)] != 0)
      survives[static_cast<std::size_t>(source[static_cast<std::size_t>(column)])] = true;
  });
  std::vector<std::string> names;
  for (std::size_t c = 0; c < survives.size(); ++c)
    if (survives[c]) names.push_back(preprocessing.column_name(static_cast<Index>(c)));
  return names;
}

std::string inputs_line_of(const Json& result) {
  if (!result.contains("surviving_inputs")) return "";
  constexpr std::size_t most = 20;
  const Json& left = result["surviving_inputs"];
  std::string names;
  for (std::size_t i = 0; i < std::min(most, left.size()); ++i) names += (i ? ", " : ": ") + left[i].get<std::string>();
  if (left.size() > most) names += ", ...";
  return fmt::format("inputs: {} of {} columns left{}\n", left.size(), result["input_columns"].get<Index>(), names);
}

}  // namespace espalier
