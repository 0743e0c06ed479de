// A Parameter: a named matrix of weights that may be sparse, and everything that belongs to its weights.
//
//   storage   arrays are          a pruned weight
//   dense     rows*cols long      does not exist: every weight is live
//   masked    rows*cols long      is exactly zero in value and in every slot
//   csr       nonzeros long       has no place to be
//
// Invariants:
//   1. value() and every slot have the same length, and position i means the same weight in all of them.
//   2. Sparsity changes through become() only, shape through select() only. Both either happen or leave everything as
//      it was. Survivors keep value and slots; newborn weights start at zero with zero slots.
//   3. In masked storage every array is exactly zero off the pattern.
//   4. blocks() depends on shape, storage and pattern only, never on threads.
//   5. A copy packed for latency holds the weights as they are: the next non-const value(), become() or select() that
//      changes anything drops it. (Hence no code may write through a span that was taken before packing.)
//   6. The same goes for copies in the orders of streams: they are stale from the next non-const value() on, and no
//   code
//      may write through a span that was taken before they were refreshed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/core/aligned.h"
#include "espalier/core/pattern.h"
#include "espalier/core/stream_copies.h"

namespace espalier {

enum class Storage { dense, masked, csr };
std::string_view name_of(Storage storage);

// A weight may be pruned and decays. A bias does neither, nor does the scale of a normalisation, which is 1 where a
// bias is 0 when they are to do nothing.
enum class Role { weight, bias, scale };

class Parameter {
 public:
  // All zero, dense.
  Parameter(std::string name, Index rows, Index cols, Role role = Role::weight);
  // All zero, csr: nothing of rows * cols is ever allocated.
  Parameter(std::string name, PatternPtr pattern);

  const std::string& name() const { return name_; }
  // A network that becomes part of a larger one: names are unique in a model.
  void rename(std::string name) { name_ = std::move(name); }
  Role role() const { return role_; }
  bool prunable() const { return role_ == Role::weight; }
  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  Index positions() const { return rows_ * cols_; }
  Storage storage() const { return storage_; }
  const PatternPtr& pattern() const { return pattern_; }              // null when dense
  Index stored() const { return static_cast<Index>(value_.size()); }  // weights that have a place in the arrays
  Index nonzeros() const { return pattern_ ? pattern_->nonzeros() : positions(); }
  double density() const { return static_cast<double>(nonzeros()) / static_cast<double>(positions()); }

  std::span<Real> value() {
    unpack();
    stream_copies_.make_stale();
    return value_;
  }
  std::span<const Real> value() const { return value_; }

  // Copies a csr value into the order of the pattern's Slices, in which one sample is multiplied (sparse_slices), where
  // that pays: on processors with AVX-512, and unless the slices are empty. Otherwise does nothing. Costs the layout
  // (once per pattern) and the copy. Packing and unpacking are not re-entrant, and a trainer unpacks before it goes
  // parallel; inference with what is packed is.
  void pack_for_latency();
  void unpack() {
    if (!packed_.empty()) packed_ = AlignedVector<Real>();
  }
  std::span<const Real> packed() const { return packed_; }  // [steps, 16]; empty: not packed
  // A csr value in the order of a stream (core/stream_copies.h): null if there is no fresh copy. refresh_streams makes
  // the copies that products have missed since; to call it is never needed, and pays before many tiles.
  const Real* in_stream(StreamCopies::Direction direction, Index width) const {
    return stream_copies_.find(direction, width);
  }
  bool wants_streams(StreamCopies::Direction direction) const { return stream_copies_.wanting(direction); }
  void refresh_streams(StreamCopies::Direction direction) const {
    if (storage_ == Storage::csr) stream_copies_.refresh(direction, *pattern_, value_);
  }

  // Optimizer state and the like: one number per weight, zero when made. slot() throws if there is none of that name.
  void add_slot(std::string_view name);  // keeps an existing one
  void remove_slot(std::string_view name);
  bool has_slot(std::string_view name) const;
  std::span<Real> slot(std::string_view name);
  std::span<const Real> slot(std::string_view name) const;
  std::vector<std::string> slot_names() const;

  // The row blocks in which gradients are settled and updates applied.
  std::span<const RowBlock> blocks() const { return blocks_; }

  // The only door for sparsity. A null pattern means all weights. Throws UsageError on a pattern of another shape, or
  // dense storage with a pattern that is not full.
  void become(PatternPtr pattern, Storage storage);
  // The only door for shape: keeps the given rows and columns (ascending), and what lives on them.
  void select(std::span<const Index> rows, std::span<const Index> columns);

  // body(row, column, position in the arrays) for every live weight, in row-major order.
  template <typename Body>
  void for_each_weight(Body&& body) const {
    for (Index r = 0; r < rows_; ++r) {
      if (!pattern_) {
        for (Index c = 0; c < cols_; ++c) body(r, c, r * cols_ + c);
      } else {
        Index n = pattern_->row_begin()[r];
        for (const std::uint32_t c : pattern_->row(r)) {
          body(r, static_cast<Index>(c), storage_ == Storage::csr ? n : r * cols_ + static_cast<Index>(c));
          ++n;
        }
      }
    }
  }

 private:
  struct Slot {
    std::string name;
    AlignedVector<Real> array;
  };
  std::size_t slot_index(std::string_view name) const;  // throws if there is none of that name
  // Makes every array anew, `length` long and zero, lets copy(old, fresh) fill it, and only then changes anything.
  template <typename Copy>
  void rebuild(std::size_t length, Copy&& copy);

  std::string name_;
  Index rows_, cols_;
  Role role_;
  Storage storage_ = Storage::dense;
  PatternPtr pattern_;
  AlignedVector<Real> value_, packed_;
  mutable StreamCopies stream_copies_;
  std::vector<Slot> slots_;
  std::vector<RowBlock> blocks_;
};

// What a model has learnt besides its parameters (running statistics): a named array that a module holds.
struct NamedNumbers {
  std::string name;
  std::span<Real> numbers;
};

}  // namespace espalier
