#include "espalier/experiment/mask_log.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "espalier/core/error.h"
#include "espalier/experiment/base64.h"

namespace espalier {
namespace {

// With them a report stays well below 5 MB.
constexpr std::uintmax_t most_bytes = 2'000'000;
constexpr Index most_frames = 240;
constexpr Index most_drawn = Index{1} << 18;              // positions of a layer
constexpr Index most_drawn_in_all = Index{1} << 20;       // and of all layers
constexpr Index most_explored = Index{1} << 22;           // positions of a layer whose history is remembered
constexpr std::uintmax_t histogram_bytes_of_layer = 400;  // about what it takes in metrics.jsonl

// Distances as LEB128: seven bits a byte, the lowest first; the highest bit says that more follow.
std::vector<std::uint8_t> gaps_between(const std::vector<Index>& ascending) {
  std::vector<std::uint8_t> bytes;
  Index before = -1;
  for (const Index at : ascending) {
    Index gap = at - before;
    for (; gap >= 128; gap >>= 7) bytes.push_back(static_cast<std::uint8_t>((gap & 127) | 128));
    bytes.push_back(static_cast<std::uint8_t>(gap));
    before = at;
  }
  return bytes;
}

// body(row, column) for each weight that is live; a null pattern has none of them left out.
template <typename Body>
void for_each_live(const PatternPtr& pattern, Index rows, Index cols, Index row_step, Body&& body) {
  for (Index r = 0; r < rows; r += row_step) {
    if (!pattern)
      for (Index c = 0; c < cols; ++c) body(r, c);
    else
      for (const std::uint32_t c : pattern->row(r)) body(r, static_cast<Index>(c));
  }
}

Index live_of(const PatternPtr& pattern, const PruneEvent& e) {
  return pattern ? pattern->nonzeros() : e.rows * e.cols;
}

// Weights that were live and still are.
Index survivors_of(const PruneEvent& e) {
  if (!e.before || !e.after) return std::min(live_of(e.before, e), live_of(e.after, e));
  Index both = 0;
  for (Index r = 0; r < e.rows; ++r) {
    const auto before = e.before->row(r), after = e.after->row(r);
    const std::uint32_t *a = before.data(),
                        *b = after.data(), *const a_end = a + before.size(), *const b_end = b + after.size();
    while (a != a_end && b != b_end) {  // without branches, of which half would be guessed wrong
      const std::uint32_t x = *a, y = *b;
      both += x == y;
      a += x <= y;
      b += y <= x;
    }
  }
  return both;
}

void add_counts(const PruneEvent& e, Json& layer) {
  const Index survivors = survivors_of(e);
  layer["died"] = live_of(e.before, e) - survivors;
  layer["born"] = live_of(e.after, e) - survivors;
  Bits inputs(e.cols);
  Index outputs = 0;
  for (Index r = 0; r < e.rows; ++r) outputs += !e.after || !e.after->row(r).empty();
  if (e.after)
    for (const std::uint32_t c : e.after->column()) inputs.set(c);
  layer["inputs"] = e.after ? inputs.live() : e.cols;
  layer["outputs"] = outputs;
}

Json json_of(const WeightHistogram& h) {
  return {{"limit", h.limit}, {"before", h.before}, {"after", h.after}};
}

}  // namespace

// --- bits ------------------------------------------------------------------------------------------------------------

Bits::Bits(Index count, bool live)
    : count_(count), words_(static_cast<std::size_t>((count + 63) / 64), live ? ~std::uint64_t{0} : 0) {
  if (live && count % 64) words_.back() &= (std::uint64_t{1} << (count % 64)) - 1;
}

void Bits::add(const Bits& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
}

Index Bits::live() const {
  Index live = 0;
  for (const std::uint64_t word : words_) live += std::popcount(word);
  return live;
}

std::vector<Index> Bits::differences(const Bits& other) const {
  std::vector<Index> all;
  for (std::size_t i = 0; i < words_.size(); ++i)
    for (std::uint64_t left = words_[i] ^ other.words_[i]; left != 0; left &= left - 1)
      all.push_back(static_cast<Index>(i) * 64 + std::countr_zero(left));
  return all;
}

std::string Bits::text() const {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>((count_ + 7) / 8));
  for (std::size_t b = 0; b < bytes.size(); ++b) bytes[b] = static_cast<std::uint8_t>(words_[b / 8] >> (b % 8 * 8));
  return base64_of(bytes);
}

Bits Bits::from_text(const std::string& text, Index count) {
  const std::vector<std::uint8_t> bytes = bytes_of_base64(text);
  if (static_cast<Index>(bytes.size()) != (count + 7) / 8)
    throw FileError(fmt::format("expected {} bits, found {} bytes", count, bytes.size()));
  Bits bits(count);
  for (std::size_t b = 0; b < bytes.size(); ++b) bits.words_[b / 8] |= std::uint64_t{bytes[b]} << (b % 8 * 8);
  return bits;
}

// --- the file --------------------------------------------------------------------------------------------------------

MaskLog::MaskLog(std::filesystem::path file, bool keeps_all)
    : path_(std::move(file)), kept_bytes_(keeps_all ? std::numeric_limits<std::uintmax_t>::max() : 0) {}

LogFile& MaskLog::file() {
  if (!file_) {
    file_ = std::make_unique<LogFile>(path_);
    file_->keep(kept_bytes_);
  }
  return *file_;
}

MaskLog::Layer MaskLog::layer_of(const PruneEvent& e, std::size_t layers) const {
  Layer layer{.rows = e.rows, .cols = e.cols};
  const Index limit = std::min(most_drawn, most_drawn_in_all / static_cast<Index>(layers));
  layer.col_step = (e.cols + limit - 1) / limit;
  layer.row_step = (e.rows * layer.drawn_cols() + limit - 1) / limit;
  layer.drawn = Bits(layer.drawn_rows() * layer.drawn_cols(), true);
  // What was live before training began has never learnt. A network that was dense while it learnt knows all weights.
  layer.explores = e.after && (e.step == 0 || e.before) && e.rows * e.cols <= most_explored;
  if (layer.explores) {
    layer.ever = Bits(e.rows * e.cols);
    if (e.step > 0)
      for_each_live(e.before, e.rows, e.cols, 1, [&](Index r, Index c) { layer.ever.set(r * e.cols + c); });
  }
  return layer;
}

bool MaskLog::is_due(std::size_t layers) {
  const double used = std::max(
      static_cast<double>(frame_bytes_ + histogram_bytes_of_layer * layers * static_cast<std::size_t>(frames_)) /
          static_cast<double>(most_bytes),
      static_cast<double>(frames_) / static_cast<double>(most_frames));
  if (over_ || used >= 1) return false;
  Index stride = 1;
  for (double left = 1 - used; left <= 0.5; left *= 2) stride *= 2;
  return (events_ - 1) % stride == 0;
}

void MaskLog::add(const std::vector<PruneEvent>& events, Json& layers) {
  if (events.empty() || events.front().rows == 0) return;  // of a layer that has no shape there is nothing to draw
  over_ = over_ || events.front().step < last_step_;
  last_step_ = events.front().step;
  ++events_;
  const bool due = is_due(events.size());
  for (std::size_t l = 0; l < events.size(); ++l) {
    const PruneEvent& e = events[l];
    add_counts(e, layers[l]);
    if (!layers_.contains(e.layer)) layers_.emplace(e.layer, layer_of(e, events.size()));
    Layer& layer = layers_.at(e.layer);
    if (!e.after) layer.explores = false;
    if (layer.explores && !over_) {
      for_each_live(e.after, e.rows, e.cols, 1, [&](Index r, Index c) { layer.ever.set(r * e.cols + c); });
      layers[l]["explored"] = static_cast<double>(layer.ever.live()) / static_cast<double>(e.rows * e.cols);
    }
    if (due && e.histogram) layers[l]["histogram"] = json_of(*e.histogram);
  }
  if (due) write_frame(events);
}

void MaskLog::write_frame(const std::vector<PruneEvent>& events) {
  Json drawn = Json::array();
  for (const PruneEvent& e : events) {
    Layer& layer = layers_.at(e.layer);
    Bits now(layer.drawn.count());
    if (layer.row_step == 1 && layer.col_step == 1)  // and no divisions, which take most of the time
      for_each_live(e.after, e.rows, e.cols, 1, [&](Index r, Index c) { now.set(r * e.cols + c); });
    else
      for_each_live(e.after, e.rows, e.cols, layer.row_step, [&](Index r, Index c) {
        if (c % layer.col_step == 0) now.set(r / layer.row_step * layer.drawn_cols() + c / layer.col_step);
      });
    const std::vector<Index> changed = now.differences(layer.drawn);
    const std::vector<std::uint8_t> gaps = gaps_between(changed);
    Json json = {{"name", e.layer},
                 {"rows", e.rows},
                 {"cols", e.cols},
                 {"row_step", layer.row_step},
                 {"col_step", layer.col_step}};
    if (static_cast<Index>(gaps.size()) <= (now.count() + 7) / 8) {
      json["gaps"] = base64_of(gaps);
    } else {
      Bits bits(now.count());
      for (const Index at : changed) bits.set(at);
      json["bits"] = bits.text();
    }
    drawn.push_back(std::move(json));
    layer.drawn = std::move(now);
  }
  const std::string line = Json({{"step", events.front().step}, {"layers", std::move(drawn)}}).dump() + "\n";
  frame_bytes_ += line.size();
  ++frames_;
  unwritten_ += line;
}

void MaskLog::flush() {
  if (unwritten_.empty()) return;
  file().append(unwritten_);
  unwritten_.clear();
}

void MaskLog::finish() {
  if (std::error_code none; !file_ && unwritten_.empty() && !std::filesystem::exists(path_, none)) return;
  file().append(unwritten_);
  unwritten_.clear();
}

Json MaskLog::noted() {
  if (events_ == 0) return {};
  if (unwritten_.empty() && file_) file_->synchronise();
  Json layers = Json::object();
  for (const auto& [name, layer] : layers_)
    layers[name] = {{"rows", layer.rows},
                    {"cols", layer.cols},
                    {"row_step", layer.row_step},
                    {"col_step", layer.col_step},
                    {"drawn", layer.drawn.text()},
                    {"explores", layer.explores},
                    {"ever", layer.explores ? layer.ever.text() : std::string()}};
  return {{"bytes", file().bytes()},  // opened, if this process has not written yet: what a process before wrote counts
          {"unwritten", unwritten_}, {"events", events_}, {"frames", frames_},          {"frame_bytes", frame_bytes_},
          {"step", last_step_},      {"over", over_},     {"layers", std::move(layers)}};
}

void MaskLog::go_on_behind(const Json& note) {
  if (note.is_null()) return;
  kept_bytes_ = note.at("bytes").get<std::uintmax_t>();
  if (file_) file_->keep(kept_bytes_);
  unwritten_ = note.at("unwritten").get<std::string>();
  events_ = note.at("events").get<Index>();
  frames_ = note.at("frames").get<Index>();
  frame_bytes_ = note.at("frame_bytes").get<std::uintmax_t>();
  last_step_ = note.at("step").get<Index>();
  over_ = note.at("over").get<bool>();
  layers_.clear();
  for (const auto& [name, json] : note.at("layers").items()) {
    Layer layer{.rows = json.at("rows").get<Index>(),
                .cols = json.at("cols").get<Index>(),
                .row_step = json.at("row_step").get<Index>(),
                .col_step = json.at("col_step").get<Index>(),
                .explores = json.at("explores").get<bool>()};
    const auto fits = [](Index extent) { return extent > 0 && extent < Index{1} << 31; };
    if (!fits(layer.rows) || !fits(layer.cols) || !fits(layer.row_step) || !fits(layer.col_step))
      throw FileError(fmt::format("expected extents of {}, found {} x {}", in_quotes(name), layer.rows, layer.cols));
    layer.drawn = Bits::from_text(json.at("drawn").get<std::string>(), layer.drawn_rows() * layer.drawn_cols());
    if (layer.explores) layer.ever = Bits::from_text(json.at("ever").get<std::string>(), layer.rows * layer.cols);
    layers_.emplace(name, std::move(layer));
  }
}

}  // namespace espalier
