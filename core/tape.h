// The tape: what one tile did on its way through the network, so that it can be undone backwards.
//
// Forward is const and re-entrant; everything that belongs to a tile lives on its tape. An operation computes its
// value, then records a node: inputs, parameters, what each prunable matrix of them reads (core/reads.h), value, and a
// closure for the way back; the operation's name is for people only. Recording order is a topological order, so
// backward is a loop from the end. Criteria, tuning, coupling analysis and export read the same nodes.
//
// Backward does not add into shared gradient arrays: it *owes* a parameter pairs (dY, X), kept alive here until all
// tiles are through and the ledger (core/settle.h) turns them into gradients, row block by row block.
//
// Invariants:
//   1. A gradient buffer belongs to exactly one node, which may change dY in place.
//   2. Nodes, buffers, debts and observations are recycled by begin(): the second step of the same shape allocates
//      nothing.
//   3. With Mode::inference nothing is recorded, and a buffer returns to the pool as soon as the last Var that uses it
//      is gone.
//   4. Forward changes no module: what a layer learns of a tile without a gradient (batch statistics) it leaves here as
//      an observation. After the step the trainer lets the modules merge what was observed, in the order of the tiles.
//   5. Every prunable parameter of a recorded node has an entry in its reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "espalier/core/flops.h"
#include "espalier/core/parameter.h"
#include "espalier/core/products.h"
#include "espalier/core/reads.h"
#include "espalier/core/tensor.h"
#include "espalier/core/ties.h"
#include "espalier/core/tile.h"

namespace espalier {

class Tape;

// A value on a tape.
class Var {
 public:
  Var() = default;
  Var(Tape& tape, int node, Tensor value) : tape_(&tape), node_(node), value_(std::move(value)) {}
  Tape& tape() const { return *tape_; }
  int node() const { return node_; }  // -1: not recorded
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }

 private:
  Tape* tape_ = nullptr;
  int node_ = -1;
  Tensor value_;
};

// The way back of one node: a callable stored in place, because std::function would allocate.
class Backward {
 public:
  Backward() = default;
  Backward(const Backward&) = delete;
  Backward& operator=(const Backward&) = delete;
  ~Backward() { reset(); }
  template <typename F>
  void set(F f) {
    static_assert(sizeof(F) <= capacity, "capture less: Tensors, Vars, pointers and numbers");
    reset();
    ::new (static_cast<void*>(storage_)) F(std::move(f));
    call_ = [](void* self, Tape& tape, Tensor& dY) { (*static_cast<F*>(self))(tape, dY); };
    destroy_ = [](void* self) { static_cast<F*>(self)->~F(); };
  }
  void reset() {
    if (destroy_) destroy_(storage_);
    call_ = nullptr;
    destroy_ = nullptr;
  }
  explicit operator bool() const { return call_ != nullptr; }
  void operator()(Tape& tape, Tensor& dY) { call_(storage_, tape, dY); }

 private:
  static constexpr std::size_t capacity = 768;
  alignas(std::max_align_t) std::byte storage_[capacity];
  void (*call_)(void*, Tape&, Tensor&) = nullptr;
  void (*destroy_)(void*) = nullptr;
};

// A unit of the value depends on any unit of this input, as in a normalisation over features; of several groups of
// equally many units, on those in the same group: the heads of attention.
struct Mixing {
  int input = 0;
  Index groups = 1;
};

struct Node {
  const char* operation = "";  // for people: no code asks for it
  std::vector<int> inputs;
  std::vector<const Parameter*> parameters;
  std::vector<Reads> reads;  // of each prunable parameter, and of others that are matrices
  std::vector<Mixing> mixes;
  std::vector<Tie> ties;                     // beside those that follow from the rest: core/ties.h
  std::vector<std::span<const Real>> state;  // arrays with a number for each unit of the value
  Tensor value;
  Tensor gradient;  // empty until a node downstream has written it
  Backward backward;
  Halo gradient_halo;  // that backward would like its dY to have
  bool needs_gradient = false;
  Flops forward_flops;         // executed since the node before
  double forward_seconds = 0;  // likewise; only with TapeOptions::timed
};

// What backward owes a parameter.
struct Debt {
  const Parameter* parameter;
  Tensor dY;
  Tensor X;  // empty: dY itself is the gradient, [rows, cols] at one lane
};

// What a layer saw of this tile: `values` numbers per channel or whatever its statistics are of.
struct Observation {
  const void* owner;
  Tensor statistics;
  Index values;
};

// y = x  or  y += x, whatever halos they have
void put(const Tensor& x, Tensor& y, Write write);

enum class Mode {
  training,    // record and observe; dropout drops
  evaluation,  // record (graph, per-layer counts); dropout passes through
  inference    // record nothing, keep nothing
};

struct TapeOptions {
  Mode mode = Mode::training;
  std::uint64_t seed = 0;  // with step and the sample's place in the batch, the key of all randomness in layers
  std::uint64_t step = 0;
  bool timed = false;           // time every node (reports; never to decide anything)
  bool input_gradient = false;  // also compute the gradient of the network's input
  // Everything passes on what comes in, by its magnitude only (synaptic flow): a tape on which nothing is negative is
  // to stay so. A normalisation divides by a constant, attention weighs by its scores as they are, every token occurs.
  bool flow = false;
};

class Tape {
 public:
  // poison: every buffer is full of NaN when handed out (tests).
  explicit Tape(bool poison = false) : pool_(poison) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Forgets the last step and starts the next with this tile's input.
  Var begin(const Tile& tile, TapeOptions options);

  const TapeOptions& options() const { return options_; }
  bool training() const { return options_.mode == Mode::training; }
  Index first_sample() const { return first_sample_; }  // of lane 0, in the batch
  const Lanes& lanes() const { return lanes_; }

  // A tensor of this tile's lanes. Its contents are whatever was there.
  Tensor make(Shape shape, Halo halo = {}) { return pool_.tensor(shape, lanes_, halo); }
  // The same numbers inside this halo: x itself if it has it, else a copy.
  Tensor with_halo(const Tensor& x, Halo halo);
  // Numbers that do not go by sample (a bias gradient): [count] at one lane; at least 1, shapes cannot be empty.
  Tensor make_numbers(Index count) { return pool_.tensor({std::max<Index>(count, 1)}, {1, 1}); }
  // `count` bytes. Their contents are whatever was there.
  Bytes make_bytes(Index count) { return Bytes(make_numbers(Bytes::numbers_for(count))); }

  struct Record {
    const char* operation;
    std::initializer_list<Var> inputs;
    std::initializer_list<const Parameter*> parameters = {};  // null ones are skipped
    std::initializer_list<Reads> reads = {};                  // those without a matrix are skipped
    // Inputs whose units are mixed. Otherwise a unit depends on what its weights read of an input, and without weights
    // on the same unit of it.
    std::initializer_list<Mixing> mixes = {};
    std::initializer_list<Tie> ties = {};
    std::initializer_list<std::span<const Real>> state = {};
    Halo gradient_halo = {};  // that dY should have; it then comes with this halo or with none
  };
  // backward(Tape&, Tensor& dY): dY is this node's gradient, and may be changed in place.
  template <typename F>
  Var record(const Record& what, Tensor value, F backward) {
    if (options_.mode == Mode::inference) return Var(*this, -1, std::move(value));
    Node& node = next_node(what, value);
    if (node.needs_gradient) node.backward.set(std::move(backward));
    return Var(*this, static_cast<int>(used_) - 1, std::move(value));
  }

  // --- the way back -------------------------------------------------------------------------------------------------
  // Starts with d(total loss)/d(lane) = 1 / denominator for valid lanes, 0 for padding.    loss: [1, lanes]
  void backward(const Var& loss, Real denominator);

  // Where the gradient of x is to be written, and how: a tensor without halo. Empty if it is not needed.
  struct Sink {
    Tensor* tensor;
    Write write;
  };
  std::optional<Sink> gradient_of(const Var& x) { return sink(x, {}); }
  // The same inside the halo that x's node asked for: for operations that can write into the middle of a border.
  std::optional<Sink> image_gradient_of(const Var& x) { return sink(x, wished_halo(x)); }
  // Gives a finished tensor away as (a part of) the gradient of x. Nothing else may hold it (invariant 1): an operation
  // that gives one gradient to two inputs gives the second a copy.
  void give_gradient(const Var& x, Tensor gradient);

  void owe_outer(Tensor dY, Tensor X, const Parameter& W) { debts_.push_back({&W, std::move(dY), std::move(X)}); }
  // gradient: one number per weight of W, in the order of its arrays, summed over this tile's valid lanes.
  void owe(Tensor gradient, const Parameter& W) { debts_.push_back({&W, std::move(gradient), {}}); }

  // For Module::merge_state, after all tiles; only in Mode::training. owner: by which it finds its own again.
  void observe(const void* owner, Tensor statistics, Index values) {
    observations_.push_back({owner, std::move(statistics), values});
  }

  std::span<const Debt> debts() const { return debts_; }
  std::span<const Observation> observations() const { return observations_; }
  std::size_t nodes() const { return used_; }
  const Node& node(std::size_t i) const { return *nodes_[i]; }
  // visit(node, reads) for every prunable matrix, in the order in which they were recorded.
  template <typename Visit>
  void for_each_matrix(Visit&& visit) const {
    for (std::size_t n = 0; n < used_; ++n)
      for (const Reads& reads : nodes_[n]->reads)
        if (reads.W->prunable()) visit(*nodes_[n], reads);
  }
  std::size_t bytes() const { return pool_.bytes(); }

 private:
  Node& next_node(const Record& what, const Tensor& value);
  Halo wished_halo(const Var& x) const { return nodes_[x.node()]->gradient_halo; }
  std::optional<Sink> sink(const Var& x, Halo halo);

  BufferPool pool_;
  TapeOptions options_;
  Lanes lanes_;
  Index first_sample_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;  // the first used_ are this step's
  std::size_t used_ = 0;
  std::vector<Debt> debts_;
  std::vector<Observation> observations_;
  Flops flops_before_;
  double seconds_before_ = 0;
};

}  // namespace espalier
