// Tables: from a CSV file to data sets for training, validation and testing, in two passes over the file.
//
//   1  profile   what each column holds: numbers, words, dates; what the target is
//   2  encode    each field to four bytes: a float, or the number of a word. In memory; from a limit on in a temporary
//                file that is mapped, so that a table may be larger than memory
//   3  split     rows to parts, class by class: a function of (seed, row)
//   4  fit       means, medians, frequent words: of the training part only (datasets/preprocessing.h)
//
// A sample's features are made of its cells when it is read.
//
// What a column is: numbers if nine tenths of its fields that are not missing are, or half of them if they have
// decimals or a wide range; the others are missing then. Dates if all look like them (then it is ignored, with a note);
// else words. A column that counts the rows, or is called an ID and has another value in every row, is ignored, unless
// it is all there is. The decimal mark is that of most numbers. Rows that repeat the header, and totals at the end, are
// left out (datasets/table/rows.h).
//
// The target is the last column, or that which is asked for; in a file without a header, the last that holds anything.
// It is a class if it has words, or integers of which at most `most_integer_classes` differ and each stands in two rows
// or more on average; else a number. Words that stand beside numbers in few rows are strays: a tenth, or beside classes
// a hundredth or a single one. Rows without a target are left out and counted. Infinite numbers, and those no float
// holds, count as missing.
//
// Nothing that is guessed, replaced, ignored or left out goes unsaid: see DataParts::notes.
//
// Invariants (tests/datasets/table_test.cpp names them by number):
//   1. The parts are disjoint and together all rows with a target; each has its share of every class, within one row.
//   2. Nothing of rows outside the training part changes a bit of the preprocessing, but what the file is written in,
//      which classes there are, whether a column is of numbers or words or counts the rows, and the offset of large
//      numbers.
//   3. The parts hold the same bits whether cells are in memory or in a file.
#pragma once

#include <filesystem>
#include <string>

#include "espalier/datasets/parts.h"
#include "espalier/datasets/table/options.h"
#include "espalier/datasets/table/reader.h"

namespace espalier {

// A fifth of the rows, or test_file, is for testing. Throws FileError for files that cannot be read or do not go
// together, UsageError for columns that do not exist.
DataParts load_table(const std::filesystem::path& file, const std::filesystem::path& test_file,
                     const TableOptions& options);
// Reads from a string instead of a file; errors call it `name`.
DataParts load_table_text(const std::string& name, const std::string& text, const TableOptions& options);

}  // namespace espalier
