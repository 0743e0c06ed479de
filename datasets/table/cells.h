// A table as cells, four bytes a field: in memory, or beyond a limit in a temporary file that is mapped.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/datasets/table/layout.h"

namespace espalier::table {

// [rows, width] cells, appended row by row; in memory, or beyond a limit in a temporary file without a name.
class CellStore {
 public:
  CellStore(std::size_t width, std::size_t memory_bytes) : width_(width), memory_bytes_(memory_bytes) {}
  ~CellStore();
  CellStore(const CellStore&) = delete;
  CellStore& operator=(const CellStore&) = delete;

  // Throws FileError if the temporary file cannot be written.
  void append(std::span<const Cell> row);
  // To be called when all rows are there, before any is read.
  void finish();
  Index rows() const { return static_cast<Index>(rows_); }
  std::size_t width() const { return width_; }
  std::span<const Cell> row(Index i) const { return {(mapped_ ? mapped_ : buffer_.data()) + i * width_, width_}; }
  // Calls body(row number, cells) for all rows in order; a mapped file does not stay in memory.
  template <typename Body>
  void for_each_row(Body&& body) const {
    std::size_t forgotten = 0;
    for (Index i = 0; i < rows(); ++i) {
      body(i, row(i));
      forgotten = forget(forgotten, i * width_);
    }
    forget_rest(forgotten);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const;
  void write();
  // Lets go of the pages of a mapped file between these cells, if they are many; returns where that ended.
  std::size_t forget(std::size_t begin, std::size_t end) const;
  void forget_rest(std::size_t begin) const;

  std::size_t width_, memory_bytes_, rows_ = 0, file_cells_ = 0;
  std::filesystem::path folder_ = std::filesystem::temp_directory_path();
  std::vector<Cell> buffer_;
  int file_ = -1;
  Cell* mapped_ = nullptr;
};

// The words of a column, numbered as they came. Beyond a limit new ones get no number.
class Dictionary {
 public:
  Cell number_of(std::string_view word);
  const std::vector<std::string>& words() const { return words_; }

 private:
  WordMap numbers_;
  std::vector<std::string> words_;
  std::size_t bytes_ = 0;
};

// A table as cells: columns, then the target (the class, or the bits of a float, less the target's offset).
struct Table {
  std::string name;
  CellStore cells;
  std::vector<Dictionary> dictionaries = {};     // [columns]
  std::vector<std::vector<Cell>> renumber = {};  // [columns]: a word's number here -> in the preprocessing; or empty
  Index without_target = 0;                      // rows left out, for their target is missing
  StrayWords target = {};                        // or a word among numbers
};

// Reads all rows again, but those that the profile left out, and those without a target. target: knows the target's
// column only; with strays, words in it are missing. Throws FileError.
struct TargetColumn {
  const Encoder& encoder;
  bool has_strays = false;
};
std::unique_ptr<Table> encode(CsvReader& reader, const Profile& profile, const Layout& layout, TargetColumn target,
                              const TableOptions& options);

}  // namespace espalier::table
