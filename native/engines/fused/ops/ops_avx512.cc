// AVX-512: sixteen floats at a time.
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC bug 105593: unmasked AVX-512 intrinsics start from a variable that is initialised by itself.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "engines/fused/ops/row_end_x64.h"
#include "engines/fused/ops/table.h"

#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
#error "compile this file with -mavx512f -mavx512dq"
#endif

namespace gyrfalcon::fused {
namespace {

struct Avx512 : Generic<16> {
  static constexpr int kDotRows = 4;
  static constexpr bool kSums16 = true;
  static constexpr int kProductRows = 6;

  GYR_VECTOR __mmask16 First(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
  GYR_VECTOR Vec LoadFirst(const float* at, int64_t n) {
    return (Vec)_mm512_maskz_loadu_ps(First(n), at);
  }
  GYR_VECTOR Vec LoadFirstOr(const float* at, int64_t n, Vec rest) {
    return (Vec)_mm512_mask_loadu_ps((__m512)rest, First(n), at);
  }
  GYR_VECTOR void StoreFirst(float* at, Vec value, int64_t n) {
    __m256 eight = _mm512_castps512_ps256((__m512)value);
    if ((n & 8) != 0) {
      _mm256_storeu_ps(at, eight);
      eight = _mm512_extractf32x8_ps((__m512)value, 1);
      at += 8;
    }
    StoreFirstOf8(at, eight, n & 7);
  }
  GYR_VECTOR Vec Max(Vec a, Vec b) {
    const __mmask16 nan = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q);
    return (Vec)_mm512_mask_mov_ps(_mm512_max_ps((__m512)a, (__m512)b), nan, (__m512)a);
  }
  GYR_VECTOR Vec Min(Vec a, Vec b) {
    const __mmask16 nan = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q);
    return (Vec)_mm512_mask_mov_ps(_mm512_min_ps((__m512)a, (__m512)b), nan, (__m512)a);
  }
  GYR_VECTOR Vec MulAdd(Vec a, Vec b, Vec c) {
    return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  }
  GYR_VECTOR Vec Select(Int mask, Vec a, Vec b) {
    return (Vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
  }
  GYR_VECTOR Vec Sqrt(Vec x) { return (Vec)_mm512_sqrt_ps((__m512)x); }
  template <int kStep>
  GYR_VECTOR Vec Swap(Vec v) {
    if constexpr (kStep >= 4) {
      return (Vec)_mm512_shuffle_f32x4((__m512)v, (__m512)v, kStep == 8 ? 0x4e : 0xb1);
    } else {
      return (Vec)_mm512_permute_ps((__m512)v, kStep == 2 ? 0x4e : 0xb1);
    }
  }
  GYR_VECTOR __m256 Half(Vec v) {
    return _mm256_add_ps(_mm512_castps512_ps256((__m512)v), _mm512_extractf32x8_ps((__m512)v, 1));
  }
  GYR_VECTOR float Sum(Vec v) {
    const __m256 eight = Half(v);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  // In each quarter of the result, the sums of that quarter of the four.
  GYR_VECTOR __m512 Quarters(const Vec* v) {
    const auto fold = [](Vec a, Vec b) {
      return _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b),
                           _mm512_unpackhi_ps((__m512)a, (__m512)b));
    };
    const __m512d low = _mm512_castps_pd(fold(v[0], v[1]));
    const __m512d high = _mm512_castps_pd(fold(v[2], v[3]));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
  }
  GYR_VECTOR void Sum4(const Vec* v, float* out) {
    const __m256 two = Half((Vec)Quarters(v));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1)));
  }
  // As four times Sum4, at half the price.
  GYR_VECTOR void Sum16(const Vec (*v)[4], float* out) {
    const auto fold = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    };
    _mm512_storeu_ps(
        out, fold(fold(Quarters(v[0]), Quarters(v[1])), fold(Quarters(v[2]), Quarters(v[3]))));
  }
};

}  // namespace

const OpKernels kAvx512Ops = MakeOps<Avx512>("avx512");

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
