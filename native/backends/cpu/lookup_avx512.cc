// AVX-512 (F, BW, VL, DQ): sixteen floats at a time, tails by mask.
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC bug 105593: unmasked AVX-512 intrinsics start from a variable that is initialised by itself.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/walk.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__)
#error "compile this file with -mavx512f -mavx512bw -mavx512vl -mavx512dq"
#endif

namespace gyrfalcon {
namespace {

struct Avx512 {
  using Vec = __m512;
  using Tail = __mmask16;
  static constexpr int kWidth = 16;
  static constexpr int kBlock = 8;
  static constexpr bool kInt4Table = true;

  static constexpr int64_t kPrefetchLines = kAvx512PrefetchLines;

  static Tail MakeTail(int64_t n) { return static_cast<Tail>((1u << n) - 1u); }
  static Vec Zero() { return _mm512_setzero_ps(); }
  static Vec Set1(float x) { return _mm512_set1_ps(x); }
  static Vec Iota() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static Vec LoadF32(const float* at) { return _mm512_loadu_ps(at); }
  static Vec LoadF32Tail(const float* at, Tail tail) { return _mm512_maskz_loadu_ps(tail, at); }
  static void StoreF32(float* at, Vec value) { _mm512_storeu_ps(at, value); }
  static void StoreF32Tail(float* at, Tail tail, Vec value) {
    _mm512_mask_storeu_ps(at, tail, value);
  }

  static Vec FromBF16(__m256i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static Vec FromBytes(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }
  // Eight bytes -> sixteen lanes whose low four bits are the nibbles; the bits above are rubbish.
  static __m512i Spread(__m128i packed) {
    const __m512i pairs = _mm512_cvtepu8_epi64(packed);
    return _mm512_or_si512(pairs, _mm512_slli_epi64(pairs, 28));
  }
  static __m128i Packed(const std::byte* row, int64_t d) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + d / 2));
  }
  static __m128i PackedTail(const std::byte* row, int64_t d, Tail tail) {
    // One bit per pair: the even ones of the tail's bits, closed up.
    const auto count = static_cast<unsigned>(__builtin_popcount(tail));
    const auto bytes = static_cast<__mmask16>((1u << ((count + 1u) / 2u)) - 1u);
    return _mm_maskz_loadu_epi8(bytes, row + d / 2);
  }

  template <Storage kStorage>
  static Vec Load(const std::byte* row, int64_t d) {
    if constexpr (kStorage == Storage::kF32) {
      return _mm512_loadu_ps(row + 4 * d);
    } else if constexpr (kStorage == Storage::kF16) {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 2 * d)));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 2 * d)));
    } else {
      static_assert(kStorage == Storage::kInt8);
      return FromBytes(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + d)));
    }
  }
  template <Storage kStorage>
  static Vec LoadTail(const std::byte* row, int64_t d, Tail tail) {
    if constexpr (kStorage == Storage::kF32) {
      return _mm512_maskz_loadu_ps(tail, row + 4 * d);
    } else if constexpr (kStorage == Storage::kF16) {
      return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(tail, row + 2 * d));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(_mm256_maskz_loadu_epi16(tail, row + 2 * d));
    } else {
      static_assert(kStorage == Storage::kInt8);
      return FromBytes(_mm_maskz_loadu_epi8(tail, row + d));
    }
  }
  // VPERMPS looks at the low four bits of each lane only.
  static Vec PickInt4(const std::byte* row, int64_t d, Vec table) {
    return _mm512_permutexvar_ps(Spread(Packed(row, d)), table);
  }
  static Vec PickInt4Tail(const std::byte* row, int64_t d, Tail tail, Vec table) {
    return _mm512_permutexvar_ps(Spread(PackedTail(row, d, tail)), table);
  }
  // Of 16 * kParts nibbles, those whose number leaves a rest of 0, 1, ... by kParts. VPERMPS
  // ignores the bits above, so that a lane may hold up to eight nibbles and each costs one shift at
  // most: with their additions 23 instructions for 128 of them, where PickInt4 takes 40.
  template <int kParts>
  static void PickInt4Parts(const std::byte* row, int64_t d, Vec table, Vec* parts) {
    const std::byte* const at = row + d / 2;
    __m512i lanes;
    if constexpr (kParts == 8) {
      lanes = _mm512_loadu_si512(at);
    } else if constexpr (kParts == 4) {
      lanes = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    } else {
      static_assert(kParts == 2);
      lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    }
    parts[0] = _mm512_permutexvar_ps(lanes, table);
#pragma GCC unroll 8
    for (int p = 1; p < kParts; ++p) {
      parts[p] =
          _mm512_permutexvar_ps(_mm512_srli_epi32(lanes, static_cast<unsigned>(4 * p)), table);
    }
  }
  static void HalvesToF32(uint32_t halves, float* low, float* high) {
    const __m128 both = _mm_maskz_cvtph_ps(3, _mm_cvtsi32_si128(static_cast<int>(halves)));
    *low = _mm_cvtss_f32(both);
    *high = _mm_cvtss_f32(_mm_movehdup_ps(both));
  }
  // Even and odd numbers become the first half and the second.
  static void Interleave(Vec* even, Vec* odd) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const Vec first = _mm512_permutex2var_ps(*even, low, *odd);
    *odd = _mm512_permutex2var_ps(*even, high, *odd);
    *even = first;
  }
  static void Prefetch(const std::byte* at) {
    // Not _mm_prefetch: GCC 12 deletes functions whose only effect it is.
    asm volatile("prefetcht1 %0" : : "m"(*at));
  }
  static void PrefetchNear(const std::byte* at) { asm volatile("prefetcht0 %0" : : "m"(*at)); }
};

}  // namespace

void RunLookupAvx512(const LookupRequest& request, LookupReport* report) {
  Walk<Avx512>(request, report);
}

}  // namespace gyrfalcon

#endif  // defined(__x86_64__)
