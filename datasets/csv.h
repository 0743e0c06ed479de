// CSV, a row at a time, from files of any size. Nothing is copied and nothing is allocated per row: a field is a view
// of the buffer into which a chunk of the file was read.
//
//   chunk of the file   ...,39,State-gov,"Doe, ""J"".",<=50K\n50,Self-...
//   fields of the row       39 State-gov  Doe, "J".   <=50K
//
// What is read (RFC 4180, and what files hold besides):
//   - rows end in LF or CRLF, the last one also in nothing; empty lines are no rows; a UTF-8 byte-order mark is skipped
//   - the delimiter is a comma, semicolon, tab or pipe: the one that cuts the first lines into equally many fields
//   - a field in quotes may hold delimiters, line ends, and quotes as ""; in an unquoted field a quote is a character
//   - spaces around fields are not part of them, unless quoted
//   - the first row is a header if all its fields are words, unless the options say which it is
//   - without a header, columns are called c1, c2, ...
//   - a file may be gzipped; the reader goes by its content, not by its name
// What is not: ragged rows, NUL bytes, text behind a closing quote, a quote that is never closed, UTF-16, and rows and
// fields longer than a limit, so that memory is bounded whatever the file. Each ends in a FileError that names file,
// line, what was expected and what was found.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/real.h"
#include "espalier/datasets/numbers.h"

namespace espalier {

struct CsvOptions {
  enum class Header { detect, yes, no };
  char delimiter = 0;  // 0: detected
  Header header = Header::detect;
  std::size_t longest_row_bytes = std::size_t{1} << 22, longest_field_bytes = std::size_t{1} << 16;
};

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
  char delimiter() const { return options_.delimiter; }
  bool has_header() const { return options_.header == CsvOptions::Header::yes; }
  const std::vector<std::string>& columns() const { return columns_; }  // their names, all different

  // Goes to the next row; false after the last one. Throws FileError.
  bool next();
  // The fields of this row, as many as columns; valid until next().
  std::span<const std::string_view> fields() const { return fields_; }
  // Where this row begins, from 1.
  Index line() const { return row_line_; }

  // FileError: "FILE: line LINE: what"
  [[noreturn]] void fail(const std::string& what) const { fail_at(row_line_, what); }

 private:
  class Source;
  void begin();
  void take_header();
  bool refill();
  bool scan_row();
  char* scan_quoted(char* at, bool& complete);
  void add_field(const char* begin, const char* end);
  [[noreturn]] void fail_at(Index line, const std::string& what) const;

  std::string name_;
  CsvOptions options_;
  std::unique_ptr<Source> source_;
  std::vector<char> buffer_;             // [capacity + padding]
  char *at_ = nullptr, *end_ = nullptr;  // what of the buffer is still to be read
  bool ended_ = false;                   // the source is exhausted
  Index row_line_ = 0, next_line_ = 1;   // where this row begins, and the next
  Index scanned_lines_ = 0;              // of the row being scanned
  std::vector<std::string> columns_;
  std::vector<std::string_view> fields_;
  std::vector<std::size_t> doubled_;  // fields in which "" stands for "
};

}  // namespace espalier
