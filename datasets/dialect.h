// How a file of rows is written: which character stands between fields, whether the first line names the columns, which
// mark is the decimal one, which encoding its text has. What the options leave open is settled from the file, once, in
// training; it is saved with the model, and holds for every file that the model reads afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace espalier {

enum class Header { detect, yes, no };
enum class Charset { detect, utf8, latin1, utf16 };  // utf16: with a byte-order mark, or little-endian

struct Dialect {
  char delimiter = 0;  // 0: to be settled
  Header header = Header::detect;
  char decimal = 0;  // '.' or ','; 0: to be settled
  Charset charset = Charset::detect;
  bool operator==(const Dialect&) const = default;
};
// Names of the command line and of files; throw UsageError for others. "auto", "comma" or "," ...
char delimiter_named(std::string_view name);  // auto (0), comma, semicolon, tab, pipe, or the character itself
Header header_named(std::string_view name);   // auto, yes, no
char decimal_named(std::string_view name);    // auto (0), point, comma
Charset charset_named(std::string_view name); // auto, utf-8, latin-1, utf-16
std::string name_of_delimiter(char delimiter);
std::string_view name_of(Header header);
std::string_view name_of_decimal(char decimal);
std::string_view name_of(Charset charset);

// A file's first rows, cut at a delimiter, before anything is known: quotes and empty lines as csv.h has them.
std::vector<std::vector<std::string>> cut_sample(std::string_view sample, char delimiter);

// The delimiter, and whether the first of these rows names the columns, by the rules in dialect.cpp.
// sample: the beginning of the file, in UTF-8, whole lines.
char detected_delimiter(std::string_view sample);
bool detected_header(const std::vector<std::vector<std::string>>& rows);

}  // namespace espalier
