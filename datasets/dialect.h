// How a file of rows is written: which character stands between fields, whether the first line names the columns, which
// mark is the decimal one, which encoding its text has. What the options leave open is settled from the file, once, in
// training; it is saved with the model, and holds for every file that the model reads afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

enum class Header { detect, yes, no };
enum class Charset { detect, utf8, latin1, utf16 };  // datasets/charset.h

struct Dialect {
  char delimiter = 0;  // 0: to be settled
  Header header = Header::detect;
  char decimal = 0;  // '.' or ','; 0: to be settled
  Charset charset = Charset::detect;
  bool operator==(const Dialect&) const = default;
};

// Names of the command line and of files; throw UsageError for others.
char delimiter_named(std::string_view name);   // auto (0), comma, semicolon, tab, pipe, space, or the character itself
Header header_named(std::string_view name);    // auto, yes, no
char decimal_named(std::string_view name);     // auto (0), point, comma
Charset charset_named(std::string_view name);  // auto, utf-8, latin-1, utf-16
std::string name_of_delimiter(char delimiter);
std::string_view name_of(Header header);
std::string_view name_of_decimal(char decimal);
std::string_view name_of(Charset charset);

// --- what the first rows of a file say ------------------------------------------------------------------------------
// Nothing here throws: a sample may be of any kind, and reading on says what is wrong with it.

using SampleRows = std::vector<std::vector<std::string>>;

// A file's first rows, at most 200, cut at a delimiter: quotes as datasets/csv.h has them, empty lines are no rows; a
// row whose last quote is not closed, and all behind it, is left out. sample: the beginning of the file, in UTF-8.
SampleRows cut_sample(std::string_view sample, char delimiter);
// How many fields a line has, if it is a row of its own; 0 if it ends within quotes.
std::size_t fields_of_line(std::string_view line, char delimiter);

// Leaves out rows that begin with # and have another number of fields than most that do not.
void drop_comments(SampleRows& rows);

// The delimiter, by the rules in dialect.cpp: comma, semicolon, tab or pipe.
char detected_delimiter(std::string_view sample);

// What rows have in common.
struct SampleShape {
  std::size_t fields = 0;     // most of them have so many
  std::size_t trailing = 0;   // so many of the last have nothing in any row; a row may also end before them
  bool short_header = false;  // the first row has one field fewer than all others, whose first fields are names
};
SampleShape shape_of(const SampleRows& rows);

// Whether the first of these rows names the columns, by the rules in header.cpp. Rows of another number of fields than
// the first has are passed over.
bool detected_header(const SampleRows& rows);

}  // namespace espalier
