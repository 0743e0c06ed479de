// Products that read Streams. core/README.md tells how they were brought to where they are ("A kernel and its limit").
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "espalier/core/kernels/sparse_stream.cpp"
#include <hwy/foreach_target.h>  // compiles this file once per SIMD target
// (must come first)
#include <hwy/highway.h>

#include "espalier/core/kernels/outer_tiles-inl.h"
#include "espalier/core/kernels/sparse_stream.h"

HWY_BEFORE_NAMESPACE();
namespace espalier::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && !defined(ESPALIER_REAL_DOUBLE)
constexpr bool streams_here = true;

using D = hn::ScalableTag<Real>;
using Vec = hn::Vec<D>;
constexpr Index N = hn::MaxLanes(D());
static_assert(N == 16);

enum class Source { copy, in_place, by_slot };

// Y[row, :] += sum over a visit's weights of  weight * X[column, :]
//
// What is read besides X and Y is read once, from front to back. The trip count of the inner loop is that of the group.
template <int V, Source source>
HWY_NOINLINE void stream_part(const Stream::Part& part, const StreamValues& values, const Real* HWY_RESTRICT X,
                              Real* HWY_RESTRICT Y, Index stride) {
  const D d;
  const std::uint16_t* HWY_RESTRICT row = part.row;
  const std::uint16_t* HWY_RESTRICT column = part.column;
  const std::uint32_t* HWY_RESTRICT begin = part.begin;
  const Real* HWY_RESTRICT value = values.value;
  const Real* HWY_RESTRICT weight = source == Source::copy ? values.copy + part.first_weight : nullptr;
  const std::uint32_t* HWY_RESTRICT slot = nullptr;
  const Real* HWY_RESTRICT panel = X + part.first_column * stride;
  for (const Stream::Group& group : part.groups) {
    const std::size_t count = group.count;
    for (const std::uint16_t* const last = row + group.visits; row != last; ++row) {
      Real* HWY_RESTRICT y = Y + *row * stride;
      Vec sum[V];
      for (int v = 0; v < V; ++v) sum[v] = hn::Load(d, y + v * N);
      if constexpr (source == Source::in_place) weight = value + *begin++;
      if constexpr (source == Source::by_slot) slot = values.slot + *begin++;
      std::size_t n = 0;
      do {
        const Real* HWY_RESTRICT x = panel + column[n] * stride;
        const Vec w = hn::Set(d, source == Source::by_slot ? value[slot[n]] : weight[n]);
        for (int v = 0; v < V; ++v) sum[v] = hn::MulAdd(w, hn::Load(d, x + v * N), sum[v]);
      } while (++n < count);
      column += count;
      if constexpr (source == Source::copy) weight += count;
      for (int v = 0; v < V; ++v) hn::Store(sum[v], d, y + v * N);
    }
  }
}

template <int V>
void stream_chunk(const Stream::Part& part, const StreamValues& values, const Real* X, Real* Y, Index stride) {
  if (values.copy)
    stream_part<V, Source::copy>(part, values, X, Y, stride);
  else if (values.slot)
    stream_part<V, Source::by_slot>(part, values, X, Y, stride);
  else
    stream_part<V, Source::in_place>(part, values, X, Y, stride);
}

void StreamRows(const Stream& stream, Index b, const StreamValues& values, const Real* X, Real* Y, Index stride) {
  Y += stream.blocks[b].first_row * stride;
  constexpr Index widest = 8;  // accumulators
  for (Index panel = 0; panel < stream.count; ++panel) {
    const Stream::Part part = stream.part(b, panel);
    for (Index lane = 0; lane < stride;) {
      const Index vectors = HWY_MIN(widest, (stride - lane) / N);
      const auto chunk = [&]<int V>() { stream_chunk<V>(part, values, X + lane, Y + lane, stride); };
      switch (vectors) {
        case 1:
          chunk.template operator()<1>();
          break;
        case 2:
          chunk.template operator()<2>();
          break;
        case 3:
          chunk.template operator()<3>();
          break;
        case 4:
          chunk.template operator()<4>();
          break;
        case 5:
          chunk.template operator()<5>();
          break;
        case 6:
          chunk.template operator()<6>();
          break;
        case 7:
          chunk.template operator()<7>();
          break;
        default:
          chunk.template operator()<8>();
          break;
      }
      lane += vectors * N;
    }
  }
}

// --- outer product on the pattern -----------------------------------------------------------------------------------

// Every weight's sixteen partial sums go to a small buffer; from there sixteen weights, whatever their rows, are summed
// over their lanes at a time, into `sums` in the order of the stream. So no row has a remainder of its own.
template <int T, int V>
HWY_NOINLINE void stream_sums(const Stream::Part& part, const Real* const* dY, const Real* const* X, Index stride,
                              Real* HWY_RESTRICT sums) {
  const D d;
  constexpr int enough = 96;  // weights: the buffer is emptied when it holds so many, and that much stays in L1
  alignas(64) Real partial[(enough + Stream::widest_of_gradient) * N];
  const Real *y_begin[T], *panel[T];
  for (int t = 0; t < T; ++t) y_begin[t] = dY[t], panel[t] = X[t] + part.first_column * stride;
  const std::uint16_t* HWY_RESTRICT row = part.row;
  const std::uint16_t* HWY_RESTRICT column = part.column;
  int held = 0;
  for (const Stream::Group& group : part.groups) {
    const int count = group.count;
    for (const std::uint16_t* const last = row + group.visits; row != last; ++row) {
      Vec dy[T][V];
      for (int t = 0; t < T; ++t)
        for (int v = 0; v < V; ++v) dy[t][v] = hn::Load(d, y_begin[t] + *row * stride + v * N);
      Real* HWY_RESTRICT to = partial + held * N;
      int n = count;
      do {
        const Index at = *column++ * stride;
        Vec sum = hn::Mul(dy[0][0], hn::Load(d, panel[0] + at));
        for (int t = 0; t < T; ++t)
          for (int v = t == 0 ? 1 : 0; v < V; ++v) sum = hn::MulAdd(dy[t][v], hn::Load(d, panel[t] + at + v * N), sum);
        hn::Store(sum, d, to);
        to += N;
      } while (--n);
      held += count;
      if (held < enough) continue;
      int taken = 0;
      for (; taken + N <= held; taken += N, sums += N) _mm512_storeu_ps(sums, sum_sixteen(partial + taken * N));
      for (int i = 0; taken + i < held; ++i) hn::Store(hn::Load(d, partial + (taken + i) * N), d, partial + i * N);
      held -= taken;
    }
  }
  for (int i = held; i % N != 0; ++i) hn::Store(hn::Zero(d), d, partial + i * N);
  for (int taken = 0; taken < held; taken += N, sums += N) _mm512_storeu_ps(sums, sum_sixteen(partial + taken * N));
}

// Adds the sums to the places of their weights: a visit's lie side by side in both orders.
void add_sums(const Stream::Part& part, Index first, const Real* HWY_RESTRICT sums, Real* HWY_RESTRICT G) {
  const std::uint32_t* HWY_RESTRICT begin = part.begin;
  for (const Stream::Group& group : part.groups) {
    const int whole = group.count / 16;
    const auto rest = static_cast<__mmask16>((1u << (group.count % 16)) - 1);
    for (int visit = 0; visit < group.visits; ++visit) {
      Real* HWY_RESTRICT g = G + (static_cast<Index>(*begin++) - first);
      for (int i = 0; i < whole; ++i, g += 16, sums += 16)
        _mm512_storeu_ps(g, _mm512_add_ps(_mm512_loadu_ps(g), _mm512_loadu_ps(sums)));
      const __m512 old = _mm512_maskz_loadu_ps(rest, g), more = _mm512_maskz_loadu_ps(rest, sums);
      _mm512_mask_storeu_ps(g, rest, _mm512_add_ps(old, more));
      sums += group.count % 16;
    }
  }
}

void stream_ragged(const Stream::Part& part, const RowBlock& block, const OuterOperand& tile, Index stride,
                   Real* HWY_RESTRICT G) {
  const std::uint16_t *row = part.row, *column = part.column;
  const std::uint32_t* begin = part.begin;
  const Real* X = tile.X + part.first_column * stride;
  for (const Stream::Group& group : part.groups)
    for (int visit = 0; visit < group.visits; ++visit) {
      const Real* dy = tile.dY + (block.first_row + *row++) * stride;
      Real* g = G + (static_cast<Index>(*begin++) - block.first);
      for (int n = 0; n < group.count; ++n) g[n] += dot_of_valid_lanes(dy, X + *column++ * stride, tile.valid, stride);
    }
}

void StreamOuter(const Stream& stream, Index b, const OuterOperand* tiles, Index tile_count, Index stride, Real* sums,
                 Real* G) {
  const RowBlock& block = stream.blocks[b];
  for (Index panel = 0; panel < stream.count; ++panel) {
    const Stream::Part part = stream.part(b, panel);
    for_each_outer_step(
        tiles, tile_count, stride,
        [&]<int T, int V>(Index first, Index lane) {
          const Real *dY[T], *X[T];
          for (int t = 0; t < T; ++t) {
            dY[t] = tiles[first + t].dY + block.first_row * stride + lane;
            X[t] = tiles[first + t].X + lane;
          }
          stream_sums<T, V>(part, dY, X, stride, sums);
          add_sums(part, block.first, sums, G);
        },
        [&](const OuterOperand& tile) { stream_ragged(part, block, tile, stride, G); });
  }
}
#else
constexpr bool streams_here = false;
void StreamRows(const Stream&, Index, const StreamValues&, const Real*, Real*, Index) {}
void StreamOuter(const Stream&, Index, const OuterOperand*, Index, Index, Real*, Real*) {}
#endif

bool HasStreams() {
  return streams_here;
}

}  // namespace espalier::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier::kernels {
HWY_EXPORT(StreamRows);
HWY_EXPORT(StreamOuter);
HWY_EXPORT(HasStreams);

bool has_streams() {
  return HWY_DYNAMIC_DISPATCH(HasStreams)();
}

void stream_rows(const Stream& stream, Index block, const StreamValues& values, const Real* X, Real* Y, Index stride) {
  HWY_DYNAMIC_DISPATCH(StreamRows)(stream, block, values, X, Y, stride);
}

void stream_outer(const Stream& stream, Index block, std::span<const OuterOperand> tiles, Index stride, Real* sums,
                  Real* G) {
  HWY_DYNAMIC_DISPATCH(StreamOuter)
  (stream, block, tiles.data(), static_cast<Index>(tiles.size()), stride, sums, G);
}
}  // namespace espalier::kernels
#endif
