// What AMX's tiles hold: the instructions, and x of each precision, prepared.
//
// Included only by gemm_amx.cc, which is compiled for AMX: internal linkage throughout.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_AMX_TILES_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_AMX_TILES_H_

#include "engines/fused/gemm/isa_avx512.h"
#include "engines/fused/gemm/x_bf16.h"
#include "engines/fused/gemm/x_uint8.h"

namespace gyrfalcon::fused {
namespace {

// What LDTILECFG reads.
struct TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

// The intrinsics do not tell the compiler which memory they touch (GCC 12); these do.
[[gnu::always_inline]] inline void Configure(const TileConfig& config) {
  asm volatile("ldtilecfg %0" ::"m"(config));
}

// An idle state is neither saved nor restored at a context switch.
[[gnu::always_inline]] inline void Release() { asm volatile("tilerelease"); }

template <int kTile>
[[gnu::always_inline]] inline void LoadTile(const std::byte* at, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
[[gnu::always_inline]] inline void StoreTile(float* at, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(at), "r"(stride), "i"(kTile) : "memory");
}

template <int kTile>
[[gnu::always_inline]] inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}

constexpr int64_t kTile = kTileRows * kTileBytes;
constexpr int64_t kPanelTiles = kPanel / kTileRows;

// Where the tiles of a step are, of x and of a panel of weights.
struct Steps {
  const std::byte* x;
  int64_t x_tile;   // bytes from a tile of x to that of its next part
  int64_t x_tiles;  // from a row of tiles to the next
  const std::byte* w;
  int64_t w_row;     // bytes from row to row of a tile of weights
  int64_t w_column;  // to the next tile of the same panel
  int64_t w_part;    // to the next part
  int64_t w_step;
  int64_t w_panel;
  int64_t count;
};

// From how many rows on tiles are worth it. Not only their best counts: where another thread of the
// same core is busy, as a cloud's neighbour may be, a tile takes 3 to 4 times as long to load and 2
// to 3 times to multiply, and vectors hardly longer. Emerald Rapids, 3.2 MB of f32 weights: bf16 of
// one row take 26 or 66 to 110 us in tiles and 31 without, f32 of 16 rows 247 or 436 and 350.
struct Bf16Tiles {
  static constexpr int64_t kLeastRows = 3;
  static constexpr int kPairs = 1;
  static constexpr int kXPart[] = {0};
  static constexpr int kWPart[] = {0};
  static constexpr bool kHasScale = false;
  static constexpr bool kHasLow = false;

  template <int kSum, int kX, int kW>
  [[gnu::always_inline]] static void Dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
  }
  static __m512 ToFloat(const float* sums) { return Avx512::LoadF32(sums); }

  static bool PrepareRow(const GemmArgs& args, const XTiles& tiles, int64_t r, std::byte* out) {
    const int64_t k = args.weights->k;
    const int64_t step = tiles.rows * kTileBytes;
    RoundRow(args.x + r * args.x_stride, k, tiles.steps * tiles.depth,
             [=](int64_t i) { return out + i / 32 * step + i % 32 * 2; });
    return true;
  }
};

struct Int8Tiles : Bf16Tiles {
  static constexpr int64_t kLeastRows = 8;
  static constexpr bool kHasScale = true;
  static constexpr bool kHasLow = true;

  template <int kSum, int kX, int kW>
  [[gnu::always_inline]] static void Dot() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
  }
  static __m512 ToFloat(const float* sums) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(sums)); }

  static bool PrepareRow(const GemmArgs& args, const XTiles& tiles, int64_t r, std::byte* out) {
    const int64_t step = tiles.rows * kTileBytes;
    QuantiseRow({args.x + r * args.x_stride, args.weights->x_inverse, args.weights->k},
                reinterpret_cast<float*>(args.scratch + tiles.scale_offset) + r,
                reinterpret_cast<float*>(args.scratch + tiles.low_offset) + r,
                [=](int64_t i) { return out + i / 64 * step + i % 64; });
    return true;
  }
};

struct F32Tiles : Bf16Tiles {
  static constexpr int64_t kLeastRows = 32;
  // From one pair to the next one part changes, which saves loads; the smallest come first.
  static constexpr int kPairs = 6;
  static constexpr int kXPart[] = {2, 1, 1, 0, 0, 0};
  static constexpr int kWPart[] = {0, 0, 1, 1, 2, 0};

  static bool PrepareRow(const GemmArgs& args, const XTiles& tiles, int64_t r, std::byte* out) {
    const float* const x = args.x + r * args.x_stride;
    const int64_t k = args.weights->k;
    const int64_t part = tiles.rows * kTileBytes;
    const __m512 most = Avx512::Set1(0x1p127f);
    __mmask16 good = 0xffff;
    for (int64_t i = 0; i < tiles.steps * kPartsDepth; i += Avx512::kWidth) {
      std::byte* at = out + i / kPartsDepth * kParts * part + i % kPartsDepth * 2;
      __m512 rest = Avx512::LoadF32Tail(x + i, Avx512::FirstOf(k - i));
      good &= _mm512_cmp_ps_mask(_mm512_abs_ps(rest), most, _CMP_LT_OQ);
#pragma GCC unroll 3
      for (int p = 0; p < kParts; ++p, at += part) {
        const __m256i rounded = RoundToBf16(rest);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), rounded);
        const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16);
        rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(bits));
      }
    }
    return good == 0xffff;
  }
};

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_AMX_TILES_H_
