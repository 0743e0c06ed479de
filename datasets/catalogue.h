// Data by name: the sources that are known, and one line that loads any of them.
//
//   const DataParts data = load("mnist");              // $ESPALIER_DATA or ./data; held out, standardised
//   const DataParts data = load("folder/adult.csv.gz", {.table = {.target = "income"}});
//   data_sources().add({.name = "two-moons", .line = "two half circles", .read = ...});   // from outside the tree
//
// Files are recognised by their ending, in small or capital letters: tables (.csv, .tsv), sparse rows (.svm, .libsvm)
// and texts (.txt), each also with .gz; or have any name, if their format is given.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "espalier/core/catalogue.h"
#include "espalier/datasets/parts.h"
#include "espalier/datasets/table.h"
#include "espalier/datasets/text.h"

namespace espalier {

struct LoadOptions {
  std::string folder;               // where files are looked for; empty: $ESPALIER_DATA, then ./data
  Index validation = 5000;          // samples held out of the training part, at most a tenth of it
  std::uint64_t seed = 1;           // of what is drawn at random: the parts
  TableOptions table = {};          // of tables; their validation and seed are the two above
  TextOptions text = {};            // of texts; their validation is the one above
  std::filesystem::path test_file;  // of a table: what is tested on; empty: a part of the table
  std::string format = "auto";      // of a file: csv, libsvm or text; auto: by its ending
  bool standardise = true;          // false: samples of images and signals stay as they were read
};

struct DataSource {
  std::string name, line;  // what to type, or, ending in ':', what to type before a folder; one line for people
  std::string title;       // in sentences: "MNIST", "generated digits"
  // Returns train and test at least; a source without a validation part gets one held out. folder: one for which holds
  // is true, or what is typed behind the name; empty if the source is not one of files.
  std::function<DataParts(const std::filesystem::path& folder, const LoadOptions& options)> read;
  bool is_table = false;
  // Of a source that lies in files:
  std::string files = {};                                               // which ones, for people
  std::function<bool(const std::filesystem::path& folder)> holds = {};  // whether any of them is in a folder
  std::string substitute = {};                                          // the source that is generated in their place

  bool from_files() const { return holds != nullptr; }
  bool takes_folder() const { return name.ends_with(':'); }
  std::string form() const { return takes_folder() ? name + "FOLDER" : name; }
};

// The sources whose names are known; those of files are recognised besides (names_file).
Catalogue<DataSource>& data_sources();

// The source of this name, or null: "mnist", "idx:folder/emnist-letters".
const DataSource* source_of(const std::string& name);

// Whether load takes the name for that of a file: its ending is known, or a format is given. Throws UsageError for a
// format that is none, like all that take one.
bool names_file(const std::string& name, const std::string& format = "auto");
// Whether data of this name are a table: a file of the format csv or libsvm, or a source that says so.
bool names_table(const std::string& name, const std::string& format = "auto");
// Whether a table's file is of LIBSVM's format.
bool names_libsvm(const std::string& name, const std::string& format = "auto");
// Whether load knows the name.
bool knows_data(const std::string& name, const std::string& format = "auto");
// What load understands, for help and errors: "mnist, cifar10, ..., or a file that ends in .csv, ... (or .gz), or one
// of the format csv, libsvm or text"
std::string data_help();
// That there are no data of this name, and which were meant. beside: what might have been said instead, "auto, ".
UsageError unknown_data(const std::string& name, const std::string& beside = "");
std::string format_help();  // "auto, csv, libsvm or text"

// The folder in which a source's files lie (find_data); empty if they are found nowhere, or the source has none.
std::filesystem::path folder_of(const DataSource& source, const std::string& folder);

// Data by name, or a file: read, some of train held out, all parts standardised with the moments of train (images
// channel by channel, tables column by column, tokens never). Throws UsageError for a name that is not known, FileError
// for files that are missing or bad.
DataParts load(const std::string& name, const LoadOptions& options = {});

}  // namespace espalier
