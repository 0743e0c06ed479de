#include "espalier/experiment/from_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "espalier/experiment/data.h"
#include "espalier/experiment/trained_network.h"
#include "espalier/experiment/training_state.h"
#include "espalier/layers/average.h"
#include "espalier/layers/initial_weights.h"
#include "espalier/layers/models.h"
#include "espalier/pruning/controls.h"

namespace espalier {

std::string name_of(Side side) {
  return side == Side::dense ? "dense" : "sparse";
}

int threads_of(const RunConfig& config) {
  return config.threads ? config.threads : default_threads();
}

Loss loss_of(const RunConfig& c, const DataParts& data) {
  const bool classes = data.train->classes() > 0;
  const LossEntry& loss = losses().named(c.loss != "auto" ? c.loss : classes ? "cross-entropy" : "mse");
  require(loss.classification == classes, "[loss] expected {} for {}, got {}",
          classes ? "auto or cross-entropy" : "auto, mse, huber or quantile",
          classes ? "data of classes" : "data of numbers to predict", loss.name);
  require(classes || c.class_weights == "none", "[class-weights] expected none for data without classes, got {}",
          c.class_weights);
  LossOptions options{.huber_delta = c.huber_delta, .quantile = c.quantile};
  if (c.class_weights == "balanced") options.class_weights = balanced_weights(samples_of_class(*data.train));
  return loss.make(options);
}

namespace {

// "fc1=0" -> fc1: 0
std::map<std::string, std::string> names_in_file(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> names;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    require(equals != std::string::npos && equals > 0, "[init-names] expected OURS=THEIRS such as fc1=0, got \"{}\"",
            text);
    require(names.emplace(text.substr(0, equals), text.substr(equals + 1)).second,
            "[init-names] expected each name once, got {} again", text.substr(0, equals));
  }
  return names;
}

}  // namespace

ModulePtr model_of(const RunConfig& c, const DataParts& data) {
  ModulePtr model =
      make_model(c.model, {.input = data.train->shape(), .outputs = outputs_for(*data.train), .seed = c.seed});
  if (!c.init.empty()) initialise_from(*model, model_file_of(c.init), names_in_file(c.init_names));
  require(!c.init.empty() || c.init_names.empty(), "[init-names] expected none without weights to begin with, got {}",
          fmt::join(c.init_names, ", "));
  return model;
}

Pruning pruning_of(const RunConfig& c) {
  return {.method = methods().named(c.method),
          .options = {.allocation = allocation_named(c.allocation),
                      .structure = structure_named(c.structure),
                      .schedule = schedule_of(c.schedule),
                      .storage = c.storage,
                      .protect = c.protect,
                      .units = c.units},
          .settings = c.settings,
          .rewind = rewind_named(c.rewind),
          .recalibrate = c.recalibrate};
}

namespace {

// As many parameters as the method was asked to leave.
RunConfig small_dense_of(RunConfig c, const DataParts& data) {
  const ModulePtr model = model_of(c, data);
  Index prunable = 0;
  for (const Parameter* W : pruned_layers(parameters_of(*model), c.protect)) prunable += W->positions();
  const Index kept = std::llround(c.schedule.density * static_cast<double>(prunable));
  c.init.clear();  // weights of a larger network
  c.init_names.clear();
  c.model = small_dense(c.model, *model, census_of(*model).parameters() - prunable + kept);
  return c;
}

Experiment unpruned(const RunConfig& c, const DataParts& data, std::string label) {
  return {.model = model_of(c, data),
          .data = data,
          .loss = loss_of(c, data),
          .optimizer = make_optimizer(c.optimizer),
          .rate = c.rate,
          .epochs = c.epochs,
          .patience = c.patience,
          .batch = c.batch,
          .lanes = c.lanes,
          .augment = augmentation_named(c.augment),
          .seed = c.seed,
          .threads = threads_of(c),
          .clip_norm = c.clip_norm,
          .label = std::move(label)};
}

// The network that a control trains once more, and may compare with what was found.
Experiment control_of(Control control, const RunConfig& c, const DataParts& data, Module& found) {
  RunConfig fresh = c;
  fresh.seed = initial_seed(control, c.seed);
  if (control == Control::reinit) {  // other initial values than those that were given
    fresh.init.clear();
    fresh.init_names.clear();
  }
  Experiment e = unpruned(c, data, name_of(Side::dense));
  e.model = model_of(fresh, data);
  apply_pattern(control, parameters_of(found), parameters_of(*e.model), c.seed);
  return e;
}

}  // namespace

Experiment experiment_of(const RunConfig& c, const DataParts& data, Side side) {
  if (side == Side::dense) return unpruned(c, data, name_of(side));
  if (control_named(c.control) == Control::small_dense)  // no method has to run for that
    return unpruned(small_dense_of(c, data), data, name_of(Side::dense));
  Experiment e = unpruned(c, data, name_of(side));
  e.pruning = pruning_of(c);
  return e;
}

void require_possible(const RunConfig& c, const DataParts& data, const std::vector<double>& densities) {
  if (control_named(c.control) == Control::small_dense) {
    for (RunConfig one = c; const double density : densities) {
      one.schedule.density = density;
      experiment_of(one, data, Side::sparse);
    }
    return;
  }
  Experiment e = experiment_of(c, data, Side::sparse);
  require_possible(e, densities);
}

namespace {

// What a training took that came before another one.
void add_cost(const Trained& before, Trained& all) {
  all.train_seconds += before.train_seconds;
  all.checkpoint_seconds += before.checkpoint_seconds;
  all.event_seconds += before.event_seconds;
  all.train_flops += before.train_flops;
}

// Units of several networks are counted together, layer by layer.
void add_units(const Trained& one, Trained& all) {
  if (!one.units) return;
  if (!all.units) {
    all.units = one.units;
    return;
  }
  all.units->whole.positions += one.units->whole.positions;
  all.units->whole.live += one.units->whole.live;
  all.units->whole.unprunable += one.units->whole.unprunable;
  for (std::size_t w = 0; w < all.units->widths.size(); ++w) {
    all.units->widths[w].whole += one.units->widths[w].whole;
    all.units->widths[w].kept += one.units->widths[w].kept;
  }
}

}  // namespace

std::string trained_model_name(const RunConfig& c) {
  return c.members == 1 ? c.model : fmt::format("average:{}x{}", c.members, c.model);
}

namespace {

// The checkpoint with a file of its own, and with what the training depends on.
Checkpoint checkpoint_in(Checkpoint checkpoint, std::filesystem::path file, std::uint64_t config) {
  if (!checkpoint.file.empty()) checkpoint.file = std::move(file);
  checkpoint.config = config;
  return checkpoint;
}

// What a training of that side depends on: the density of the pruned network changes nothing of its dense twin.
std::uint64_t fingerprint_of(RunConfig c, Side side) {
  if (side == Side::dense) c.schedule.density = 1;
  if (needs_found(control_named(c.control))) c.control = "none";  // it comes afterwards
  return Random::mix(fingerprint(c)) + (side == Side::dense);
}

Trained train_one(const RunConfig& c, const DataParts& data, Side side, const Observer& observer,
                  const Checkpoint& checkpoint) {
  Experiment e = experiment_of(c, data, side);
  Trained found = train(e, observer, checkpoint_in(checkpoint, checkpoint.file, fingerprint_of(c, side)));
  const Control control = control_named(c.control);
  if (side == Side::dense || !needs_found(control)) return found;

  Experiment once_more = control_of(control, c, data, *found.model);
  Observer later = observer;  // what the control's epochs come after
  const Index round = (e.pruning->rewind ? e.pruning->options.schedule.rounds : 0) + 1;
  if (observer.epoch)
    later.epoch = [&](const EpochResult& epoch, Index, double density) { observer.epoch(epoch, round, density); };
  Trained trained = train(once_more, later, checkpoint_in(checkpoint, control_file(checkpoint.file), fingerprint(c)));
  add_cost(found, trained);
  return trained;
}

// The training that goes on for the (which + 1)th time, of a network whose pruning is over, at a constant rate.
// Optimizers begin anew: a model's file, from which it may have come, does not have what they remember.
Trained go_on(const RunConfig& c, std::size_t which, const DataParts& data, const Trained& before,
              const Observer& observer, const Checkpoint& checkpoint) {
  Experiment e = unpruned(c, data, name_of(Side::sparse));
  e.model = before.model;
  for (Parameter* W : parameters_of(*e.model)) {
    for (const std::string& slot : W->slot_names()) W->remove_slot(slot);
    if (W->pattern()) c.storage.apply(*W, W->pattern(), /*step=*/0);
  }
  e.epochs_before = c.continued[which];
  e.epochs = which + 1 < c.continued.size() ? c.continued[which + 1] : c.epochs;
  e.rate = {.schedule = RateSchedule::constant, .rate = c.continued_rates[which]};
  Trained trained =
      train(e, observer, checkpoint_in(checkpoint, later_file(checkpoint.file, which + 1), fingerprint(c)));
  add_cost(before, trained);
  trained.units = before.units;
  trained.notes.insert(trained.notes.begin(), before.notes.begin(), before.notes.end());
  return trained;
}

// Values, shape, pattern, storage and state of a part of a larger model.
void copy_into(const Module& from, Module& to) {
  const std::vector<const Parameter*> source = parameters_of(from);
  const std::vector<Parameter*> target = parameters_of(to);
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (target[i]->rows() != source[i]->rows() || target[i]->cols() != source[i]->cols())
      *target[i] = Parameter(source[i]->name(), source[i]->rows(), source[i]->cols(), source[i]->role());
    target[i]->become(source[i]->pattern(), source[i]->storage());
    std::ranges::copy(source[i]->value(), target[i]->value().begin());
  }
  const auto before = state_of(from);
  std::size_t next = 0;
  to.visit_state([&](const std::string&, std::vector<Real>& numbers) {
    numbers.assign(before[next].numbers.begin(), before[next].numbers.end());
    ++next;
  });
}

std::filesystem::path member_file(const std::filesystem::path& checkpoint, Index member) {
  return checkpoint.empty() ? checkpoint : std::filesystem::path(checkpoint) += fmt::format(".member-{}", member + 1);
}

// What the average of the members comes to, and what they cost together.
Trained average_of(const RunConfig& c, const DataParts& data, const std::vector<Trained>& members) {
  const ModelOptions options{.input = data.train->shape(), .outputs = outputs_for(*data.train), .seed = c.seed};
  std::vector<ModulePtr> networks;
  Trained all;
  for (const Trained& member : members) {
    networks.push_back(make_model(member.model->name(), options));
    copy_into(*member.model, *networks.back());
    add_cost(member, all);
    add_units(member, all);
    if (all.not_kept.empty()) all.not_kept = member.not_kept;
  }
  all.model = std::make_shared<Average>(trained_model_name(c), std::move(networks));
  Inference inference(*all.model, threads_of(c));
  const auto in_order = [&](const DatasetPtr& set) {
    constexpr Index batch = 1024;
    return Loader(set, {.batch = batch, .lanes = c.lanes, .shuffle = false});
  };
  const Loss loss = loss_of(c, data);
  if (data.validation->samples() > 0) all.validation = inference.evaluate(in_order(data.validation), loss);
  const Score score = inference.score(in_order(data.test), loss);
  all.test = score.evaluation;
  all.metrics = score.metrics;
  if (members.front().confusion.classes() > 0) all.confusion = confusion_of(score.outputs, *data.test);
  all.notes = members.front().notes;
  all.data = members.front().data;
  return all;
}

}  // namespace

Trained train_side(const RunConfig& c, const DataParts& data, Side side, const Observer& observer,
                   const Checkpoint& checkpoint) {
  if (c.members == 1) {
    Trained trained = train_one(before_continued(c), data, side, observer, checkpoint);
    for (std::size_t s = 0; side == Side::sparse && s < c.continued.size(); ++s)
      trained = go_on(c, s, data, trained, observer, checkpoint);
    return trained;
  }
  std::vector<Trained> members;
  for (RunConfig one = c; std::ssize(members) < c.members; ++one.seed) {
    const std::filesystem::path file = member_file(checkpoint.file, std::ssize(members));
    members.push_back(train_one(one, data, side, observer, checkpoint_in(checkpoint, file, checkpoint.config)));
  }
  return average_of(c, data, members);
}

Trained train_on(const RunConfig& c, const DataParts& data, const Trained& before, const Observer& observer,
                 const Checkpoint& checkpoint) {
  require(!c.continued.empty(), "[continued] expected a run that was continued, got one of {} epochs", c.epochs);
  return go_on(c, c.continued.size() - 1, data, before, observer, checkpoint);
}

}  // namespace espalier
