// AVX2 with FMA: tiles of 6 rows by 16 columns, 12 of the 16 registers.
#if defined(__x86_64__)

#include <immintrin.h>

#include "engines/fused/gemm/gemm_tile.h"

#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif

namespace gyrfalcon::fused {
namespace {

struct Avx2 {
  using Vec = __m256;
  using Tail = __m256i;
  static constexpr int kWidth = 8;
  static constexpr int kPanelVecs = 2;
  static constexpr int kMaxRows = 6;
  static constexpr int kWideRows = 1;

  static Tail MakeTail(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
  }
  static Vec Zero() { return _mm256_setzero_ps(); }
  static Vec Set1(float x) { return _mm256_set1_ps(x); }
  static Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
  static Vec SelectPositive(Vec x, Vec a, Vec b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, Zero(), _CMP_GT_OQ));
  }
  static Vec LoadF32(const float* at) { return _mm256_loadu_ps(at); }
  static Vec LoadF32Tail(const float* at, Tail tail) { return _mm256_maskload_ps(at, tail); }
  static void StoreF32(float* at, Vec value) { _mm256_storeu_ps(at, value); }
  static void StoreF32Tail(float* at, Tail tail, Vec value) {
    _mm256_maskstore_ps(at, tail, value);
  }
  static float Total(Vec v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }
  static Vec LoadBf16(const std::byte* at) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static Vec LoadInt8(const std::byte* at) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
};

constexpr int kPanel = Avx2::kWidth * Avx2::kPanelVecs;

}  // namespace

const GemmKernel kAvx2F32{"f32", WeightElement::kF32,        XElement::kF32, kPanel,
                          1,     Run<Avx2, F32Weights<Avx2>>};
const GemmKernel kAvx2Bf16{"bf16", WeightElement::kBf16,        XElement::kF32, kPanel,
                           1,      Run<Avx2, Bf16Weights<Avx2>>};
const GemmKernel kAvx2Int8{"int8", WeightElement::kInt8,        XElement::kF32, kPanel,
                           1,      Run<Avx2, Int8Weights<Avx2>>};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
