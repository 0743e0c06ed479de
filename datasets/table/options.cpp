#include "espalier/datasets/table/options.h"

#include <algorithm>
#include <initializer_list>

#include "espalier/core/error.h"

namespace espalier {

void check(const TableOptions& o) {
  const auto one_of = [](const char* option, const std::string& value, std::initializer_list<std::string_view> known) {
    require(std::ranges::find(known, value) != known.end(), "[table] {}: expected {}, got \"{}\"", option,
            fmt::join(known, " or "), value);
  };
  one_of("task", o.task, {"auto", "classification", "regression"});
  one_of("scaling", o.scaling, {"standard", "robust", "none"});
  one_of("encoding", o.encoding, {"one-hot", "ordinal"});
  one_of("impute", o.impute, {"auto", "mean", "median"});
  require(o.validation >= 0, "[table] validation: expected at least 0 rows, got {}", o.validation);
  require(o.test_fraction > 0 && o.test_fraction < 1, "[table] test fraction: expected a fraction in (0, 1), got {}",
          o.test_fraction);
}

}  // namespace espalier
