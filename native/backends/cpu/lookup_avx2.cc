// AVX2 with FMA and F16C: eight floats at a time.
#if defined(__x86_64__)

#include <immintrin.h>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/walk.h"

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif

namespace gyrfalcon {
namespace {

struct Avx2 {
  using Vec = __m256;
  struct Tail {
    __m256i mask;
    int64_t size;
  };
  static constexpr int kWidth = 8;
  static constexpr int kBlock = 8;
  static constexpr bool kInt4Table = false;

  static constexpr int64_t kPrefetchLines = kAvx2PrefetchLines;

  static Tail MakeTail(int64_t n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes), n};
  }
  static Vec Zero() { return _mm256_setzero_ps(); }
  static Vec Set1(float x) { return _mm256_set1_ps(x); }
  static Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static Vec LoadF32(const float* at) { return _mm256_loadu_ps(at); }
  static Vec LoadF32Tail(const float* at, Tail tail) { return _mm256_maskload_ps(at, tail.mask); }
  static void StoreF32(float* at, Vec value) { _mm256_storeu_ps(at, value); }
  static void StoreF32Tail(float* at, Tail tail, Vec value) {
    _mm256_maskstore_ps(at, tail.mask, value);
  }

  static Vec FromBF16(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static Vec FromBytes(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)); }
  static Vec FromNibbles(__m128i packed) {  // four bytes
    const __m256i pairs = _mm256_cvtepu8_epi64(packed);
    const __m256i spread = _mm256_or_si256(pairs, _mm256_slli_epi64(pairs, 28));
    return _mm256_cvtepi32_ps(_mm256_and_si256(spread, _mm256_set1_epi32(15)));
  }
  static __m128i Load16Bytes(const std::byte* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  }
  static __m128i Load8Bytes(const std::byte* at) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
  }
  // The first n < 8 16-bit elements: a full load could leave the table.
  static __m128i LoadHalves(const std::byte* at, int64_t n) {
    uint64_t low = 0;
    if ((n & 4) != 0) {
      low = LoadAs<uint64_t>(at);
      at += 8;
    }
    uint64_t rest = 0;
    if ((n & 2) != 0) rest = LoadAs<uint32_t>(at);
    if ((n & 1) != 0) {
      const uint64_t last = LoadAs<uint16_t>(at + 2 * (n & 2));
      rest |= last << (16 * (n & 2));
    }
    return (n & 4) != 0 ? _mm_set_epi64x(static_cast<int64_t>(rest), static_cast<int64_t>(low))
                        : _mm_set_epi64x(0, static_cast<int64_t>(rest));
  }

  template <Storage kStorage>
  static Vec Load(const std::byte* row, int64_t d) {
    if constexpr (kStorage == Storage::kF32) {
      return _mm256_loadu_ps(reinterpret_cast<const float*>(row + 4 * d));
    } else if constexpr (kStorage == Storage::kF16) {
      return _mm256_cvtph_ps(Load16Bytes(row + 2 * d));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(Load16Bytes(row + 2 * d));
    } else if constexpr (kStorage == Storage::kInt8) {
      return FromBytes(Load8Bytes(row + d));
    } else {
      return FromNibbles(_mm_cvtsi32_si128(LoadAs<int32_t>(row + d / 2)));
    }
  }
  template <Storage kStorage>
  static Vec LoadTail(const std::byte* row, int64_t d, Tail tail) {
    if constexpr (kStorage == Storage::kF32) {
      return _mm256_maskload_ps(reinterpret_cast<const float*>(row + 4 * d), tail.mask);
    } else if constexpr (kStorage == Storage::kF16) {
      return _mm256_cvtph_ps(LoadHalves(row + 2 * d, tail.size));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(LoadHalves(row + 2 * d, tail.size));
    } else {
      // Eight bytes of scale and bias follow int8 elements, four follow int4 elements: a full load
      // overruns by at most seven and three bytes and stays in the row.
      return Load<kStorage>(row, d);
    }
  }
  static float HalfToF32(uint16_t half) { return _cvtsh_ss(half); }
  static void Prefetch(const std::byte* at) {
    // Not _mm_prefetch: GCC 12 deletes functions whose only effect it is.
    asm volatile("prefetcht1 %0" : : "m"(*at));
  }
  static void PrefetchNear(const std::byte* at) { asm volatile("prefetcht0 %0" : : "m"(*at)); }
};

}  // namespace

void RunLookupAvx2(const LookupRequest& request, LookupReport* report) {
  Walk<Avx2>(request, report);
}

}  // namespace gyrfalcon

#endif  // defined(__x86_64__)
