// NEON: tiles of 6 rows by 16 columns, 24 of the 32 registers.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "engines/fused/gemm/gemm_tile.h"

namespace gyrfalcon::fused {
namespace {

struct Neon {
  using Vec = float32x4_t;
  using Tail = int64_t;
  static constexpr int kWidth = 4;
  static constexpr int kPanelVecs = 4;
  static constexpr int kMaxRows = 6;
  static constexpr int kWideRows = 1;

  static Tail MakeTail(int64_t n) { return n; }
  static Vec Zero() { return vdupq_n_f32(0.0f); }
  static Vec Set1(float x) { return vdupq_n_f32(x); }
  static Vec Add(Vec a, Vec b) { return vaddq_f32(a, b); }
  static Vec Mul(Vec a, Vec b) { return vmulq_f32(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static Vec Max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Vec Min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Vec SelectPositive(Vec x, Vec a, Vec b) { return vbslq_f32(vcgtzq_f32(x), a, b); }
  static Vec LoadF32(const float* at) { return vld1q_f32(at); }
  static Vec LoadF32Tail(const float* at, Tail n) {
    Vec value = vsetq_lane_f32(at[0], Zero(), 0);
    if (n > 1) value = vsetq_lane_f32(at[1], value, 1);
    if (n > 2) value = vsetq_lane_f32(at[2], value, 2);
    return value;
  }
  static void StoreF32(float* at, Vec value) { vst1q_f32(at, value); }
  static void StoreF32Tail(float* at, Tail n, Vec value) {
    at[0] = vgetq_lane_f32(value, 0);
    if (n > 1) at[1] = vgetq_lane_f32(value, 1);
    if (n > 2) at[2] = vgetq_lane_f32(value, 2);
  }
  static float Total(Vec v) { return vaddvq_f32(v); }
  static Vec LoadBf16(const std::byte* at) {
    const uint16x4_t halves = vld1_u16(reinterpret_cast<const uint16_t*>(at));
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
  }
  static Vec LoadInt8(const std::byte* at) {
    int32_t four;
    __builtin_memcpy(&four, at, sizeof(four));
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
  }
};

constexpr int kPanel = Neon::kWidth * Neon::kPanelVecs;

}  // namespace

const GemmKernel kNeonF32{"f32", WeightElement::kF32,        XElement::kF32, kPanel,
                          1,     Run<Neon, F32Weights<Neon>>};
const GemmKernel kNeonBf16{"bf16", WeightElement::kBf16,        XElement::kF32, kPanel,
                           1,      Run<Neon, Bf16Weights<Neon>>};
const GemmKernel kNeonInt8{"int8", WeightElement::kInt8,        XElement::kF32, kPanel,
                           1,      Run<Neon, Int8Weights<Neon>>};

}  // namespace gyrfalcon::fused

#endif  // defined(__aarch64__)
