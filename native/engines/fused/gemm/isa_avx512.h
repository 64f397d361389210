// The AVX-512 policy of gemm_tile.h, for the files that are compiled for it.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_ISA_AVX512_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_ISA_AVX512_H_

#if defined(__GNUC__) && !defined(__clang__)
// GCC bug 105593: unmasked AVX-512 intrinsics start from a variable that is initialised by itself.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "engines/fused/gemm/gemm_tile.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__)
#error "compile this file with -mavx512f -mavx512bw -mavx512vl -mavx512dq"
#endif

namespace gyrfalcon::fused {
namespace {

// Tiles of 8 rows by 32 columns. 12 rows would fit the registers too, and were 5 to 20 % slower: so
// many streams of x do not stay in a first-level cache of 8 ways.
struct Avx512 {
  using Vec = __m512;
  using Tail = __mmask16;
  static constexpr int kWidth = 16;
  static constexpr int kPanelVecs = 2;
  static constexpr int kMaxRows = 8;
  static constexpr int kWideRows = 3;

  static Tail MakeTail(int64_t n) { return static_cast<Tail>((1u << n) - 1u); }
  // MakeTail for any n: none below 0, all from kWidth on.
  static Tail FirstOf(int64_t n) {
    if (n >= kWidth) return MakeTail(kWidth);
    return n <= 0 ? Tail{0} : MakeTail(n);
  }
  static Vec Zero() { return _mm512_setzero_ps(); }
  static Vec Set1(float x) { return _mm512_set1_ps(x); }
  static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
  static Vec SelectPositive(Vec x, Vec a, Vec b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, Zero(), _CMP_GT_OQ), b, a);
  }
  static Vec LoadF32(const float* at) { return _mm512_loadu_ps(at); }
  static Vec LoadF32Tail(const float* at, Tail tail) { return _mm512_maskz_loadu_ps(tail, at); }
  static void StoreF32(float* at, Vec value) { _mm512_storeu_ps(at, value); }
  static void StoreF32Tail(float* at, Tail tail, Vec value) {
    _mm512_mask_storeu_ps(at, tail, value);
  }
  static float Total(Vec v) { return _mm512_reduce_add_ps(v); }
  static Vec LoadBf16(const std::byte* at) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static Vec LoadInt8(const std::byte* at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
};

constexpr int kPanel = Avx512::kWidth * Avx512::kPanelVecs;

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_ISA_AVX512_H_
