// NEON: four floats at a time.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/walk.h"

namespace gyrfalcon {
namespace {

struct Neon {
  using Vec = float32x4_t;
  using Tail = int64_t;
  static constexpr int kWidth = 4;
  static constexpr int kBlock = 16;
  static constexpr bool kInt4Table = false;
  static constexpr int64_t kPrefetchLines = kNeonPrefetchLines;

  static Tail MakeTail(int64_t n) { return n; }
  static Vec Zero() { return vdupq_n_f32(0.0f); }
  static Vec Set1(float x) { return vdupq_n_f32(x); }
  static Vec Add(Vec a, Vec b) { return vaddq_f32(a, b); }
  static Vec Mul(Vec a, Vec b) { return vmulq_f32(a, b); }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static Vec Fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static Vec LoadF32(const float* at) { return vld1q_f32(at); }
  static Vec LoadF32Tail(const float* at, Tail n) {
    return FloatTail(reinterpret_cast<const std::byte*>(at), n);
  }
  static void StoreF32(float* at, Vec value) { vst1q_f32(at, value); }
  static void StoreF32Tail(float* at, Tail n, Vec value) {
    at[0] = vgetq_lane_f32(value, 0);
    if (n > 1) at[1] = vgetq_lane_f32(value, 1);
    if (n > 2) at[2] = vgetq_lane_f32(value, 2);
  }

  static Vec FloatTail(const std::byte* at, Tail n) {  // rows may be unaligned: not vld1q_lane
    Vec value = vsetq_lane_f32(LoadAs<float>(at), vdupq_n_f32(0.0f), 0);
    if (n > 1) value = vsetq_lane_f32(LoadAs<float>(at + 4), value, 1);
    if (n > 2) value = vsetq_lane_f32(LoadAs<float>(at + 8), value, 2);
    return value;
  }
  // The first n < 4 16-bit elements in the low bits: a full load could leave the table.
  static uint64_t HalvesTail(const std::byte* at, Tail n) {
    uint64_t halves = LoadAs<uint16_t>(at);
    if (n > 1) halves |= static_cast<uint64_t>(LoadAs<uint16_t>(at + 2)) << 16;
    if (n > 2) halves |= static_cast<uint64_t>(LoadAs<uint16_t>(at + 4)) << 32;
    return halves;
  }
  static Vec FromF16(uint64_t halves) {
    return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(halves)));
  }
  static Vec FromBF16(uint64_t halves) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u64(vcreate_u64(halves)), 16));
  }
  static Vec FromBytes(uint32_t bytes) {
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u64(vcreate_u64(bytes)));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
  }
  static Vec FromNibbles(uint32_t packed) {  // two bytes
    const uint32_t low = packed & 0x0f0fu;
    const uint32_t high = (packed >> 4) & 0x0f0fu;
    const uint8x8_t lows = vreinterpret_u8_u64(vcreate_u64(low));
    const uint8x8_t highs = vreinterpret_u8_u64(vcreate_u64(high));
    const uint16x8_t wide = vmovl_u8(vzip1_u8(lows, highs));
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
  }

  template <Storage kStorage>
  static Vec Load(const std::byte* row, int64_t d) {
    if constexpr (kStorage == Storage::kF32) {
      return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(row + 4 * d)));
    } else if constexpr (kStorage == Storage::kF16) {
      return FromF16(LoadAs<uint64_t>(row + 2 * d));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(LoadAs<uint64_t>(row + 2 * d));
    } else if constexpr (kStorage == Storage::kInt8) {
      return FromBytes(LoadAs<uint32_t>(row + d));
    } else {
      return FromNibbles(LoadAs<uint16_t>(row + d / 2));
    }
  }
  template <Storage kStorage>
  static Vec LoadTail(const std::byte* row, int64_t d, Tail n) {
    if constexpr (kStorage == Storage::kF32) {
      return FloatTail(row + 4 * d, n);
    } else if constexpr (kStorage == Storage::kF16) {
      return FromF16(HalvesTail(row + 2 * d, n));
    } else if constexpr (kStorage == Storage::kBF16) {
      return FromBF16(HalvesTail(row + 2 * d, n));
    } else {
      // Eight bytes of scale and bias follow int8 elements, four follow int4 elements: a full load
      // overruns by at most three bytes and one and stays in the row.
      return Load<kStorage>(row, d);
    }
  }
  static float HalfToF32(uint16_t half) { return vgetq_lane_f32(FromF16(half), 0); }
  static void Prefetch(const std::byte* at) { asm volatile("prfm pldl2keep, %0" : : "Q"(*at)); }
  static void PrefetchNear(const std::byte* at) { asm volatile("prfm pldl1keep, %0" : : "Q"(*at)); }
};

}  // namespace

void RunLookupNeon(const LookupRequest& request, LookupReport* report) {
  Walk<Neon>(request, report);
}

}  // namespace gyrfalcon

#endif  // defined(__aarch64__)
