// AVX512_VNNI: VPDPBUSD multiplies four unsigned by four signed bytes and adds in 32 bits, without
// saturation: sums stay exact up to k = 66,000.
#if defined(__x86_64__)

#include "engines/fused/gemm/isa_avx512.h"

#if !defined(__AVX512VNNI__)
#error "compile this file with -mavx512vnni"
#endif

namespace gyrfalcon::fused {
namespace {

struct Int8Dot {
  using Acc = __m512i;
  static constexpr int kUnit = 4;
  static constexpr int kElementBytes = 1;
  static constexpr int kXBytes = 1;
  static constexpr int kWideRows = 3;
  static constexpr bool kHasScale = true;
  static constexpr bool kHasLow = true;
  static Acc Start() { return _mm512_setzero_si512(); }
  static __m512i LoadWeights(const std::byte* at) { return _mm512_loadu_si512(at); }
  static __m512i LoadX(const std::byte* at) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(at));
  }
  static Acc Dot(Acc acc, __m512i x, __m512i w) {
    // Not _mm512_dpbusd_epi32: GCC 12 copies the sum before and spills it after each one, which
    // halved the speed of tiles with 20 sums and more.
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
    return acc;
  }
  static __m512 ToFloat(Acc acc) { return _mm512_cvtepi32_ps(acc); }

  // x ≈ scale·q + low with q in [0, 255]; the row's smallest and largest value are exact. One that
  // is not a number makes `low` one too, which no result of the row then is.
  template <bool kScaled>
  static void PrepareRow(const float* x, const float* inverse, int64_t k, std::byte* out,
                         float* scale, float* low) {
    const int64_t whole = k - k % Avx512::kWidth;
    const __mmask16 tail = Avx512::MakeTail(k - whole);
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
    if (whole < k) {
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
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), quantise(load(i)));
    }
    if (whole < k) {
      // The weights behind k are zero, so what is written there does not matter.
      const int64_t padded = (k + kUnit - 1) / kUnit * kUnit;
      _mm_mask_storeu_epi8(out + whole, Avx512::MakeTail(padded - whole), quantise(load_tail()));
    }
  }

  static void PrepareX(const GemmArgs& args, const XLayout& layout) {
    const float* const inverse = args.weights->x_inverse;
    auto* const scale = reinterpret_cast<float*>(args.scratch + layout.scale_offset);
    auto* const low = reinterpret_cast<float*>(args.scratch + layout.low_offset);
    for (int64_t r = 0; r < args.m; ++r) {
      const auto prepare = inverse == nullptr ? PrepareRow<false> : PrepareRow<true>;
      prepare(args.x + r * args.x_stride, inverse, args.weights->k,
              args.scratch + static_cast<size_t>(r) * layout.row_bytes, scale + r, low + r);
    }
  }
};

}  // namespace

const GemmKernel kAvx512Int8Dot{"int8 dot", WeightElement::kInt8, XElement::kUint8,
                                kPanel,     Int8Dot::kUnit,       Run<Avx512, Int8Dot>};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
