// Recipes: configurations for kinds of data. apps/recipes/README.md says what is in such a file; all of that folder are
// built into the program.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "espalier/experiment/data.h"

namespace espalier {

// What a recipe may ask of data before anything is trained. Of the training part only.
struct DataProfile {
  std::string name;
  Shape shape;  // of one sample
  Index rows = 0, validation_rows = 0;
  Index features = 0, classes = 0;               // 0 classes: regression
  double largest_class = 0, smallest_class = 0;  // shares of the rows
  // Share of the values that are the commonest of their column. Zeros, before standardising moved them.
  double zeros = 0;

  // image-flat and image-cnn; or one of classification-table, regression-table, sequence.
  std::vector<std::string> kinds() const;
};

// Looks at some thousands of rows at most, evenly spread.
DataProfile profile_of(const DataParts& data);
// One sentence for people.
std::string text_of(const DataProfile& profile);

struct Bounds {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
};

struct Recipe {
  std::string name;  // of the file, without .toml
  std::string kind, summary;
  std::map<std::string, Bounds> bounds;  // of rows, features, classes, zeros
  Index place = 100;                     // in a race with little time those of the first places begin
  std::string text;                      // the whole file
};

// Throws FileError, naming `file` and line, for a file that is not a recipe; the configuration is not settled yet.
Recipe read_recipe(const std::string& text, const std::string& file);
// Sets what the recipe gives; the rest of the configuration stays.
void apply(const Recipe& recipe, RunConfig& config);
bool fits(const Recipe& recipe, const DataProfile& profile);

// What recipes are for: image-flat, image-cnn, classification-table, regression-table, sequence.
const std::vector<std::string>& recipe_kinds();

// By name.
const std::vector<Recipe>& shipped_recipes();
// Every .toml of a folder, by name. Throws FileError if there is none.
std::vector<Recipe> recipes_in(const std::filesystem::path& folder);
// One of those shipped, or, if it ends in .toml, a file. Throws UsageError listing the known names.
Recipe recipe_named(const std::string& name);

}  // namespace espalier
