// Rows of x as bf16, to nearest even, for the kernels that multiply such numbers.
//
// Included only by files that are compiled for AVX512_BF16; gemm_tile.h's rules hold here.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_X_BF16_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_X_BF16_H_

#include "engines/fused/gemm/isa_avx512.h"

#if !defined(__AVX512BF16__)
#error "compile files that include this one with -mavx512bf16"
#endif

namespace gyrfalcon::fused {
namespace {

inline __m256i RoundToBf16(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }

// Writes k numbers and zeros up to `padded`; place(i) says where those from i on go, i being a
// multiple of 16, of which no two lie closer than 32 bytes.
template <class Place>
[[gnu::always_inline]] inline void RoundRow(const float* x, int64_t k, int64_t padded,
                                            Place place) {
  int64_t i = 0;
  for (; i + Avx512::kWidth <= k; i += Avx512::kWidth) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(place(i)), RoundToBf16(Avx512::LoadF32(x + i)));
  }
  for (; i < padded; i += Avx512::kWidth) {
    const __m512 last = Avx512::LoadF32Tail(x + i, Avx512::FirstOf(k - i));
    _mm256_mask_storeu_epi16(place(i), Avx512::FirstOf(padded - i), RoundToBf16(last));
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_X_BF16_H_
