#include "backends/row_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace gyrfalcon {
namespace {

static_assert(std::endian::native == std::endian::little, "tables are little-endian");

constexpr float kInt8Epsilon = 1e-8f;  // FBGEMM's guard against a constant row
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Nearest integer, ties to even. std::lrintf is a library call at -O2, and adding 1.5 * 2^23 could
// be contracted with the multiplication before it, which changes bytes between architectures.
inline int32_t RoundToInt(float value) {
#if defined(__SSE2__)
  return _mm_cvtss_si32(_mm_set_ss(value));
#elif defined(__aarch64__)
  return vcvtns_s32_f32(value);
#else
  return static_cast<int32_t>(std::lrintf(value));
#endif
}

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <typename T>
void Store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

struct Range {
  float lo;
  float hi;
  bool finite;
};

// Eight running minima and maxima: one would be a chain of dependent comparisons.
Range RangeOf(const float* row, int64_t dim) {
  constexpr int64_t kLanes = 8;
  float lo[kLanes];
  float hi[kLanes];
  uint32_t bad = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) lo[lane] = hi[lane] = row[0];
  const auto take = [&](int64_t lane, float x) {
    lo[lane] = x < lo[lane] ? x : lo[lane];
    hi[lane] = x > hi[lane] ? x : hi[lane];
    // The exponent field is all ones exactly for NaN and infinities.
    bad |= (std::bit_cast<uint32_t>(x) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  };
  int64_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) take(lane, row[d + lane]);
  }
  for (; d < dim; ++d) take(0, row[d]);
  return {*std::min_element(lo, lo + kLanes), *std::max_element(hi, hi + kLanes), bad == 0};
}

void EncodeInt8Row(const float* row, int64_t dim, std::byte* dst) {
  const Range range = RangeOf(row, dim);
  std::byte* const params = dst + dim;
  if (!range.finite) {
    std::memset(dst, 0, static_cast<size_t>(dim));
    Store<float>(params, kNaN);
    Store<float>(params + 4, kNaN);
    return;
  }
  const float span = range.hi - range.lo;
  if (std::isinf(span)) {  // wider than f32: the same formula in f64
    const double wide = static_cast<double>(range.hi) - static_cast<double>(range.lo);
    for (int64_t d = 0; d < dim; ++d) {
      const double offset = static_cast<double>(row[d]) - static_cast<double>(range.lo);
      dst[d] = static_cast<std::byte>(std::lrint(offset * (255.0 / wide)));
    }
    Store<float>(params, static_cast<float>(wide / 255.0));
  } else {
    const float inverse = 255.0f / (span + kInt8Epsilon);
    for (int64_t d = 0; d < dim; ++d) {
      dst[d] = static_cast<std::byte>(RoundToInt((row[d] - range.lo) * inverse));
    }
    Store<float>(params, span / 255.0f);
  }
  Store<float>(params + 4, range.lo);
}

struct Int4Params {
  uint16_t scale_bits;
  uint16_t bias_bits;
  float scale;
  float bias;
  bool representable;  // scale and bias fit f16
};

Int4Params Int4ParamsOf(float lo, float hi) {
  Int4Params params;
  params.bias_bits = FloatToHalf(lo);
  params.bias = HalfToFloat(params.bias_bits);
  params.scale_bits = FloatToHalf((hi - params.bias) / 15.0f);
  params.scale = HalfToFloat(params.scale_bits);
  if (params.scale == 0.0f) {
    params.scale = 1.0f;
    params.scale_bits = FloatToHalf(1.0f);
  }
  params.representable = std::isfinite(params.scale) && std::isfinite(params.bias);
  return params;
}

void EncodeInt4Row(const float* row, int64_t dim, std::byte* dst) {
  const int64_t packed = (dim + 1) / 2;
  const Range range = RangeOf(row, dim);
  const Int4Params params = Int4ParamsOf(range.lo, range.hi);
  if (!range.finite || !params.representable) {
    std::memset(dst, 0, static_cast<size_t>(packed));
    Store<uint16_t>(dst + packed, FloatToHalf(kNaN));
    Store<uint16_t>(dst + packed + 2, FloatToHalf(kNaN));
    return;
  }
  const float inverse = 1.0f / params.scale;  // at most 2^24: the smallest f16 is 2^-24
  const auto quantise = [&](float x) {
    return static_cast<uint32_t>(std::clamp(RoundToInt((x - params.bias) * inverse), 0, 15));
  };
  for (int64_t i = 0; i < dim / 2; ++i) {
    dst[i] = static_cast<std::byte>(quantise(row[2 * i]) | quantise(row[2 * i + 1]) << 4);
  }
  if (dim % 2 != 0) dst[packed - 1] = static_cast<std::byte>(quantise(row[dim - 1]));
  Store<uint16_t>(dst + packed, params.scale_bits);
  Store<uint16_t>(dst + packed + 2, params.bias_bits);
}

void DecodeInt8Row(const std::byte* row, int64_t dim, float* dst) {
  const auto scale = Load<float>(row + dim);
  const auto bias = Load<float>(row + dim + 4);
  float values[256];
  if (dim >= 256) {  // std::fma may be a library call: once per level, not once per element
    for (int q = 0; q < 256; ++q) values[q] = std::fma(static_cast<float>(q), scale, bias);
    for (int64_t d = 0; d < dim; ++d) dst[d] = values[std::to_integer<uint8_t>(row[d])];
    return;
  }
  for (int64_t d = 0; d < dim; ++d) {
    dst[d] = std::fma(static_cast<float>(std::to_integer<uint8_t>(row[d])), scale, bias);
  }
}

void DecodeInt4Row(const std::byte* row, int64_t dim, float* dst) {
  const int64_t packed = (dim + 1) / 2;
  const float scale = HalfToFloat(Load<uint16_t>(row + packed));
  const float bias = HalfToFloat(Load<uint16_t>(row + packed + 2));
  float values[16];
  for (int q = 0; q < 16; ++q) values[q] = std::fma(static_cast<float>(q), scale, bias);
  for (int64_t d = 0; d < dim; ++d) {
    const auto byte = std::to_integer<uint32_t>(row[d / 2]);
    dst[d] = values[d % 2 == 0 ? byte & 15u : byte >> 4];
  }
}

}  // namespace

uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {  // NaN: made quiet, leading payload bits kept, as VCVTPS2PH does
    return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 2^16 and above
  if (magnitude >= 0x38800000u) {  // normal: 2^-14 and above; a carry may reach infinity
    const uint32_t odd = (magnitude >> 13) & 1u;
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
  }
  if (magnitude < 0x33000000u) return static_cast<uint16_t>(sign);  // below 2^-25
  // Subnormal: the result counts units of 2^-24.
  const uint32_t shift = 126u - (magnitude >> 23);
  const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const uint32_t half_unit = uint32_t{1} << (shift - 1);
  const uint32_t odd = (mantissa >> shift) & 1u;
  return static_cast<uint16_t>(sign | ((mantissa + half_unit - 1u + odd) >> shift));
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity; NaN is made quiet, as VCVTPH2PS does
    const uint32_t quiet = magnitude > 0x7c00u ? 0x400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | (magnitude << 13));
  }
  if (magnitude >= 0x400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  if (magnitude == 0) return std::bit_cast<float>(sign);
  const auto top = static_cast<uint32_t>(std::bit_width(magnitude)) - 1u;  // value = 2^(top-24) * …
  const uint32_t mantissa = (magnitude << (23u - top)) & 0x7fffffu;
  return std::bit_cast<float>(sign | ((top + 103u) << 23) | mantissa);
}

uint16_t FloatToBFloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float BFloat16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

void EncodeRows(const float* src, int64_t rows, int64_t dim, Storage storage, std::byte* dst) {
  const int64_t elements = rows * dim;
  const size_t row_bytes = RowBytes(storage, dim);
  switch (storage) {
    case Storage::kF32:
      if (elements > 0) std::memcpy(dst, src, static_cast<size_t>(elements) * sizeof(float));
      return;
    case Storage::kF16:
      for (int64_t i = 0; i < elements; ++i) Store(dst + 2 * i, FloatToHalf(src[i]));
      return;
    case Storage::kBF16:
      for (int64_t i = 0; i < elements; ++i) Store(dst + 2 * i, FloatToBFloat16(src[i]));
      return;
    case Storage::kInt8:
      for (int64_t r = 0; r < rows; ++r, src += dim, dst += row_bytes) EncodeInt8Row(src, dim, dst);
      return;
    case Storage::kInt4:
      for (int64_t r = 0; r < rows; ++r, src += dim, dst += row_bytes) EncodeInt4Row(src, dim, dst);
      return;
  }
}

void DecodeRows(const std::byte* src, int64_t rows, int64_t dim, Storage storage, float* dst) {
  const int64_t elements = rows * dim;
  const size_t row_bytes = RowBytes(storage, dim);
  switch (storage) {
    case Storage::kF32:
      if (elements > 0) std::memcpy(dst, src, static_cast<size_t>(elements) * sizeof(float));
      return;
    case Storage::kF16:
      for (int64_t i = 0; i < elements; ++i) dst[i] = HalfToFloat(Load<uint16_t>(src + 2 * i));
      return;
    case Storage::kBF16:
      for (int64_t i = 0; i < elements; ++i) dst[i] = BFloat16ToFloat(Load<uint16_t>(src + 2 * i));
      return;
    case Storage::kInt8:
      for (int64_t r = 0; r < rows; ++r, src += row_bytes, dst += dim) DecodeInt8Row(src, dim, dst);
      return;
    case Storage::kInt4:
      for (int64_t r = 0; r < rows; ++r, src += row_bytes, dst += dim) DecodeInt4Row(src, dim, dst);
      return;
  }
}

float RowErrorBound(Storage storage, float lo, float hi) {
  if (storage == Storage::kF32) return 0.0f;
  if (!std::isfinite(lo) || !std::isfinite(hi) || lo > hi) return kInfinity;
  const double largest =
      std::max(std::fabs(static_cast<double>(lo)), std::fabs(static_cast<double>(hi)));
  const double span = static_cast<double>(hi) - static_cast<double>(lo);
  constexpr double kUlp = 0x1p-23;
  constexpr double kHalfRelative = 0x1p-11;
  constexpr double kHalfAbsolute = 0x1p-25;
  // What f32 arithmetic itself may add while encoding and decoding a quantised row.
  const double rounding = 4.0 * kUlp * span + kUlp * largest;
  double bound = 0.0;
  switch (storage) {
    case Storage::kF32:
      break;
    case Storage::kF16:
      if (largest >= 65520.0) return kInfinity;
      bound = std::max(largest * kHalfRelative, kHalfAbsolute);
      break;
    case Storage::kBF16:
      if (std::isinf(BFloat16ToFloat(FloatToBFloat16(static_cast<float>(largest)))))
        return kInfinity;
      bound = std::max(largest * 0x1p-8, 0x1p-134);
      break;
    case Storage::kInt8: {
      // Half a step, plus what the epsilon in the divisor moves: span * eps / (span + eps).
      const double epsilon = kInt8Epsilon;
      bound = span / 510.0 + span * epsilon / (span + epsilon) + rounding;
      break;
    }
    case Storage::kInt4: {
      // Rounding the bias to f16 moves the low end, rounding the scale moves the high end 15-fold.
      const double bias_error = std::max(largest * kHalfRelative, kHalfAbsolute);
      const double scale = (span + bias_error) / 15.0;
      const double scale_error = std::max(scale * kHalfRelative, kHalfAbsolute);
      if (largest >= 65520.0 || scale + scale_error >= 65520.0) return kInfinity;
      bound = (scale + scale_error) / 2.0 + 15.0 * scale_error + bias_error + rounding;
      break;
    }
  }
  return std::nextafter(static_cast<float>(bound), kInfinity);
}

}  // namespace gyrfalcon
