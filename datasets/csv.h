// CSV, a row at a time, from files of any size. Nothing is copied and nothing is allocated per row: a field is a view
// of the buffer into which a chunk of the file was read.
//
//   chunk of the file   ...,39,State-gov,"Doe, ""J"".",<=50K\n50,Self-...
//   fields of the row       39 State-gov  Doe, "J".   <=50K
//
// What is read (RFC 4180, and what files hold besides):
//   - text in UTF-8, Latin-1 or UTF-16 (datasets/charset.h), plain or gzipped: fields are UTF-8 always
//   - rows end in LF, CR LF or CR CR LF, the last one also in nothing
//   - the delimiter and whether the first row names the columns are settled from the first rows, unless the options say
//     (datasets/dialect.h); a first line "sep=;", as Excel has it, says too
//   - a field in quotes may hold delimiters, line ends, and quotes as ""; in an unquoted field a quote is a character
//   - spaces of every kind around fields are not part of them, unless quoted
//   - empty lines are no rows, unless the table has a single column: then they are missing values
//   - lines that begin with # and are not cut into as many fields as the others are comments: skipped and counted
//   - last columns without a name in which no row has anything (delimiters at the end of every line) are dropped; in a
//     file without a header they stay, as columns of missing values, and rows may end before them
//   - columns without a name in a header are called "Unnamed: 0", "Unnamed: 1", ... by their place, from 0, as pandas
//   has
//     it; a header that is one name short of the rows, as R writes it, has no name for the first column
//   - without a header, columns are called c1, c2, ...
// What is not: ragged rows beyond a number that may be skipped, names that two columns have, NUL bytes, text behind a
// closing quote, a quote that is never closed, bytes that are no text, and rows and fields longer than a limit, so that
// memory is bounded whatever the file. Each ends in a FileError that names file, line, what was expected and what was
// found.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/real.h"
#include "espalier/datasets/dialect.h"
#include "espalier/datasets/numbers.h"

namespace espalier {

class Utf8Source;

struct CsvOptions {
  Dialect dialect = {};
  Index skip_bad_rows = 0;  // rows of another number of fields that may be left out
  std::size_t longest_row_bytes = std::size_t{1} << 22, longest_field_bytes = std::size_t{1} << 16;
};

// What was read over so far.
struct CsvSkipped {
  bool sep_line = false;                 // "sep=;" in the first line
  bool short_header = false;             // it has no name for the first column
  Index trailing_columns = 0;            // without a name and without values
  Index comments = 0, comment_line = 0;  // lines that begin with #, and where the first of them is
  Index bad_rows = 0, bad_row_line = 0;  // rows of another number of fields, likewise
};

// A field in quotes, as the reader takes it: quotes within are doubled.
std::string in_csv_quotes(std::string_view field);

class CsvReader {
 public:
  // Opens the file, and settles delimiter, header and number of columns from its first lines. Throws FileError.
  explicit CsvReader(const std::filesystem::path& path, CsvOptions options = {});
  // Reads from a string instead of a file; errors call it `name`.
  CsvReader(std::string name, std::string text, CsvOptions options = {});
  ~CsvReader();
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;

  const std::string& name() const { return name_; }
  // As settled: delimiter and header are, the decimal mark is as the options have it. The charset is Charset::detect as
  // long as all that was read is ASCII, which means the same in UTF-8 and Latin-1: ask when all rows are read.
  Dialect dialect() const;
  char delimiter() const { return options_.dialect.delimiter; }
  bool has_header() const { return options_.dialect.header == Header::yes; }
  const std::vector<std::string>& columns() const { return columns_; }  // their names, all different
  // Whether the header has no name for this column.
  bool unnamed(std::size_t column) const { return has_header() && header_[column].empty(); }

  // Goes to the next row; false after the last one. Throws FileError.
  bool next();
  // The fields of this row, as many as columns; valid until next().
  std::span<const std::string_view> fields() const { return fields_; }
  // Where this row begins, from 1.
  Index line() const { return row_line_; }
  // Whether this row is the header once more: files that were put together one behind the other.
  bool repeats_header() const;
  const CsvSkipped& skipped() const { return skipped_; }

  // FileError: "FILE: line LINE: what"
  [[noreturn]] void fail(const std::string& what) const { fail_at(row_line_, what); }

 private:
  void begin();
  std::string_view sample();
  void take_sep_line();
  void settle(std::string_view sample);
  void take_header(bool short_of_one);
  void name_columns();
  bool refill();
  bool skip_comment();
  bool scan_row();
  char* scan_quoted(char* at, bool& complete);
  void add_field(const char* begin, const char* end);
  bool fits();
  std::string misfit() const;
  void unescape();
  [[noreturn]] void fail_at(Index line, const std::string& what) const;

  std::string name_;
  CsvOptions options_;
  std::unique_ptr<Utf8Source> source_;
  std::vector<char> buffer_;                   // [capacity + padding]
  char *at_ = nullptr, *end_ = nullptr;        // what of the buffer is still to be read
  bool ended_ = false;                         // the source is exhausted
  Index row_line_ = 0, next_line_ = 1;         // where this row begins, and the next
  Index scanned_lines_ = 0;                    // of the row being scanned
  bool quoted_ = false;                        // that row has a field in quotes
  std::size_t width_ = 0;                      // fields of most rows
  std::size_t trailing_ = 0;                   // so many last ones of them have nothing in the first rows
  std::vector<std::string> columns_, header_;  // header_: as it stands in the file; empty if there is none
  std::vector<std::string_view> fields_;
  std::vector<std::size_t> doubled_;  // fields in which "" stands for "
  CsvSkipped skipped_;
};

}  // namespace espalier
