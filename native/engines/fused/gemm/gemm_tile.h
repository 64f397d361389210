// The loops around a register tile, over an instruction set policy and a weight policy.
//
// A tile is kRows rows of x times a panel (or two) of weights, accumulated in registers over all of
// k and finished there. Panels are the outer loop: a panel is read from the outer caches once and
// from L1 or L2 for every further tile; x is small by comparison, because the engine works in
// blocks of at most 64 rows.
//
// Included only by the gemm_<isa>.cc files; everything here has internal linkage and calls no
// inline function of other headers (see backends/cpu/lookup_plan.h).
//
// A policy `Isa` gives
//   Vec, kWidth, Tail, MakeTail(n)        as for lookups (backends/cpu/row_ops.h)
//   Zero, Set1, Add, Mul, MulAdd, Max(a, b) and Min(a, b) (b where one is not a number),
//   SelectPositive(x, a, b)               a where x > 0, else b
//   LoadF32, StoreF32 and their Tail forms; Total(v), the sum of the lanes
//   kPanelVecs, kMaxRows                  a panel, and the most rows of a tile
//   kWideRows                             tiles of up to so many rows take two panels at a time
// and a policy `Weights`
//   Acc, kUnit, kElementBytes, kXBytes    of one element of x
//   kWideRows                             as above
//   Start, LoadWeights(at), LoadX(at), Dot(acc, x, w)
//   kHasScale, kHasLow, ToFloat(acc)
//   PrepareX(args, scratch)               when x is not read in place
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_GEMM_TILE_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_GEMM_TILE_H_

#include <cstddef>
#include <cstdint>

#include "engines/fused/gemm/gemm_kernel.h"
#include "engines/fused/gemm/gemm_narrow.h"

namespace gyrfalcon::fused {
namespace {

// Weights of large networks come from memory anew for each block of rows: tiles of kAheadRows rows
// and more, which take long enough, ask for what they will need this many bytes later. Below that
// it would cost more than it gives: one row was 15 % slower with weights in L3.
constexpr int64_t kAheadBytes = 8192;
constexpr int kAheadRows = 6;
constexpr int64_t kLineBytes = 64;

struct Tile {
  const std::byte* x;
  int64_t x_bytes;  // between rows
  const std::byte* w;
  int64_t group_bytes;
  int64_t panel_bytes;
  int64_t groups;
  const float* w_scale;  // at the tile's first column
  const float* w_sum;
  const float* x_scale;  // at the tile's first row
  const float* x_low;
  float* y;
  int64_t y_stride;
  int64_t columns;  // that exist; the tile may be wider
  int64_t column;   // the first one
  int64_t row;
  const Epilogue* epilogue;
};

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Vec LoadSome(const float* at, int64_t n) {
  return n >= Isa::kWidth ? Isa::LoadF32(at) : Isa::LoadF32Tail(at, Isa::MakeTail(n));
}

// One act over a tile in registers: the choice is made once, not for each vector.
template <class Isa, int kRows, int kVecs>
[[gnu::always_inline]] inline void ApplyAct(const ResolvedAct& act, const Tile& tile,
                                            typename Isa::Vec (&t)[kRows][kVecs]) {
  const auto each = [&](auto&& fn) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) t[i][v] = fn(t[i][v]);
    }
  };
  switch (act.fn) {
    case ActFn::kRelu: {
      const auto zero = Isa::Zero();
      each([&](auto x) { return Isa::Max(zero, x); });
      return;
    }
    case ActFn::kClip: {
      const auto low = Isa::Set1(act.alpha);
      const auto high = Isa::Set1(act.beta);
      each([&](auto x) { return Isa::Min(high, Isa::Max(low, x)); });
      return;
    }
    case ActFn::kLeakyRelu: {
      const auto slope = Isa::Set1(act.alpha);
      each([&](auto x) { return Isa::SelectPositive(x, x, Isa::Mul(x, slope)); });
      return;
    }
    case ActFn::kPrelu:
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        const int64_t left = tile.columns - v * Isa::kWidth;
        if (left <= 0) break;
        const auto slope = LoadSome<Isa>(act.slope + tile.column + v * Isa::kWidth, left);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          t[i][v] = Isa::SelectPositive(t[i][v], t[i][v], Isa::Mul(t[i][v], slope));
        }
      }
      return;
    default:
      return;
  }
}

enum class Combine : uint8_t { kMul, kAdd };

template <class Isa, Combine kHow, int kRows, int kVecs>
[[gnu::always_inline]] inline void CombineWith(const float* other, int64_t stride, bool is_column,
                                               const Tile& tile,
                                               typename Isa::Vec (&t)[kRows][kVecs]) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const float* const row = other + (tile.row + i) * stride;
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const int64_t left = tile.columns - v * Isa::kWidth;
      if (left <= 0) break;
      const auto value =
          is_column ? Isa::Set1(*row) : LoadSome<Isa>(row + tile.column + v * Isa::kWidth, left);
      t[i][v] = kHow == Combine::kMul ? Isa::Mul(t[i][v], value) : Isa::Add(t[i][v], value);
    }
  }
}

template <class Isa, int kRows, int kVecs>
[[gnu::always_inline]] inline void Finish(const Tile& tile, typename Isa::Vec (&t)[kRows][kVecs]) {
  const Epilogue& e = *tile.epilogue;
  if (e.bias != nullptr) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const int64_t left = tile.columns - v * Isa::kWidth;
      if (left <= 0) break;
      const auto bias = LoadSome<Isa>(e.bias + tile.column + v * Isa::kWidth, left);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) t[i][v] = Isa::Add(t[i][v], bias);
    }
  }
  ApplyAct<Isa, kRows, kVecs>(e.act, tile, t);
  if (e.mul != nullptr) {
    CombineWith<Isa, Combine::kMul, kRows, kVecs>(e.mul, e.mul_stride, e.mul_is_column, tile, t);
  }
  if (e.add != nullptr) {
    CombineWith<Isa, Combine::kAdd, kRows, kVecs>(e.add, e.add_stride, e.add_is_column, tile, t);
  }
  ApplyAct<Isa, kRows, kVecs>(e.post, tile, t);
  if (tile.columns >= kVecs * Isa::kWidth) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) {
        Isa::StoreF32(tile.y + i * tile.y_stride + v * Isa::kWidth, t[i][v]);
      }
    }
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      const int64_t left = tile.columns - v * Isa::kWidth;
      float* const at = tile.y + i * tile.y_stride + v * Isa::kWidth;
      if (left >= Isa::kWidth) {
        Isa::StoreF32(at, t[i][v]);
      } else if (left > 0) {
        Isa::StoreF32Tail(at, Isa::MakeTail(left), t[i][v]);
      }
    }
  }
}

// From sums of quantised numbers to sums of what they stand for.
template <class Isa, class Weights, int kRows, int kVecs>
[[gnu::always_inline]] inline void Rescale(const Tile& tile, typename Isa::Vec (&t)[kRows][kVecs]) {
#pragma GCC unroll 8
  for (int v = 0; v < kVecs; ++v) {
    // Scales and sums are padded to whole panels.
    if constexpr (Weights::kHasScale) {
      const auto scale = Isa::LoadF32(tile.w_scale + v * Isa::kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) t[i][v] = Isa::Mul(t[i][v], scale);
    }
    if constexpr (Weights::kHasLow) {
      const auto sum = Isa::LoadF32(tile.w_sum + v * Isa::kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const auto low = Isa::Mul(Isa::Set1(tile.x_low[i]), sum);
        t[i][v] = Isa::MulAdd(Isa::Set1(tile.x_scale[i]), t[i][v], low);
      }
    }
  }
}

template <class Isa, class Weights, int kRows, int kVecs>
[[gnu::noinline]] void RunTile(const Tile& tile) {
  constexpr int64_t kVecBytes = int64_t{Isa::kWidth} * Weights::kUnit * Weights::kElementBytes;
  constexpr int64_t kXGroup = int64_t{Weights::kUnit} * Weights::kXBytes;
  typename Weights::Acc acc[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) acc[i][v] = Weights::Start();
  }
  const std::byte* w = tile.w;
  const std::byte* x = tile.x;
  const int64_t x_bytes = tile.x_bytes;
  const int64_t group_bytes = tile.group_bytes;
  const int64_t second = tile.panel_bytes;
  for (int64_t g = 0; g < tile.groups; ++g) {
    decltype(Weights::LoadWeights(w)) b[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      b[v] = Weights::LoadWeights(w + (v / Isa::kPanelVecs) * second +
                                  (v % Isa::kPanelVecs) * kVecBytes);
    }
    if constexpr (kRows >= kAheadRows) {
#pragma GCC unroll 8
      for (int64_t at = 0; at < kVecs * kVecBytes; at += kLineBytes) {
        __builtin_prefetch(w + kAheadBytes + at, 0, 2);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const auto a = Weights::LoadX(x + i * x_bytes);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) acc[i][v] = Weights::Dot(acc[i][v], a, b[v]);
    }
    w += group_bytes;
    x += kXGroup;
  }
  typename Isa::Vec t[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) t[i][v] = Weights::ToFloat(acc[i][v]);
  }
  Rescale<Isa, Weights, kRows, kVecs>(tile, t);
  Finish<Isa, kRows, kVecs>(tile, t);
}

template <class Isa, class Weights, int kVecs, int kRows>
void RunRows(const Tile& tile, int rows) {
  if (rows == kRows) return RunTile<Isa, Weights, kRows, kVecs>(tile);
  if constexpr (kRows > 1) RunRows<Isa, Weights, kVecs, kRows - 1>(tile, rows);
}

// All rows of one panel (or two), in tiles of nearly equal height: 64 rows are 6 tiles of 10 or 11
// rather than 5 of 12 and one of 4, which would wait for its own additions.
template <class Isa, class Weights, int kVecs, int kMaxRows>
void RunColumns(Tile tile, int64_t m) {
  const int64_t tiles = (m + kMaxRows - 1) / kMaxRows;
  const std::byte* const x = tile.x;
  const float* const x_scale = tile.x_scale;
  const float* const x_low = tile.x_low;
  float* const y = tile.y;
  int64_t row = 0;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t end = m * (i + 1) / tiles;
    tile.x = x + row * tile.x_bytes;
    if constexpr (Weights::kHasLow) {
      tile.x_scale = x_scale + row;
      tile.x_low = x_low + row;
    }
    tile.y = y + row * tile.y_stride;
    tile.row = row;
    RunRows<Isa, Weights, kVecs, kMaxRows>(tile, static_cast<int>(end - row));
    row = end;
  }
}

template <class Isa, class Weights>
void RunPanels(const GemmArgs& args) {
  const PackedWeights& weights = *args.weights;
  const WeightLayout layout = LayoutOf(*weights.kernel, weights.k, weights.n);
  Tile tile;
  tile.x = reinterpret_cast<const std::byte*>(args.x);
  tile.x_bytes = args.x_stride * static_cast<int64_t>(sizeof(float));
  tile.x_scale = nullptr;
  tile.x_low = nullptr;
  if constexpr (Weights::kXBytes != sizeof(float)) {
    const XLayout x = XLayoutOf(*weights.kernel, weights.k, args.m);
    Weights::PrepareX(args, x);
    tile.x = args.scratch;
    tile.x_bytes = static_cast<int64_t>(x.row_bytes);
    tile.x_scale = reinterpret_cast<const float*>(args.scratch + x.scale_offset);
    tile.x_low = reinterpret_cast<const float*>(args.scratch + x.low_offset);
  }
  tile.group_bytes = static_cast<int64_t>(layout.group_bytes);
  tile.panel_bytes = static_cast<int64_t>(layout.panel_bytes);
  tile.groups = layout.groups;
  tile.y_stride = args.y_stride;
  tile.epilogue = args.epilogue;
  tile.row = 0;
  constexpr int64_t kPanel = int64_t{Isa::kPanelVecs} * Isa::kWidth;
  const int64_t end = EndColumn(args);
  int64_t column = args.first_column;
  while (column < end) {
    const int64_t left = end - column;
    tile.column = column;
    tile.columns = left;
    tile.w = weights.data + (column / kPanel) * tile.panel_bytes;
    tile.w_scale = reinterpret_cast<const float*>(weights.data + layout.scale_offset) + column;
    tile.w_sum = reinterpret_cast<const float*>(weights.data + layout.sum_offset) + column;
    tile.y = args.y + column;
    if (args.m <= Weights::kWideRows && left > kPanel) {
      RunColumns<Isa, Weights, 2 * Isa::kPanelVecs, Weights::kWideRows>(tile, args.m);
      column += 2 * kPanel;
    } else if (left > Isa::kWidth) {
      RunColumns<Isa, Weights, Isa::kPanelVecs, Isa::kMaxRows>(tile, args.m);
      column += kPanel;
    } else {
      RunColumns<Isa, Weights, 1, Isa::kMaxRows>(tile, args.m);
      column += kPanel;
    }
  }
}

template <class Isa, class Weights>
void Run(const GemmArgs& args) {
  if (args.weights->n <= kNarrow) return RunNarrow<Isa>(args);
  RunPanels<Isa, Weights>(args);
}

// f32 weights and x.
template <class Isa>
struct F32Weights {
  using Acc = typename Isa::Vec;
  static constexpr int kUnit = 1;
  static constexpr int kElementBytes = 4;
  static constexpr int kXBytes = 4;
  static constexpr int kWideRows = Isa::kWideRows;
  static constexpr bool kHasScale = false;
  static constexpr bool kHasLow = false;
  static Acc Start() { return Isa::Zero(); }
  static typename Isa::Vec LoadWeights(const std::byte* at) {
    return Isa::LoadF32(reinterpret_cast<const float*>(at));
  }
  static typename Isa::Vec LoadX(const std::byte* at) {
    return Isa::Set1(*reinterpret_cast<const float*>(at));
  }
  static Acc Dot(Acc acc, typename Isa::Vec x, typename Isa::Vec w) {
    return Isa::MulAdd(x, w, acc);
  }
  static typename Isa::Vec ToFloat(Acc acc) { return acc; }
};

// Weights of 16 or 8 bits that become f32 in registers: half or a quarter of the bytes, no change
// to x. `Isa` adds LoadBf16(at) and LoadInt8(at).
template <class Isa>
struct Bf16Weights : F32Weights<Isa> {
  static constexpr int kElementBytes = 2;
  static typename Isa::Vec LoadWeights(const std::byte* at) { return Isa::LoadBf16(at); }
};

template <class Isa>
struct Int8Weights : F32Weights<Isa> {
  static constexpr int kElementBytes = 1;
  static constexpr bool kHasScale = true;
  static typename Isa::Vec LoadWeights(const std::byte* at) { return Isa::LoadInt8(at); }
};

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_TILE_H_
