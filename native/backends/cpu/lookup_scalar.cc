// The walk without ISA flags: four floats at a time in the compiler's portable vectors.
#include <cmath>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/walk.h"
#include "backends/row_format.h"

namespace gyrfalcon {
namespace {

struct Scalar {
  using Vec = float __attribute__((vector_size(16)));
  using Tail = int64_t;
  static constexpr int kWidth = 4;
  static constexpr int kBlock = 4;
  static constexpr bool kInt4Table = false;
  static constexpr int64_t kPrefetchLines = kScalarPrefetchLines;

  static Tail MakeTail(int64_t n) { return n; }
  static Vec Zero() { return Vec{}; }
  static Vec Set1(float x) { return Vec{x, x, x, x}; }
  static Vec Add(Vec a, Vec b) { return a + b; }
  static Vec Mul(Vec a, Vec b) { return a * b; }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
  static Vec Fma(Vec a, Vec b, Vec c) {
    Vec sum;
    for (int i = 0; i < kWidth; ++i) sum[i] = std::fma(a[i], b[i], c[i]);
    return sum;
  }
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
  template <Storage kStorage>
  static float Element(const std::byte* row, int64_t d) {
    if constexpr (kStorage == Storage::kF32) {
      return LoadAs<float>(row + 4 * d);
    } else if constexpr (kStorage == Storage::kF16) {
      return HalfToFloat(LoadAs<uint16_t>(row + 2 * d));
    } else if constexpr (kStorage == Storage::kBF16) {
      return BFloat16ToFloat(LoadAs<uint16_t>(row + 2 * d));
    } else if constexpr (kStorage == Storage::kInt8) {
      return static_cast<float>(LoadAs<uint8_t>(row + d));
    } else {
      return static_cast<float>((LoadAs<uint8_t>(row + d / 2) >> (4 * (d % 2))) & 15);
    }
  }
  template <Storage kStorage>
  static Vec Load(const std::byte* row, int64_t d) {
    return Vec{Element<kStorage>(row, d), Element<kStorage>(row, d + 1),
               Element<kStorage>(row, d + 2), Element<kStorage>(row, d + 3)};
  }
  template <Storage kStorage>
  static Vec LoadTail(const std::byte* row, int64_t d, Tail n) {
    Vec value{};
    for (int64_t i = 0; i < n; ++i) value[i] = Element<kStorage>(row, d + i);
    return value;
  }
  static float HalfToF32(uint16_t half) { return HalfToFloat(half); }
  static void Prefetch(const std::byte* at) { __builtin_prefetch(at, 0, 2); }
  static void PrefetchNear(const std::byte* at) { __builtin_prefetch(at, 0, 3); }
};

}  // namespace

void RunLookupScalar(const LookupRequest& request, LookupReport* report) {
  Walk<Scalar>(request, report);
}

}  // namespace gyrfalcon
