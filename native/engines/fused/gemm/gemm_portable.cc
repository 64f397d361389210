// Without ISA flags: four floats at a time in the compiler's portable vectors.
#include "engines/fused/gemm/gemm_tile.h"

namespace gyrfalcon::fused {
namespace {

struct Portable {
  using Vec = float __attribute__((vector_size(16)));
  using Mask = int32_t __attribute__((vector_size(16)));
  using Tail = int64_t;
  static constexpr int kWidth = 4;
  static constexpr int kPanelVecs = 2;
  static constexpr int kMaxRows = 4;
  static constexpr int kWideRows = 1;

  static Tail MakeTail(int64_t n) { return n; }
  static Vec Zero() { return Vec{}; }
  static Vec Set1(float x) { return Vec{x, x, x, x}; }
  static Vec Add(Vec a, Vec b) { return a + b; }
  static Vec Mul(Vec a, Vec b) { return a * b; }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
  static Vec Select(Mask mask, Vec a, Vec b) {
    return reinterpret_cast<Vec>((mask & reinterpret_cast<Mask>(a)) |
                                 (~mask & reinterpret_cast<Mask>(b)));
  }
  static Vec Max(Vec a, Vec b) { return Select(a > b, a, b); }
  static Vec Min(Vec a, Vec b) { return Select(a < b, a, b); }
  static Vec SelectPositive(Vec x, Vec a, Vec b) { return Select(x > Zero(), a, b); }
  static Vec LoadF32(const float* at) {
    Vec value;
    __builtin_memcpy(&value, at, sizeof(value));
    return value;
  }
  static Vec LoadF32Tail(const float* at, Tail n) {
    Vec value{};
    for (int64_t i = 0; i < n; ++i) value[i] = at[i];
    return value;
  }
  static void StoreF32(float* at, Vec value) { __builtin_memcpy(at, &value, sizeof(value)); }
  static void StoreF32Tail(float* at, Tail n, Vec value) {
    for (int64_t i = 0; i < n; ++i) at[i] = value[i];
  }
  static float Total(Vec v) { return (v[0] + v[1]) + (v[2] + v[3]); }
  static Vec LoadBf16(const std::byte* at) {
    uint16_t halves[4];
    __builtin_memcpy(halves, at, sizeof(halves));
    using Bits = uint32_t __attribute__((vector_size(16)));
    const Bits bits = Bits{halves[0], halves[1], halves[2], halves[3]} << 16;
    return reinterpret_cast<Vec>(bits);
  }
  static Vec LoadInt8(const std::byte* at) {
    Vec value;
    for (int i = 0; i < kWidth; ++i) value[i] = static_cast<float>(static_cast<int8_t>(at[i]));
    return value;
  }
};

constexpr int kPanel = Portable::kWidth * Portable::kPanelVecs;

}  // namespace

const GemmKernel kPortableF32{
    "f32", WeightElement::kF32, XElement::kF32, kPanel, 1, Run<Portable, F32Weights<Portable>>};
const GemmKernel kPortableBf16{
    "bf16", WeightElement::kBf16, XElement::kF32, kPanel, 1, Run<Portable, Bf16Weights<Portable>>};
const GemmKernel kPortableInt8{
    "int8", WeightElement::kInt8, XElement::kF32, kPanel, 1, Run<Portable, Int8Weights<Portable>>};

}  // namespace gyrfalcon::fused
