// JSON that a file of a model brings along. A value takes up to 64 bytes of memory and may be three bytes of text, so
// that a text could make a tree of twenty times its size: there are limits to that. Included where such text is read
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "espalier/core/error.h"

namespace espalier {

// Counts values as a parser meets them, and stops it behind the last one that is allowed. (The parser that makes a tree
// could ask at each value, too, but then goes through all of a list again for every object in it.)
class ValueCounter final : public nlohmann::json::json_sax_t {
 public:
  explicit ValueCounter(std::size_t most) : most_(most) {}
  bool too_many() const { return values_ > most_; }

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(std::int64_t) override { return count(); }
  bool number_unsigned(std::uint64_t) override { return count(); }
  bool number_float(double, const std::string&) override { return count(); }
  bool string(std::string&) override { return count(); }
  bool binary(nlohmann::json::binary_t&) override { return count(); }
  bool start_object(std::size_t) override { return count(); }
  bool start_array(std::size_t) override { return count(); }
  bool key(std::string&) override { return true; }
  bool end_object() override { return true; }
  bool end_array() override { return true; }
  // Is found once more when the tree is made.
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  bool count() { return ++values_ <= most_; }
  std::size_t values_ = 0, most_;
};

// Throws nlohmann's exceptions, and FileError for more values than a text of that length has use for: half a million,
// and one for every 16 bytes. (A column of a table has one for every 13, and there are at most 2^17 columns.)
template <typename Json>
Json json_in(const std::string& text, const std::string& file) {
  const std::size_t most = (std::size_t{1} << 19) + text.size() / 16;
  ValueCounter counter(most);
  nlohmann::json::sax_parse(text, &counter);
  if (counter.too_many())
    throw FileError(
        fmt::format("{}: expected at most {} values in {} bytes of JSON, found more", file, most, text.size()));
  return Json::parse(text);
}

}  // namespace espalier
