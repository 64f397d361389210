// Vectors of W floats in the compiler's portable vector types; a policy derives from Generic<W> and
// replaces what its instruction set does better.
//
// Included only by the ops_<isa>.cc files. Everything here has internal linkage and calls no inline
// function of other headers: see backends/cpu/lookup_plan.h for why.
//
// Comparisons give all ones or zeros per lane, zeros for NaN (but for Ne).
#ifndef GYRFALCON_ENGINES_FUSED_OPS_VECTOR_H_
#define GYRFALCON_ENGINES_FUSED_OPS_VECTOR_H_

#include <cstdint>

namespace gyrfalcon::fused {
namespace {

template <int W>
struct VectorTypes;
template <>
struct VectorTypes<4> {
  using Vec = float __attribute__((vector_size(16)));
  using Int = int32_t __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<8> {
  using Vec = float __attribute__((vector_size(32)));
  using Int = int32_t __attribute__((vector_size(32)));
};
template <>
struct VectorTypes<16> {
  using Vec = float __attribute__((vector_size(64)));
  using Int = int32_t __attribute__((vector_size(64)));
};

#define GYR_VECTOR [[gnu::always_inline]] static inline

template <int W>
struct Generic {
  using Vec = typename VectorTypes<W>::Vec;
  using Int = typename VectorTypes<W>::Int;
  static constexpr int kWidth = W;
  static constexpr bool kSums16 = false;  // true where a policy has Sum16

  GYR_VECTOR Vec Set1(float x) { return Vec{} + x; }
  GYR_VECTOR Int SetInt(int32_t x) { return Int{} + x; }
  GYR_VECTOR Vec Load(const float* at) {
    Vec value;
    __builtin_memcpy(&value, at, sizeof(value));
    return value;
  }
  GYR_VECTOR void Store(float* at, Vec value) { __builtin_memcpy(at, &value, sizeof(value)); }
  // The first n < kWidth elements; a load gives zeros behind them.
  GYR_VECTOR Vec LoadFirst(const float* at, int64_t n) {
    Vec value{};
    for (int i = 0; i < W; ++i) {
      if (i < n) value[i] = at[i];
    }
    return value;
  }
  // The same with the lanes of `rest` behind them.
  GYR_VECTOR Vec LoadFirstOr(const float* at, int64_t n, Vec rest) {
    for (int i = 0; i < W; ++i) {
      if (i < n) rest[i] = at[i];
    }
    return rest;
  }
  GYR_VECTOR void StoreFirst(float* at, Vec value, int64_t n) {
    for (int i = 0; i < W; ++i) {
      if (i < n) at[i] = value[i];
    }
  }
  GYR_VECTOR Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
  GYR_VECTOR Vec Select(Int mask, Vec a, Vec b) {
    return reinterpret_cast<Vec>((mask & Bits(a)) | (~mask & Bits(b)));
  }
  // NaN where either is.
  GYR_VECTOR Vec Max(Vec a, Vec b) { return Select((a > b) | (a != a), a, b); }
  GYR_VECTOR Vec Min(Vec a, Vec b) { return Select((a < b) | (a != a), a, b); }
  GYR_VECTOR Vec Sqrt(Vec x) {
    for (int i = 0; i < W; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
  }
  GYR_VECTOR Int Bits(Vec x) { return reinterpret_cast<Int>(x); }
  GYR_VECTOR Vec FromBits(Int x) { return reinterpret_cast<Vec>(x); }
  GYR_VECTOR Int ToInt(Vec x) { return __builtin_convertvector(x, Int); }
  GYR_VECTOR Vec ToFloat(Int x) { return __builtin_convertvector(x, Vec); }
  GYR_VECTOR Vec Abs(Vec x) { return FromBits(Bits(x) & SetInt(0x7fffffff)); }
  GYR_VECTOR Vec WithSign(Vec magnitude, Vec sign) {
    return FromBits(Bits(magnitude) | (Bits(sign) & SetInt(INT32_MIN)));
  }
  // Lane i ^ kStep in lane i; kStep is a power of two.
  template <int kStep>
  GYR_VECTOR Vec Swap(Vec v) {
    Vec swapped;
    for (int i = 0; i < W; ++i) swapped[i] = v[i ^ kStep];
    return swapped;
  }
  GYR_VECTOR float Sum(Vec v) {
    float half[W];
    __builtin_memcpy(half, &v, sizeof(v));
    for (int step = W / 2; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) half[i] += half[i + step];
    }
    return half[0];
  }
  // out[i] = Sum(v[i])
  GYR_VECTOR void Sum4(const Vec* v, float* out) {
    for (int i = 0; i < 4; ++i) out[i] = Sum(v[i]);
  }
};

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_VECTOR_H_
