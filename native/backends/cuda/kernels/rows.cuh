// Policies: how 16 bytes of a row become f32 values, one struct for each storage. A policy has
//   kElements        values in 16 bytes
//   kHasScale        whether a row keeps a scale and bias beside its values
//   Scale, ReadScale what a row keeps beside its values, read once per row by every lane
//   Accumulate       acc[e] += weight * (stored value e without its bias); returns what the bias
//                    adds to every element
//   Decode           values exactly as the CPU computes them: fma(q, scale, bias)
#ifndef GYRFALCON_BACKENDS_CUDA_KERNELS_ROWS_CUH_
#define GYRFALCON_BACKENDS_CUDA_KERNELS_ROWS_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace gyrfalcon::cuda {

// Plain rows pass L1 by: they are rarely read twice by one multiprocessor. The scale of a quantised
// row is read apart and often lies in a sector of its values, so these stay there until then.
template <bool kHasScale>
__device__ __forceinline__ uint4 LoadChunk(uint64_t address) {
  uint4 v;
  if constexpr (kHasScale) {
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(address));
  } else {
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(address));
  }
  return v;
}

__device__ __forceinline__ uint32_t Word(const uint4& chunk, int i) {
  return i == 0 ? chunk.x : i == 1 ? chunk.y : i == 2 ? chunk.z : chunk.w;
}

struct NoScale {};

struct F32Rows {
  static constexpr int kElements = 4;
  static constexpr bool kHasScale = false;
  using Scale = NoScale;
  static __device__ __forceinline__ Scale ReadScale(uint64_t) { return {}; }
  static __device__ __forceinline__ void Decode(const uint4& chunk, Scale, float* v) {
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = __uint_as_float(Word(chunk, i));
  }
};

struct F16Rows {
  static constexpr int kElements = 8;
  static constexpr bool kHasScale = false;
  using Scale = NoScale;
  static __device__ __forceinline__ Scale ReadScale(uint64_t) { return {}; }
  static __device__ __forceinline__ void Decode(const uint4& chunk, Scale, float* v) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = Word(chunk, i);
      v[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffffu)));
      v[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)));
    }
  }
};

struct BF16Rows {
  static constexpr int kElements = 8;
  static constexpr bool kHasScale = false;
  using Scale = NoScale;
  static __device__ __forceinline__ Scale ReadScale(uint64_t) { return {}; }
  static __device__ __forceinline__ void Decode(const uint4& chunk, Scale, float* v) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = Word(chunk, i);
      v[2 * i] = __uint_as_float(word << 16);
      v[2 * i + 1] = __uint_as_float(word & 0xffff0000u);
    }
  }
};

struct ScaleBias {
  float scale;
  float bias;
};

// 2^23: a float that has an integer below 2^23 in its low bits is 2^23 plus that integer.
constexpr uint32_t kMagicBits = 0x4b000000u;
constexpr float kMagic = 8388608.0f;

struct Int8Rows {
  static constexpr int kElements = 16;
  static constexpr bool kHasScale = true;
  using Scale = ScaleBias;
  static __device__ __forceinline__ Scale ReadScale(uint64_t address) {
    ScaleBias s;
    asm volatile("ld.global.nc.v2.f32 {%0, %1}, [%2];" : "=f"(s.scale), "=f"(s.bias) : "l"(address));
    return s;
  }
  // Byte i of a word, without the slow conversion from integer.
  template <int i>
  static __device__ __forceinline__ float Quantum(uint32_t word) {
    return __uint_as_float(__byte_perm(word, kMagicBits, 0x7650 | i)) - kMagic;
  }
  template <class F>
  static __device__ __forceinline__ void Each(const uint4& chunk, F f) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = Word(chunk, i);
      f(4 * i, Quantum<0>(word));
      f(4 * i + 1, Quantum<1>(word));
      f(4 * i + 2, Quantum<2>(word));
      f(4 * i + 3, Quantum<3>(word));
    }
  }
  static __device__ __forceinline__ void Decode(const uint4& chunk, Scale s, float* v) {
    Each(chunk, [&](int e, float q) { v[e] = fmaf(q, s.scale, s.bias); });
  }
  static __device__ __forceinline__ float Accumulate(const uint4& chunk, Scale s, float weight,
                                                     float* acc) {
    const float scale = weight * s.scale;
    Each(chunk, [&](int e, float q) { acc[e] = fmaf(q, scale, acc[e]); });
    return weight * s.bias;
  }
};

struct Int4Rows {
  static constexpr int kElements = 32;
  static constexpr bool kHasScale = true;
  using Scale = ScaleBias;
  static __device__ __forceinline__ Scale ReadScale(uint64_t address) {
    uint32_t word;
    asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(word) : "l"(address));
    return {__half2float(__ushort_as_half(static_cast<unsigned short>(word & 0xffffu))),
            __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16)))};
  }
  // Nibble i of a word, times 16^(i % 4): it stays where it is, and the scale makes up for it.
  template <int i>
  static __device__ __forceinline__ float Quantum(uint32_t word) {
    const uint32_t half = i < 4 ? word : word >> 16;
    return __uint_as_float((half & (0xfu << (4 * (i % 4)))) | kMagicBits) - kMagic;
  }
  // scale times 16^-k for k = 0 ... 3: exact unless it leaves the range of normal numbers.
  template <class F>
  static __device__ __forceinline__ void Each(const uint4& chunk, F f) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = Word(chunk, i);
      f(8 * i, 0, Quantum<0>(word));
      f(8 * i + 1, 1, Quantum<1>(word));
      f(8 * i + 2, 2, Quantum<2>(word));
      f(8 * i + 3, 3, Quantum<3>(word));
      f(8 * i + 4, 0, Quantum<4>(word));
      f(8 * i + 5, 1, Quantum<5>(word));
      f(8 * i + 6, 2, Quantum<6>(word));
      f(8 * i + 7, 3, Quantum<7>(word));
    }
  }
  static __device__ __forceinline__ void Decode(const uint4& chunk, Scale s, float* v) {
    constexpr float kBack[4] = {1.0f, 1.0f / 16, 1.0f / 256, 1.0f / 4096};
    Each(chunk, [&](int e, int place, float q) { v[e] = fmaf(q * kBack[place], s.scale, s.bias); });
  }
  static __device__ __forceinline__ float Accumulate(const uint4& chunk, Scale s, float weight,
                                                     float* acc) {
    const float scale = weight * s.scale;
    const float scales[4] = {scale, scale / 16, scale / 256, scale / 4096};
    Each(chunk, [&](int e, int place, float q) { acc[e] = fmaf(q, scales[place], acc[e]); });
    return weight * s.bias;
  }
};

// Of the storages without a scale.
template <class Rows>
__device__ __forceinline__ float AccumulatePlain(const uint4& chunk, float weight, float* acc) {
  float v[Rows::kElements];
  Rows::Decode(chunk, {}, v);
#pragma unroll
  for (int e = 0; e < Rows::kElements; ++e) acc[e] = fmaf(weight, v[e], acc[e]);
  return 0.0f;
}

template <class Rows>
__device__ __forceinline__ float Accumulate(const uint4& chunk, const typename Rows::Scale& scale,
                                            float weight, float* acc) {
  if constexpr (Rows::kHasScale) {
    return Rows::Accumulate(chunk, scale, weight, acc);
  } else {
    return AccumulatePlain<Rows>(chunk, weight, acc);
  }
}

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_KERNELS_ROWS_CUH_
