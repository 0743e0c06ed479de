// Method: what happens to the weights between two training steps. A named method is a point in the space
//
//   criterion x structure x allocation x schedule x regrowth
//
// written as a MethodInfo: where it was published, the formula, what it costs, a caveat, its defaults, and either a
// criterion (the pruner does the rest) or a hook of its own.
//
// To add one here: a file in pruning/methods, its line in pruning/methods.cpp, a test. In a program of your own: make a
// MethodInfo, and pass it to make_method, or to methods().add if it is to be found by name.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "espalier/core/catalogue.h"
#include "espalier/layers/initialise.h"
#include "espalier/pruning/narrowing.h"
#include "espalier/pruning/pruner.h"
#include "espalier/pruning/rewind.h"

namespace espalier {

// What a method is given. Trainer and loader must outlive it.
struct MethodContext {
  Trainer& trainer;
  const Loader& train;
  PrunerOptions options = {};
  Index steps = 0;                   // of the whole training, where it is known beforehand
  Settings settings = {};            // the method's own
  std::string method = {};           // its name, for messages; make_method fills it in
  std::string group_criterion = {};  // likewise: MethodInfo's

  double setting(const std::string& name) const;  // throws UsageError if there is none of that name
};

class Method {
 public:
  virtual ~Method() = default;
  // To be called with step 0 before training and after every step. Returns what was done, nothing on most steps.
  virtual std::vector<PruneEvent> after_step(Index step, Index steps) = 0;
  // After the last step: leaves an ordinary sparse network, at the density that was asked for.
  virtual std::vector<PruneEvent> finish(Index /*step*/) { return {}; }
  // Prunes to `density` now (rounds of whole trainings). Throws UsageError if the method cannot.
  virtual std::vector<PruneEvent> prune_to(double density, Index step);
  // Throws UsageError if `density` is bound to leave a layer without weights: before hours of training, not after.
  virtual void require_possible(double density) const = 0;
  // Whether a training of so many steps is too short for what the method does between them.
  virtual bool idle(Index /*steps*/) const { return false; }
  // Of all prunable weights, as the method sees them (latents are dense arrays).
  virtual double density() const = 0;
  // What it has learnt or remembers, for checkpoints.
  virtual std::vector<Parameter*> latents() { return {}; }
  virtual std::vector<NamedNumbers> state() { return {}; }
  // Where the weights come from, if the method never trains any: a file then need not hold them.
  virtual std::optional<Origin> origin() const { return {}; }
  // Of a method that takes whole units out of the model (group_method.h): the model's shape, which a checkpoint has to
  // restore before it can be read, and how many are left. Spans of the model's state, and copies of it, have to be made
  // anew after each event. None: the model keeps its shape.
  virtual Narrowing* narrowing() { return nullptr; }
  virtual std::optional<UnitsLeft> units() const { return {}; }
};

// A number that one method has and others have not.
struct Setting {
  std::string name;
  double value;  // unless another one is given
  std::string meaning;
};
// Of a criterion that looks at batches of training data: how many.
Setting batches_setting();

// Where in the space a method stands, unless something else is asked for.
struct MethodDefaults {
  Structure structure = {};
  Allocation allocation = Allocation::global;
  Rewind rewind = {};
  Schedule schedule = {};
};

using CriterionFactory = std::function<std::unique_ptr<Criterion>(const Settings& settings)>;
using MethodFactory = std::function<std::unique_ptr<Method>(const MethodContext&)>;

// An entry of the catalogue. Name and a criterion or hook are all that a method needs; the texts are for people.
struct MethodInfo {
  std::string name;
  std::string family = {};  // control, after training, during training, before training, sparse from the start ...
  std::string line = {};    // what it does, in one line
  std::string source = {};  // authors, title, year
  std::string formula = {}, cost = {}, caveat = {}, example = {};
  MethodDefaults defaults = {};
  std::vector<Setting> settings = {};
  CriterionFactory criterion = nullptr;  // importance; the pruner does the rest
  MethodFactory make = nullptr;          // or a hook of its own
  // By which of group_criteria() whole units are chosen, where the structure is one of units; empty: the method chooses
  // single weights only.
  std::string group_criterion = {};
  bool scores_alone = true;  // false: of a hook for units that also changes how the network is trained
};

// All methods that can be chosen by name.
Catalogue<MethodInfo>& methods();
// The method, in the catalogue or not, for a training. Settings that the context does not give have the method's own
// values; unknown ones throw UsageError.
std::unique_ptr<Method> make_method(const MethodInfo& method, MethodContext context);
// Throws UsageError if the method does not go with the structure.
void check(const MethodInfo& method, const Structure& structure);
// Whether it needs no training: it scores what there is, and prunes.
bool needs_scores_alone(const MethodInfo& method);
Settings settings_of(const MethodInfo& method, const Settings& given);

}  // namespace espalier
