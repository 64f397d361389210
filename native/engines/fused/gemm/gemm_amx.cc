// AMX: products of tiles, 16 rows of 64 bytes each. A core does 16 · 16 · 32 multiplications of
// bf16 numbers in 16 cycles, eight times as many as its vector units do of f32, and twice as many
// of bytes; VDPBF16PS, on the CPUs that have AMX, does no more than f32.
//
// f32 products are sums of products of bf16 parts: x = x0 + x1 + x2 and w = w0 + w1 + w2, with 8
// bits of mantissa each, are exact, and of the nine products the six whose orders of magnitude sum
// up to 2 or less are computed. What the others would add is below 2^-25 of a product, less than a
// rounding of f32; sums are f32 ones. Rows of x that hold what has no such parts go the plain way.
#if defined(__x86_64__)

#include "engines/fused/gemm/amx_tiles.h"

#if !defined(__AMX_TILE__) || !defined(__AMX_BF16__) || !defined(__AMX_INT8__)
#error "compile this file with -mamx-tile -mamx-bf16 -mamx-int8"
#endif

namespace gyrfalcon::fused {
namespace {

template <class Weights>
[[gnu::always_inline]] inline bool PrepareTiles(const GemmArgs& args, const XTiles& tiles) {
  bool all = true;
  for (int64_t r = 0; r < args.m; ++r) {
    const int64_t first = r / tiles.rows * tiles.steps * tiles.parts * tiles.rows + r % tiles.rows;
    all = Weights::PrepareRow(args, tiles, r, args.scratch + first * kTileBytes) && all;
  }
  return all;
}

template <class Weights, int kRows>
void FinishRows(const Tile& tile, const float* sums, int rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return FinishRows<Weights, kRows - 1>(tile, sums, rows);
  }
  __m512 t[kRows][kPanelTiles];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    t[i][0] = Weights::ToFloat(sums + i * kPanel);
    t[i][1] = Weights::ToFloat(sums + i * kPanel + Avx512::kWidth);
  }
  Rescale<Avx512, Weights, kRows, kPanelTiles>(tile, t);
  Finish<Avx512, kRows, kPanelTiles>(tile, t);
}

// Rows [row, end) of a panel, from their sums on.
template <class Weights>
[[gnu::always_inline]] inline void FinishSums(Tile tile, const float* sums, int64_t row,
                                              int64_t end) {
  const float* const x_scale = tile.x_scale;
  const float* const x_low = tile.x_low;
  float* const y = tile.y;
  for (; row < end; row += Avx512::kMaxRows, sums += Avx512::kMaxRows * kPanel) {
    tile.row = row;
    tile.y = y + row * tile.y_stride;
    if constexpr (Weights::kHasLow) {
      tile.x_scale = x_scale + row;
      tile.x_low = x_low + row;
    }
    const int64_t left = end - row;
    FinishRows<Weights, Avx512::kMaxRows>(
        tile, sums, static_cast<int>(left < Avx512::kMaxRows ? left : Avx512::kMaxRows));
  }
}

// Two rows of tiles by a panel: sums in tiles 0 to 3, x in 4 and 5, weights in 6 and 7.
template <class Weights>
[[gnu::always_inline]] inline void TwoByTwo(const Steps& steps, int64_t tile_rows, float* sums) {
  ZeroTile<0>();
  ZeroTile<1>();
  ZeroTile<2>();
  ZeroTile<3>();
  const std::byte* x = steps.x;
  const std::byte* w = steps.w;
  for (int64_t s = 0; s < steps.count; ++s) {
#pragma GCC unroll 6
    for (int pair = 0; pair < Weights::kPairs; ++pair) {
      if (pair == 0 || Weights::kXPart[pair] != Weights::kXPart[pair - 1]) {
        const std::byte* const at = x + Weights::kXPart[pair] * steps.x_tile;
        LoadTile<4>(at, kTileBytes);
        LoadTile<5>(at + steps.x_tiles, kTileBytes);
      }
      if (pair == 0 || Weights::kWPart[pair] != Weights::kWPart[pair - 1]) {
        const std::byte* const at = w + Weights::kWPart[pair] * steps.w_part;
        LoadTile<6>(at, steps.w_row);
        LoadTile<7>(at + steps.w_column, steps.w_row);
      }
      Weights::template Dot<0, 4, 6>();
      Weights::template Dot<1, 4, 7>();
      Weights::template Dot<2, 5, 6>();
      Weights::template Dot<3, 5, 7>();
    }
    x += steps.x_tile * (Weights::kPairs == 1 ? 1 : kParts);
    w += steps.w_step;
  }
  constexpr int64_t kStride = kPanel * sizeof(float);
  StoreTile<0>(sums, kStride);
  StoreTile<1>(sums + kTileRows, kStride);
  StoreTile<2>(sums + tile_rows * kPanel, kStride);
  StoreTile<3>(sums + tile_rows * kPanel + kTileRows, kStride);
}

// One row of tiles by one panel or two: sums in tiles 0 to 3, x in 4, weights in 5 to 7. Sums of
// two tiles only would wait for one another.
template <class Weights, bool kTwoPanels>
[[gnu::always_inline]] inline void OneByFour(const Steps& steps, float* sums) {
  ZeroTile<0>();
  ZeroTile<1>();
  ZeroTile<2>();
  ZeroTile<3>();
  const std::byte* x = steps.x;
  const std::byte* w = steps.w;
  for (int64_t s = 0; s < steps.count; ++s) {
#pragma GCC unroll 6
    for (int pair = 0; pair < Weights::kPairs; ++pair) {
      if (pair == 0 || Weights::kXPart[pair] != Weights::kXPart[pair - 1]) {
        LoadTile<4>(x + Weights::kXPart[pair] * steps.x_tile, kTileBytes);
      }
      const std::byte* const at = w + Weights::kWPart[pair] * steps.w_part;
      LoadTile<5>(at, steps.w_row);
      LoadTile<6>(at + steps.w_column, steps.w_row);
      Weights::template Dot<0, 4, 5>();
      Weights::template Dot<1, 4, 6>();
      if constexpr (kTwoPanels) {
        LoadTile<7>(at + steps.w_panel, steps.w_row);
        LoadTile<5>(at + steps.w_panel + steps.w_column, steps.w_row);
        Weights::template Dot<2, 4, 7>();
        Weights::template Dot<3, 4, 5>();
      }
    }
    x += steps.x_tile * (Weights::kPairs == 1 ? 1 : kParts);
    w += steps.w_step;
  }
  constexpr int64_t kStride = kPanel * sizeof(float);
  StoreTile<0>(sums, kStride);
  StoreTile<1>(sums + kTileRows, kStride);
  if constexpr (kTwoPanels) {
    StoreTile<2>(sums + kTileRows * kPanel, kStride);
    StoreTile<3>(sums + kTileRows * kPanel + kTileRows, kStride);
  }
}

TileConfig ConfigOf(const XTiles& tiles) {
  TileConfig config{};
  config.palette = 1;
  const auto rows = static_cast<uint8_t>(tiles.rows);
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileBytes;
    config.rows[i] = rows;
  }
  config.rows[6] = config.rows[7] = kTileRows;
  if (tiles.tiles == 1) config.rows[5] = kTileRows;
  return config;
}

Steps StepsOf(const GemmArgs& args, const WeightLayout& layout, const XTiles& tiles) {
  Steps steps;
  steps.x = args.scratch;
  steps.x_tile = tiles.rows * kTileBytes;
  steps.x_tiles = tiles.steps * tiles.parts * steps.x_tile;
  steps.count = tiles.steps;
  if (tiles.parts == 1) {
    steps.w = args.weights->data;
    steps.w_row = kPanelTiles * kTileBytes;
    steps.w_column = kTileBytes;
    steps.w_part = 0;
    steps.w_step = kPanelTiles * kTile;
    steps.w_panel = static_cast<int64_t>(layout.panel_bytes);
  } else {
    steps.w = args.weights->data + layout.parts_offset;
    steps.w_row = kTileBytes;
    steps.w_column = kTile;
    steps.w_part = kPanelTiles * kTile;
    steps.w_step = kParts * kPanelTiles * kTile;
    steps.w_panel = static_cast<int64_t>(layout.parts_panel_bytes);
  }
  return steps;
}

// The same product of the next `rows` rows.
void Advance(GemmArgs* args, Epilogue* epilogue, int64_t rows) {
  args->x += rows * args->x_stride;
  args->y += rows * args->y_stride;
  if (epilogue->mul != nullptr) epilogue->mul += rows * epilogue->mul_stride;
  if (epilogue->add != nullptr) epilogue->add += rows * epilogue->add_stride;
}

// Rows whose numbers have no parts, one by one.
void RunOddRows(const GemmArgs& args) {
  Epilogue epilogue = *args.epilogue;
  GemmArgs one = args;
  one.epilogue = &epilogue;
  one.m = 1;
  for (int64_t r = 0; r < args.m; ++r) {
    bool odd = false;
    for (int64_t i = 0; i < args.weights->k; ++i) odd = odd || !HasParts(one.x[i]);
    if (odd) args.weights->kernel->plain->run(one);
    Advance(&one, &epilogue, 1);
  }
}

// args.m is at most kTileBlockRows.
template <class Weights>
void RunBlock(const GemmArgs& args) {
  const PackedWeights& weights = *args.weights;
  const GemmKernel& kernel = *weights.kernel;
  const WeightLayout layout = LayoutOf(kernel, weights.k, weights.n);
  const XTiles tiles = XTilesOf(kernel, weights.k, args.m);
  const bool all_have_parts = PrepareTiles<Weights>(args, tiles);
  alignas(64) float sums[2 * kTileRows * kPanel];
  Tile tile{};
  tile.x_scale = reinterpret_cast<const float*>(args.scratch + tiles.scale_offset);
  tile.x_low = reinterpret_cast<const float*>(args.scratch + tiles.low_offset);
  tile.y_stride = args.y_stride;
  tile.epilogue = args.epilogue;
  const int64_t end = EndColumn(args);
  const auto at_column = [&](int64_t column) {
    tile.column = column;
    tile.columns = end - column;
    tile.w_scale = reinterpret_cast<const float*>(weights.data + layout.scale_offset) + column;
    tile.w_sum = reinterpret_cast<const float*>(weights.data + layout.sum_offset) + column;
    tile.y = args.y + column;
  };
  Steps steps = StepsOf(args, layout, tiles);
  steps.w += args.first_column / kPanel * steps.w_panel;
  Configure(ConfigOf(tiles));
  if (tiles.tiles == 1) {
    for (int64_t column = args.first_column; column < end; column += 2 * kPanel) {
      const bool two = end - column > kPanel;
      if (two) {
        OneByFour<Weights, true>(steps, sums);
      } else {
        OneByFour<Weights, false>(steps, sums);
      }
      at_column(column);
      FinishSums<Weights>(tile, sums, 0, args.m);
      if (two) {
        at_column(column + kPanel);
        FinishSums<Weights>(tile, sums + kTileRows * kPanel, 0, args.m);
      }
      steps.w += 2 * steps.w_panel;
    }
  } else {
    for (int64_t column = args.first_column; column < end; column += kPanel) {
      at_column(column);
      steps.x = args.scratch;
      for (int64_t row = 0; row < args.m; row += 2 * tiles.rows) {
        TwoByTwo<Weights>(steps, tiles.rows, sums);
        const int64_t last = row + 2 * tiles.rows;
        FinishSums<Weights>(tile, sums, row, last < args.m ? last : args.m);
        steps.x += 2 * steps.x_tiles;
      }
      steps.w += steps.w_panel;
    }
  }
  Release();
  if (!all_have_parts) RunOddRows(args);
}

template <class Weights>
void RunTiles(const GemmArgs& args) {
  const int64_t run_rows = args.run_rows > args.m ? args.run_rows : args.m;
  if (args.weights->n <= kNarrow || run_rows < Weights::kLeastRows) {
    return args.weights->kernel->plain->run(args);
  }
  if (args.m <= kTileBlockRows) return RunBlock<Weights>(args);
  const int64_t blocks = (args.m + kTileBlockRows - 1) / kTileBlockRows;
  Epilogue epilogue = *args.epilogue;
  GemmArgs block = args;
  block.epilogue = &epilogue;
  for (int64_t i = 0; i < blocks; ++i) {
    block.m = args.m * (i + 1) / blocks - args.m * i / blocks;
    RunBlock<Weights>(block);
    Advance(&block, &epilogue, block.m);
  }
}

}  // namespace

const GemmKernel kAmxF32{"f32 tiles", WeightElement::kF32, XElement::kF32, kPanel,
                         1,           RunTiles<F32Tiles>,  Tiles::kParts,  &kAvx512F32};
const GemmKernel kAmxBf16{"bf16 tiles",        WeightElement::kBf16, XElement::kBf16, kPanel, 2,
                          RunTiles<Bf16Tiles>, Tiles::kPanels,       &kAvx512Bf16Dot};
const GemmKernel kAmxInt8{"int8 tiles",        WeightElement::kInt8, XElement::kUint8, kPanel, 4,
                          RunTiles<Int8Tiles>, Tiles::kPanels,       &kAvx512Int8Dot};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
