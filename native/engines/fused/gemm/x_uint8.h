// Rows of x as bytes, for the kernels that multiply such numbers.
//
// Included only by files that are compiled for AVX-512; gemm_tile.h's rules hold here.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_X_UINT8_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_X_UINT8_H_

#include "engines/fused/gemm/isa_avx512.h"

namespace gyrfalcon::fused {
namespace {

struct RowOfX {
  const float* x;        // [k]
  const float* inverse;  // [k], what x is multiplied by first; or null
  int64_t k;
};

// x ≈ scale·q + low with q in [0, 255]; the row's smallest and largest value are exact. One that
// is not a number makes `low` one too, which no result of the row then is. place(i) says where
// those from i on go, i being a multiple of 16. What is written behind k does not matter: the
// weights there are zero.
template <bool kScaled, class Place>
[[gnu::always_inline]] inline void QuantiseScaled(const RowOfX& row, float* scale, float* low,
                                                  Place place) {
  const float* const x = row.x;
  const float* const inverse = row.inverse;
  const int64_t whole = row.k - row.k % Avx512::kWidth;
  const __mmask16 tail = Avx512::MakeTail(row.k - whole);
  const auto load = [=](int64_t i) {
    const __m512 v = Avx512::LoadF32(x + i);
    return kScaled ? Avx512::Mul(v, Avx512::LoadF32(inverse + i)) : v;
  };
  const auto load_tail = [=]() {
    const __m512 v = Avx512::LoadF32Tail(x + whole, tail);
    return kScaled ? Avx512::Mul(v, Avx512::LoadF32Tail(inverse + whole, tail)) : v;
  };
  __m512 smallest = Avx512::Set1(__builtin_inff());
  __m512 largest = Avx512::Set1(-__builtin_inff());
  __mmask16 no_number = 0;
  for (int64_t i = 0; i < whole; i += Avx512::kWidth) {
    const __m512 v = load(i);
    smallest = Avx512::Min(smallest, v);
    largest = Avx512::Max(largest, v);
    no_number = _kor_mask16(no_number, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
  }
  if (whole < row.k) {
    const __m512 v = load_tail();
    smallest = _mm512_mask_min_ps(smallest, tail, smallest, v);
    largest = _mm512_mask_max_ps(largest, tail, largest, v);
    no_number = _kor_mask16(no_number, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
  }
  const float min = _mm512_reduce_min_ps(smallest);
  const float max = _mm512_reduce_max_ps(largest);
  const float range = max - min;
  *low = no_number == 0 ? min : __builtin_nanf("");
  *scale = range / 255.0f;
  const __m512 factor = Avx512::Set1(range > 0.0f ? 255.0f / range : 0.0f);
  const __m512 base = Avx512::Set1(min);
  const auto quantise = [&](__m512 v) {
    const __m512i q = _mm512_cvtps_epi32(Avx512::Mul(_mm512_sub_ps(v, base), factor));
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(q, _mm512_setzero_si512()));
  };
  for (int64_t i = 0; i < whole; i += Avx512::kWidth) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(place(i)), quantise(load(i)));
  }
  if (whole < row.k) {
    // Products take four numbers at a time, or more.
    const int64_t padded = (row.k + 3) / 4 * 4;
    _mm_mask_storeu_epi8(place(whole), Avx512::MakeTail(padded - whole), quantise(load_tail()));
  }
}

template <class Place>
[[gnu::always_inline]] inline void QuantiseRow(const RowOfX& row, float* scale, float* low,
                                               Place place) {
  if (row.inverse == nullptr) return QuantiseScaled<false>(row, scale, low, place);
  QuantiseScaled<true>(row, scale, low, place);
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_X_UINT8_H_
