// AVX512_VNNI: VPDPBUSD multiplies four unsigned by four signed bytes and adds in 32 bits, without
// saturation: sums stay exact up to k = 66,000.
#if defined(__x86_64__)

#include "engines/fused/gemm/isa_avx512.h"
#include "engines/fused/gemm/x_uint8.h"

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

  static void PrepareX(const GemmArgs& args, const XLayout& layout) {
    const int64_t k = args.weights->k;
    auto* const scale = reinterpret_cast<float*>(args.scratch + layout.scale_offset);
    auto* const low = reinterpret_cast<float*>(args.scratch + layout.low_offset);
    for (int64_t r = 0; r < args.m; ++r) {
      std::byte* const out = args.scratch + static_cast<size_t>(r) * layout.row_bytes;
      QuantiseRow({args.x + r * args.x_stride, args.weights->x_inverse, k}, scale + r, low + r,
                  [out](int64_t i) { return out + i; });
    }
  }
};

}  // namespace

const GemmKernel kAvx512Int8Dot{"int8 dot", WeightElement::kInt8, XElement::kUint8,
                                kPanel,     Int8Dot::kUnit,       Run<Avx512, Int8Dot>};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
