// NEON: four floats at a time.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "engines/fused/ops/table.h"

namespace gyrfalcon::fused {
namespace {

struct Neon : Generic<4> {
  static constexpr int kDotRows = 4;
  static constexpr int kProductRows = 4;

  GYR_VECTOR Vec MulAdd(Vec a, Vec b, Vec c) {
    return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  }
  GYR_VECTOR Vec Max(Vec a, Vec b) { return (Vec)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
  GYR_VECTOR Vec Min(Vec a, Vec b) { return (Vec)vminq_f32((float32x4_t)a, (float32x4_t)b); }
  GYR_VECTOR Vec Sqrt(Vec x) { return (Vec)vsqrtq_f32((float32x4_t)x); }
  template <int kStep>
  GYR_VECTOR Vec Swap(Vec v) {
    if constexpr (kStep == 2) {
      return (Vec)vextq_f32((float32x4_t)v, (float32x4_t)v, 2);
    } else {
      return (Vec)vrev64q_f32((float32x4_t)v);
    }
  }
  GYR_VECTOR float Sum(Vec v) { return vaddvq_f32((float32x4_t)v); }
  GYR_VECTOR void Sum4(const Vec* v, float* out) {
    const float32x4_t low = vpaddq_f32((float32x4_t)v[0], (float32x4_t)v[1]);
    const float32x4_t high = vpaddq_f32((float32x4_t)v[2], (float32x4_t)v[3]);
    vst1q_f32(out, vpaddq_f32(low, high));
  }
};

}  // namespace

const OpKernels kNeonOps = MakeOps<Neon>("neon");

}  // namespace gyrfalcon::fused

#endif  // defined(__aarch64__)
