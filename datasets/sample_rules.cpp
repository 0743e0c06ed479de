#include "espalier/datasets/sample_rules.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "espalier/core/error.h"
#include "espalier/datasets/json-inl.h"

namespace espalier {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char *samples_kind = "samples", *table_kind = "table";
constexpr int rules_version = 1;

Index channels_of(const Shape& shape) {
  return shape.rank() == 3 ? shape[0] : 1;
}

// Throws nlohmann's exceptions, and UsageError.
SampleRules rules_in(const Json& json) {
  require(json.at("kind") == samples_kind && json.at("version") == rules_version,
          "expected rules for samples, version {}, got {}", rules_version, json.at("kind").dump());
  const auto is_integer = [](const Json& number) { return number.is_number_integer(); };
  require(std::ranges::all_of(json.at("shape"), is_integer), "expected whole numbers in the shape, got {}",
          json["shape"].dump());
  const auto extents = json["shape"].get<std::vector<Index>>();
  double features = 1;
  for (const Index extent : extents) features *= static_cast<double>(extent);
  constexpr double most_features = 1u << 31;
  require(!extents.empty() && features <= most_features, "expected a shape of up to 2^31 features, got {}",
          json["shape"].dump());
  SampleRules rules{.shape = Shape(extents)};
  if (json.contains("mean") || json.contains("deviation")) {
    rules.moments.mean = json.at("mean").get<std::vector<double>>();
    rules.moments.deviation = json.at("deviation").get<std::vector<double>>();
    const auto channels = static_cast<std::size_t>(channels_of(rules.shape));
    const auto good = [](double x) { return std::isfinite(x); };
    const auto positive = [](double x) { return x > 0; };
    require(rules.moments.mean.size() == channels && rules.moments.deviation.size() == channels &&
                std::ranges::all_of(rules.moments.mean, good) && std::ranges::all_of(rules.moments.deviation, good) &&
                std::ranges::all_of(rules.moments.deviation, positive),
            "expected {} finite means and deviations above 0, got {} and {}", channels, json["mean"].dump(),
            json["deviation"].dump());
  }
  if (json.contains("classes")) rules.class_names = json["classes"].get<std::vector<std::string>>();
  rules.turned = json.value("turned", false);
  return rules;
}

}  // namespace

SampleRules sample_rules_of(const DataParts& parts) {
  return {.shape = parts.train->shape(),
          .moments = parts.moments.value_or(ChannelMoments{}),
          .class_names = parts.class_names,
          .turned = parts.turned};
}

std::string to_json(const SampleRules& rules) {
  std::vector<Index> extents;
  for (int axis = 0; axis < rules.shape.rank(); ++axis) extents.push_back(rules.shape[axis]);
  Json json = {{"kind", samples_kind}, {"version", rules_version}, {"shape", extents}};
  if (!rules.moments.mean.empty()) json.update({{"mean", rules.moments.mean}, {"deviation", rules.moments.deviation}});
  if (!rules.class_names.empty()) json["classes"] = rules.class_names;
  if (rules.turned) json["turned"] = true;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

SampleRules sample_rules_from_json(const std::string& text, const std::string& file) {
  try {
    return rules_in(json_in<Json>(text, file));
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{}: expected rules for samples, found: {}", file, error.what()));
  } catch (const UsageError& error) {
    throw FileError(fmt::format("{}: {}", file, error.what()));
  }
}

std::string kind_of_preprocessing(const std::string& text, const std::string& file) {
  try {
    return json_in<Json>(text, file).value("kind", table_kind);
  } catch (const nlohmann::json::exception& error) {
    throw FileError(fmt::format("{}: expected a preprocessing, found: {}", file, error.what()));
  }
}

DatasetPtr standardised(DatasetPtr data, const SampleRules& rules) {
  require(data->shape() == rules.shape, "[data] {}: expected samples {} as the model was trained on, got {}",
          data->name(), rules.shape.text(), data->shape().text());
  if (rules.moments.mean.empty()) return data;
  return std::make_shared<Standardised>(std::move(data), rules.moments.mean, rules.moments.deviation);
}

}  // namespace espalier
