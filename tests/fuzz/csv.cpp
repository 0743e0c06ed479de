// libFuzzer's harness of the CSV reader. The first byte says what the options say, the rest is a file. Whatever it
// holds, it ends in a FileError of one printable line, or is read; then all rows have as many fields as there are
// columns, all text is UTF-8, and what was settled reads the same once more.
#include "espalier/datasets/csv.h"

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "espalier/core/error.h"
#include "espalier/datasets/quoted.h"
#include "espalier/datasets/utf8.h"

namespace espalier {
namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

CsvOptions options_of(std::uint8_t byte) {
  CsvOptions options{.longest_row_bytes = std::size_t{1} << 19, .longest_field_bytes = 1000};
  if (byte & 1) options.dialect.delimiter = ",;\t|"[byte >> 1 & 3];
  options.dialect.header = static_cast<Header>((byte >> 3) % 3);
  options.dialect.charset = static_cast<Charset>(byte >> 5 & 3);
  options.skip_bad_rows = byte >> 7 ? 3 : 0;
  return options;
}

struct Contents {
  std::vector<std::string> columns;
  std::vector<std::string> fields;
  Dialect dialect;
};

Contents read(const std::string& text, const CsvOptions& options) {
  CsvReader reader("fuzz", text, options);
  Contents contents{.columns = reader.columns(), .fields = {}, .dialect = {}};
  expect(std::set<std::string>(contents.columns.begin(), contents.columns.end()).size() == contents.columns.size());
  Index line = 0;
  while (reader.next()) {
    expect(reader.fields().size() == contents.columns.size() && reader.line() > line);
    line = reader.line();
    for (const std::string_view field : reader.fields()) {
      expect(field.size() <= options.longest_field_bytes && utf8_prefix(field) == field.size());
      contents.fields.emplace_back(field);
      for (const char decimal : {'.', ','}) {
        long double value = 0;
        read_number(field, decimal, value);
      }
      decimal_evidence(field);
      quoted(field);
    }
    (void)reader.repeats_header();
  }
  contents.dialect = reader.dialect();
  return contents;
}

void try_text(const std::string& text, CsvOptions options) {
  try {
    const Contents first = read(text, options);
    options.dialect = first.dialect;
    const Contents again = read(text, options);
    expect(again.columns == first.columns && again.fields == first.fields && again.dialect == first.dialect);
  } catch (const FileError& error) {
    const std::string_view what = error.what();
    expect(what.starts_with("fuzz: line ") && what.find('\n') == std::string_view::npos &&
           utf8_prefix(what) == what.size());
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  const espalier::CsvOptions options = espalier::options_of(data[0]);
  espalier::try_text(text, options);
  // The same across the end of the reader's first chunk.
  constexpr std::size_t chunk_bytes = std::size_t{1} << 18;
  if (bytes > 1 && data[1] % 16 == 0)
    espalier::try_text("#" + std::string(chunk_bytes - bytes / 2 - 2, ';') + "\n" + text, options);
  return 0;
}
