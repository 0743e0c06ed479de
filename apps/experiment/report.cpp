#include "espalier/experiment/report.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/version.h"
#include "espalier/experiment/mask_log.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/experiment/trained_network.h"

namespace espalier {

// Made by apps/report/embed.cmake of the files there; without the library its two texts are empty.
extern const char* const embedded_page_html;
extern const char* const embedded_page_css;
extern const char* const embedded_page_js;
extern const char* const embedded_charts;
extern const char* const embedded_charts_licence;

namespace {

constexpr std::uintmax_t most_bytes_read = std::uintmax_t{1} << 28;
constexpr std::size_t most_prunings = 500;  // on a page

// The lines of a file of JSON, as far as they are whole; none if there is no such file.
std::vector<Json> lines_in(const std::filesystem::path& file) {
  std::vector<Json> lines;
  if (std::error_code none; !std::filesystem::exists(file, none)) return lines;
  std::istringstream text(read_file(file, most_bytes_read));
  for (std::string line; std::getline(text, line);) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) break;
    lines.push_back(std::move(json));
  }
  return lines;
}

// Of very many prunings those with a histogram, the last one, and some of the others.
std::vector<Json> thinned(std::vector<Json> lines) {
  const auto is_pruning = [](const Json& line) { return line.contains("pruned_at_step"); };
  const auto prunings = static_cast<std::size_t>(std::ranges::count_if(lines, is_pruning));
  if (prunings <= most_prunings) return lines;
  const std::size_t step = (prunings + most_prunings - 1) / most_prunings;
  std::vector<Json> kept;
  std::size_t n = 0;
  for (Json& line : lines) {
    const bool pruning = is_pruning(line);
    n += pruning;
    const bool told = pruning && !line["layers"].empty() && line["layers"][0].contains("histogram");
    if (!pruning || told || n % step == 0 || n == prunings) kept.push_back(std::move(line));
  }
  return kept;
}

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

// The rows of the result's table, with the words for people.
Json quantities_of(const Result& result) {
  Json all = Json::array();
  for (const Quantity& q : quantities()) {
    const auto dense = result.dense ? q.dense(*result.dense) : std::optional<double>();
    const auto sparse = q.sparse(result.sparse);
    if (!sparse) continue;
    const auto ratio = q.ratio_of(result);
    all.push_back({{"title", q.title},
                   {"key", q.ratio ? Json(q.ratio) : Json()},
                   {"dense", number_or_null(dense)},
                   {"sparse", *sparse},
                   {"dense_text", dense ? Json(q.text(*dense)) : Json()},
                   {"sparse_text", q.text(*sparse)},
                   {"ratio", number_or_null(ratio)},
                   {"word", ratio ? Json(*ratio >= 1 ? q.better : q.worse) : Json()}});
  }
  return all;
}

// Which weights of a layer are live, and how many of each input's.
Json final_mask_of(const Parameter& W) {
  constexpr Index most_drawn = Index{1} << 18;
  const Index col_step = (W.cols() + most_drawn - 1) / most_drawn;
  const Index drawn_cols = (W.cols() + col_step - 1) / col_step;
  const Index row_step = (W.rows() * drawn_cols + most_drawn - 1) / most_drawn;
  Bits live((W.rows() + row_step - 1) / row_step * drawn_cols);
  std::vector<Index> of_input(static_cast<std::size_t>(W.cols()));
  W.for_each_weight([&](Index r, Index c, Index at) {
    if (W.value()[static_cast<std::size_t>(at)] == 0) return;
    ++of_input[static_cast<std::size_t>(c)];
    if (r % row_step == 0 && c % col_step == 0) live.set(r / row_step * drawn_cols + c / col_step);
  });
  Json json = {{"name", W.name()},     {"rows", W.rows()},     {"cols", W.cols()},
               {"row_step", row_step}, {"col_step", col_step}, {"live", live.text()}};
  if (W.cols() <= most_drawn / 16) json["of_input"] = of_input;
  return json;
}

// What the model's file says; nothing if it cannot be read.
Json network_of(const std::filesystem::path& run) {
  try {
    const TrainedNetwork network = open_network(run);
    Json json = {{"layers", Json::array()}, {"input", Json::array()}};
    constexpr std::size_t most_layers = 64;
    for (const Parameter* W : parameters_of(static_cast<const Module&>(*network.model)))
      if (W->prunable() && json["layers"].size() < most_layers) json["layers"].push_back(final_mask_of(*W));
    const Shape& input = network.card.input;
    for (int axis = 0; axis < input.rank(); ++axis) json["input"].push_back(input[axis]);
    if (network.encoder) {
      const Preprocessing& rules = network.encoder->rules();
      for (Index c = 0; c < rules.source_column_count() && c < 4096; ++c)
        json["columns"].push_back(rules.column_name(c));
      json["column_of_feature"] = rules.source_columns();
    }
    return json;
  } catch (const Error&) {
    return {};
  }
}

Json data_of(const std::filesystem::path& run, bool whole) {
  const std::optional<Result> result = result_in(run);
  if (!result) throw FileError(fmt::format("{}: expected a run that is finished, found no result", run.string()));
  constexpr std::uintmax_t most_config_bytes = 1 << 20;
  std::error_code none;
  const std::filesystem::path config = run / "config.toml";
  Json json = {{"folder", run.lexically_normal().string()},
               {"config", std::filesystem::exists(config, none) ? read_file(config, most_config_bytes) : std::string()},
               {"result", to_json(*result)},
               {"quantities", quantities_of(*result)}};
  std::vector<Json> metrics = thinned(lines_in(run / "metrics.jsonl"));
  if (!whole) std::erase_if(metrics, [](const Json& line) { return line.contains("pruned_at_step"); });
  json["metrics"] = std::move(metrics);
  if (!whole) return json;
  json["masks"] = lines_in(run / mask_file_name);
  json["network"] = network_of(run);
  return json;
}

// As the contents of an element <script>, which ends at the first "</script", even in quotes.
std::string for_script(const Json& json) {
  std::string text;
  for (const char c : json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace))
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  return text;
}

std::string for_element(std::string_view text) {
  std::string escaped;
  for (const char c : text)
    if (c == '<' || c == '&')
      escaped += c == '<' ? "&lt;" : "&amp;";
    else
      escaped += c;
  return escaped;
}

// {{name}} is replaced once; what is put in its place is not looked at again.
std::string filled_in(std::string_view page, const std::map<std::string_view, std::string_view>& parts) {
  std::string text;
  while (true) {
    const std::size_t open = page.find("{{"), close = page.find("}}", open);
    text += page.substr(0, open);
    if (close == std::string_view::npos) return text;
    text += parts.at(page.substr(open + 2, close - open - 2));
    page.remove_prefix(close + 2);
  }
}

}  // namespace

std::vector<std::filesystem::path> runs_in(const std::filesystem::path& folder) {
  std::error_code none;
  if (std::filesystem::exists(folder / "result.json", none)) return {folder};
  std::vector<std::filesystem::path> runs;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none))
    if (std::filesystem::exists(entry.path() / "result.json", none)) runs.push_back(entry.path());
  if (runs.empty())
    throw FileError(fmt::format("{}: expected a run that is finished, or a folder of such runs, found no result.json",
                                folder.string()));
  std::ranges::sort(runs);
  return runs;
}

std::string report_of(const std::vector<std::filesystem::path>& runs) {
  Json data = {{"version", version()}, {"runs", Json::array()}};
  for (const auto& run : runs) data["runs"].push_back(data_of(run, /*whole=*/runs.size() == 1));
  const std::string text = for_script(data), licence = for_element(embedded_charts_licence);
  return filled_in(embedded_page_html, {{"mark", report_mark},
                                        {"css", embedded_page_css},
                                        {"charts", embedded_charts},
                                        {"licence", licence},
                                        {"data", text},
                                        {"js", embedded_page_js}});
}

std::filesystem::path write_report(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / report_file_name;
  write_report(runs_in(folder), file);
  return file;
}

void write_report(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& file) {
  std::error_code none;
  if (std::filesystem::is_regular_file(file, none) && std::filesystem::file_size(file, none) > 0) {
    std::string begins(4096, '\0');
    std::ifstream(file, std::ios::binary).read(begins.data(), static_cast<std::streamsize>(begins.size()));
    if (begins.find(report_mark) == std::string::npos)
      throw FileError(fmt::format("{}: expected no file there, or a report, found another one", file.string()));
  }
  write_file_atomically(file, report_of(runs));
}

}  // namespace espalier
