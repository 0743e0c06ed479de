// A catalogue: what can be chosen by name, one shape for methods, optimizers, losses, models and data sets. Help texts,
// error messages and tables of names are made from it, so that an entry is all there is to add.
//
//   struct LossEntry {
//     std::string name, line;                // the name to type; one line for people
//     std::function<Loss(...)> make;         // whatever the entry is a recipe for
//   };
//   Catalogue<LossEntry>& losses();          // a function-local static that holds the built-in entries
//
//   losses().named("huber").make(...);       // or UsageError: [loss] expected softmax, mse or huber, got "hubert"
//   losses().add({.name = "mine", ...});     // from outside the tree, before threads start
//
// Invariants (tests/core/catalogue_test.cpp names them by number):
//   1. No two entries have the same name.
//   2. An entry's address stays valid when others are added.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/core/error.h"
#include "espalier/core/nearest.h"

namespace espalier {

// Entry: a struct with at least `std::string name, line`.
template <class Entry>
class Catalogue {
 public:
  // what: "optimizer", for messages. Throws UsageError if two entries have the same name.
  explicit Catalogue(std::string what, std::vector<Entry> entries = {}) : what_(std::move(what)) {
    for (Entry& entry : entries) add(std::move(entry));
  }
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  // The entry of that name. Throws UsageError, listing the names and guessing which was meant, if there is none.
  const Entry& named(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    throw not_among(all_names(), what_, name);
  }
  // The entry of that name, or null.
  const Entry* find(std::string_view name) const {
    for (const Entry& entry : entries_)
      if (entry.name == name) return &entry;
    return nullptr;
  }
  // All entries, in the order in which they were added.
  const std::deque<Entry>& entries() const { return entries_; }
  // Throws UsageError for an entry without a name, and if the name is taken. Not while other threads read.
  void add(Entry entry) {
    require(!entry.name.empty(), "[{}] expected an entry with a name, got none", what_);
    require(find(entry.name) == nullptr, "[{}] expected a new name, got \"{}\", which is taken", what_, entry.name);
    entries_.push_back(std::move(entry));
  }
  std::vector<std::string> all_names() const {
    std::vector<std::string> all;
    for (const Entry& entry : entries_) all.push_back(entry.name);
    return all;
  }
  // "a, b or c", for help and errors.
  std::string names() const { return listed(all_names()); }
  const std::string& what() const { return what_; }

 private:
  std::string what_;
  std::deque<Entry> entries_;  // not a vector: addresses stay
};

}  // namespace espalier
