#include "espalier/experiment/best_epoch.h"

#include <nlohmann/json.hpp>
#include <tuple>

#include "espalier/core/checkpoint.h"
#include "espalier/core/error.h"
#include "espalier/core/safetensors.h"
#include "espalier/experiment/selection.h"

namespace espalier {
namespace {

constexpr const char* metadata_key = "best_epoch";

bool is_better(const Evaluation& a, const Evaluation& b) {
  const SelectionMetric metric = selection_metric(a.classes);
  const auto order = [&](const Evaluation& e) { return std::tuple(error_of(metric, e), e.loss); };
  return order(a) < order(b);
}

}  // namespace

void BestEpoch::add(Index epoch, const Evaluation& validation) {
  if (!watches() || validation.samples == 0) return;
  ++since_;
  if (snapshot_ && !is_better(validation, best_)) return;
  since_ = 0;
  epoch_ = epoch;
  best_ = validation;
  snapshot_.emplace(parameters_, state_);
}

std::optional<Evaluation> BestEpoch::restore() {
  if (!snapshot_) return {};
  snapshot_->restore(parameters_, state_);
  return best_;
}

void BestEpoch::save(const std::filesystem::path& file) {
  if (!snapshot_) return;
  const nlohmann::json json = {
      {"epoch", epoch_},      {"since", since_},    {"loss", best_.loss},       {"accuracy", best_.accuracy},
      {"brier", best_.brier}, {"rmse", best_.rmse}, {"samples", best_.samples}, {"classes", best_.classes}};
  save_checkpoint(snapshot_->copies(), {{metadata_key, json.dump()}}, file, snapshot_->state());
}

void BestEpoch::load(const std::filesystem::path& file) {
  try {
    const auto json = nlohmann::json::parse(load_safetensors(file).metadata.at(metadata_key));
    load_checkpoint(parameters_, file, state_);
    snapshot_.emplace(parameters_, state_);
    epoch_ = json.at("epoch");
    since_ = json.at("since");
    best_ = {.loss = json.at("loss"),
             .accuracy = json.at("accuracy"),
             .brier = json.at("brier"),
             .rmse = json.at("rmse"),
             .samples = json.at("samples"),
             .flops = {},
             .classes = json.at("classes")};
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    throw FileError(fmt::format("{}: expected a checkpoint of the best epoch, found: {}", file.string(), error.what()));
  }
}

}  // namespace espalier
