// AVX512_BF16: VDPBF16PS multiplies pairs of bf16 and adds in f32. x is rounded to bf16 first.
#if defined(__x86_64__)

#include "engines/fused/gemm/isa_avx512.h"
#include "engines/fused/gemm/x_bf16.h"

#if !defined(__AVX512BF16__)
#error "compile this file with -mavx512bf16"
#endif

namespace gyrfalcon::fused {
namespace {

struct Bf16Dot {
  using Acc = __m512;
  static constexpr int kUnit = 2;
  static constexpr int kElementBytes = 2;
  static constexpr int kXBytes = 2;
  static constexpr int kWideRows = 3;
  static constexpr bool kHasScale = false;
  static constexpr bool kHasLow = false;
  static Acc Start() { return _mm512_setzero_ps(); }
  static __m512i LoadWeights(const std::byte* at) { return _mm512_loadu_si512(at); }
  static __m512i LoadX(const std::byte* at) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(at));
  }
  static Acc Dot(Acc acc, __m512i x, __m512i w) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
  static __m512 ToFloat(Acc acc) { return acc; }

  static void PrepareX(const GemmArgs& args, const XLayout& layout) {
    const int64_t k = args.weights->k;
    for (int64_t r = 0; r < args.m; ++r) {
      std::byte* const out = args.scratch + static_cast<size_t>(r) * layout.row_bytes;
      RoundRow(args.x + r * args.x_stride, k, k + k % kUnit,
               [out](int64_t i) { return out + kXBytes * i; });
    }
  }
};

}  // namespace

const GemmKernel kAvx512Bf16Dot{"bf16 dot", WeightElement::kBf16, XElement::kBf16,
                                kPanel,     Bf16Dot::kUnit,       Run<Avx512, Bf16Dot>};

}  // namespace gyrfalcon::fused

#endif  // defined(__x86_64__)
