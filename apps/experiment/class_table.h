// A confusion (optim/confusion.h) as text, for people.
#pragma once

#include <string>
#include <vector>

#include "espalier/datasets/parts.h"
#include "espalier/optim/confusion.h"

namespace espalier {

// What the classes of these data are called.
std::vector<std::string> class_names_of(const DataParts& data);

// How much of it is shown if there are too many classes for a matrix.
struct ClassTableSize {
  std::size_t classes = 100;  // those with the lowest F1
  std::size_t mistakes = 10;  // the most frequent
};

// Of each class its rows, precision, recall and F1, and of up to 12 classes what they were taken for:
//
//   by class             rows  precision    recall        F1  taken for:      no    yes
//   no                     49    97.87 %   93.88 %   95.83 %                  46      3
//   yes                    31    90.91 %   96.77 %   93.75 %                   1     30
//
// Of more classes, the most frequent mistakes follow. Empty for a confusion of no classes or rows. names: of the
// classes, as files have them.
std::string class_table_of(const Confusion& confusion, const std::vector<std::string>& names,
                           const ClassTableSize& size = {});

}  // namespace espalier
