// AVX2 with FMA: eight floats at a time.
#if defined(__x86_64__)

#include <immintrin.h>

#include "engines/fused/ops/row_end_x64.h"
#include "engines/fused/ops/table.h"

#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif

namespace gyrfalcon::fused {
namespace {

struct Avx2 : Generic<8> {
  static constexpr int kDotRows = 2;
  static constexpr int kProductRows = 4;

  GYR_VECTOR __m256i First(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
  }
  GYR_VECTOR Vec LoadFirst(const float* at, int64_t n) {
    return (Vec)_mm256_maskload_ps(at, First(n));
  }
  GYR_VECTOR Vec LoadFirstOr(const float* at, int64_t n, Vec rest) {
    const __m256i first = First(n);
    return (Vec)_mm256_blendv_ps((__m256)rest, _mm256_maskload_ps(at, first), (__m256)first);
  }
  GYR_VECTOR void StoreFirst(float* at, Vec value, int64_t n) {
    StoreFirstOf8(at, (__m256)value, n);
  }
  GYR_VECTOR Vec Max(Vec a, Vec b) {
    const __m256 nan = _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q);
    return (Vec)_mm256_blendv_ps(_mm256_max_ps((__m256)a, (__m256)b), (__m256)a, nan);
  }
  GYR_VECTOR Vec Min(Vec a, Vec b) {
    const __m256 nan = _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q);
    return (Vec)_mm256_blendv_ps(_mm256_min_ps((__m256)a, (__m256)b), (__m256)a, nan);
  }
  GYR_VECTOR Vec MulAdd(Vec a, Vec b, Vec c) {
    return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  }
  GYR_VECTOR Vec Select(Int mask, Vec a, Vec b) {
    return (Vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
  }
  GYR_VECTOR Vec Sqrt(Vec x) { return (Vec)_mm256_sqrt_ps((__m256)x); }
  template <int kStep>
  GYR_VECTOR Vec Swap(Vec v) {
    if constexpr (kStep == 4) {
      return (Vec)_mm256_permute2f128_ps((__m256)v, (__m256)v, 1);
    } else {
      return (Vec)_mm256_permute_ps((__m256)v, kStep == 2 ? 0x4e : 0xb1);
    }
  }
  GYR_VECTOR __m128 Half(Vec v) {
    return _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  }
  GYR_VECTOR float Sum(Vec v) {
    const __m128 four = Half(v);
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  GYR_VECTOR void Sum4(const Vec* v, float* out) {
    const __m128 low = _mm_hadd_ps(Half(v[0]), Half(v[1]));
    const __m128 high = _mm_hadd_ps(Half(v[2]), Half(v[3]));
    _mm_storeu_ps(out, _mm_hadd_ps(low, high));
  }
};

}  // namespace

const OpKernels kAvx2Ops = MakeOps<Avx2>("avx2");

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
