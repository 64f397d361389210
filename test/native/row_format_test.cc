// Row formats: conversions over all halves, bytes that PyTorch writes, error bounds, odd rows.
#include "backends/row_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace gyrfalcon::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
using Bytes = std::vector<uint8_t>;
using Floats = std::vector<float>;

// The definition of binary16, by arithmetic.
double HalfValue(uint32_t half) {
  const double sign = (half & 0x8000u) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((half >> 10) & 31u);
  const double fraction = static_cast<double>(half & 1023u) / 1024.0;
  if (exponent == 0) return sign * std::ldexp(fraction, -14);
  return sign * std::ldexp(1.0 + fraction, exponent - 15);
}

Bytes Encode(const Floats& rows, int64_t dim, Storage storage) {
  const auto count = static_cast<int64_t>(rows.size()) / dim;
  Bytes bytes(static_cast<size_t>(count) * RowBytes(storage, dim), 0xee);
  EncodeRows(rows.data(), count, dim, storage, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

Floats Decode(const Bytes& bytes, int64_t dim, Storage storage) {
  const auto count = static_cast<int64_t>(bytes.size() / RowBytes(storage, dim));
  Floats rows(static_cast<size_t>(count * dim), 777.0f);
  DecodeRows(reinterpret_cast<const std::byte*>(bytes.data()), count, dim, storage, rows.data());
  return rows;
}

TEST(HalfTest, EveryHalfToFloat) {
  for (uint32_t half = 0; half < 0x10000u; ++half) {
    const float value = HalfToFloat(static_cast<uint16_t>(half));
    if ((half & 0x7c00u) != 0x7c00u) {
      ASSERT_EQ(static_cast<double>(value), HalfValue(half)) << half;
      ASSERT_EQ(std::signbit(value), half >= 0x8000u) << half;
    } else if ((half & 0x3ffu) == 0) {
      ASSERT_EQ(value, half >= 0x8000u ? -kInf : kInf);
    } else {
      ASSERT_TRUE(std::isnan(value)) << half;
      ASSERT_EQ(std::signbit(value), half >= 0x8000u);
    }
  }
}

TEST(HalfTest, EveryHalfComesBack) {
  for (uint32_t half = 0; half < 0x10000u; ++half) {
    const uint16_t back = FloatToHalf(HalfToFloat(static_cast<uint16_t>(half)));
    const bool nan = (half & 0x7fffu) > 0x7c00u;
    ASSERT_EQ(back, nan ? (half | 0x200u) : half);  // a signalling NaN becomes quiet
  }
}

TEST(HalfTest, RoundsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t half = 0; half < 0x7bffu; ++half) {
    const auto low = static_cast<float>(HalfValue(half));
    const auto high = static_cast<float>(HalfValue(half + 1));
    const float middle = low + (high - low) / 2;  // exact: one bit more than a half has
    const uint32_t even = (half & 1u) == 0 ? half : half + 1;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float factor = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(FloatToHalf(factor * middle), sign | even) << half;
      ASSERT_EQ(FloatToHalf(factor * std::nextafter(middle, -kInf)), sign | half) << half;
      ASSERT_EQ(FloatToHalf(factor * std::nextafter(middle, kInf)), sign | (half + 1)) << half;
    }
  }
}

TEST(HalfTest, OverflowAndUnderflow) {
  EXPECT_EQ(FloatToHalf(65504.0f), 0x7bff);
  EXPECT_EQ(FloatToHalf(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(65536.0f), 0x7c00);
  EXPECT_EQ(FloatToHalf(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(FloatToHalf(kInf), 0x7c00);
  EXPECT_EQ(FloatToHalf(-kInf), 0xfc00);
  EXPECT_EQ(FloatToHalf(-0.0f), 0x8000);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);  // a tie: to even
  EXPECT_EQ(FloatToHalf(0x1.000002p-25f), 1);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(HalfTest, NaNStaysNaN) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffc12345u}) {
    const uint16_t half = FloatToHalf(std::bit_cast<float>(bits));
    EXPECT_GT(half & 0x7fff, 0x7c00) << bits;
    EXPECT_EQ(half >> 15, bits >> 31);
    const uint16_t brain = FloatToBFloat16(std::bit_cast<float>(bits));
    EXPECT_GT(brain & 0x7fff, 0x7f80) << bits;
    EXPECT_EQ(brain >> 15, bits >> 31);
  }
}

TEST(BFloat16Test, RoundsToNearestEvenBetweenAllNeighbours) {
  for (uint32_t top = 0; top < 0x7f80u; ++top) {
    const uint32_t even = (top & 1u) == 0 ? top : top + 1;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto encode = [&](uint32_t bits) {
        return FloatToBFloat16(std::bit_cast<float>(bits | sign << 16));
      };
      ASSERT_EQ(encode(top << 16), sign | top);
      ASSERT_EQ(encode((top << 16) + 0x7fffu), sign | top);
      ASSERT_EQ(encode((top << 16) + 0x8000u), sign | even);
      ASSERT_EQ(encode((top << 16) + 0x8001u), sign | (top + 1));
      ASSERT_EQ(std::bit_cast<uint32_t>(BFloat16ToFloat(static_cast<uint16_t>(sign | top))),
                (sign | top) << 16);
    }
  }
  EXPECT_EQ(FloatToBFloat16(kInf), 0x7f80);
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::max()), 0x7f80);  // rounds up to infinity
}

TEST(RowFormatTest, PlainRows) {
  const Floats row{1.0f, -2.5f, 0.1f};
  EXPECT_EQ(Encode(row, 3, Storage::kF32),
            (Bytes{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0, 0xcd, 0xcc, 0xcc, 0x3d}));
  EXPECT_EQ(Encode(row, 3, Storage::kF16), (Bytes{0, 0x3c, 0, 0xc1, 0x66, 0x2e}));
  EXPECT_EQ(Encode(row, 3, Storage::kBF16), (Bytes{0x80, 0x3f, 0x20, 0xc0, 0xcd, 0x3d}));
  for (const Storage storage : {Storage::kF32, Storage::kF16, Storage::kBF16}) {
    const Floats back = Decode(Encode(row, 3, storage), 3, storage);
    EXPECT_EQ(back[0], 1.0f);
    EXPECT_EQ(back[1], -2.5f);
    EXPECT_NEAR(back[2], 0.1f, 0.1 / 256);
  }
}

struct Known {
  Floats row;
  Bytes int8;
  Bytes int4;
};

// Bytes written by PyTorch 2.13: quantized::embedding_bag_byte_prepack and _4bit_prepack.
const Known kKnown[] = {
    {{0, 1, 2, 3},
     {0x00, 0x55, 0xaa, 0xff, 0xc1, 0xc0, 0x40, 0x3c, 0, 0, 0, 0},
     {0x50, 0xfa, 0x66, 0x32, 0, 0}},
    {{-1.5f, 0.25f, 0.1f, 3.7f, 2.2f, -0.3f},
     {0x00, 0x56, 0x4e, 0xff, 0xb5, 0x3b, 0x73, 0x0d, 0xa7, 0x3c, 0, 0, 0xc0, 0xbf},
     {0x50, 0xf5, 0x3b, 0x8c, 0x35, 0x00, 0xbe}},
    {{0.7f, 0.7f, 0.7f, 0.7f},  // bias rounds up: the scale is negative
     {0, 0, 0, 0, 0, 0, 0, 0, 0x33, 0x33, 0x33, 0x3f},
     {0xff, 0xff, 0xda, 0x80, 0x9a, 0x39}},
    {{1.0009f, 1.0009f, 1.0009f, 1.0009f},
     {0, 0, 0, 0, 0, 0, 0, 0, 0x7e, 0x1d, 0x80, 0x3f},
     {0xff, 0xff, 0x56, 0x80, 0x01, 0x3c}},
    {{1e-9f, 2e-9f, 3e-9f, 4e-9f},  // range below the epsilon
     {0x00, 0x14, 0x27, 0x3b, 0x86, 0xf7, 0x4e, 0x2d, 0x5f, 0x70, 0x89, 0x30},
     {0, 0, 0, 0x3c, 0, 0}},
    {{0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0x3c, 0, 0}},
    {{-0x1.8ec554p-5f, -0x1.eea69p-5f, -0x1.c93144p-5f, 0x1.116afep-4f, -0x1.4371e6p-6f,
      0x1.8de1cep-3f},
     {0x0c, 0x00, 0x05, 0x7f, 0x29, 0xff, 0xc2, 0xe5, 0x82, 0x3a, 0x48, 0x53, 0x77, 0xbd},
     {0x01, 0x70, 0xf2, 0x59, 0x24, 0xbb, 0xab}},
    {{0x1.72df8ap+2f, 0x1.ed96cap+2f, 0x1.7c98b4p+3f, 0x1.d35db4p+2f, 0x1.0a73acp+3f,
      0x1.824f1cp+3f, 0x1.555b24p+3f, 0x1.000ad8p+3f},
     {0x00, 0x4e, 0xf8, 0x3d, 0x67, 0xff, 0xc6, 0x5a, 0x00, 0xa9, 0xc9, 0x3c, 0xc5, 0x6f, 0xb9,
      0x40},
     {0x50, 0x4f, 0xf6, 0x5c, 0xb3, 0x36, 0xcb, 0x45}},
};

TEST(RowFormatTest, BytesOfPyTorch) {
  for (const Known& known : kKnown) {
    const auto dim = static_cast<int64_t>(known.row.size());
    EXPECT_EQ(Encode(known.row, dim, Storage::kInt8), known.int8) << "first " << known.row[0];
    EXPECT_EQ(Encode(known.row, dim, Storage::kInt4), known.int4) << "first " << known.row[0];
  }
}

TEST(RowFormatTest, OddInt4RowEndsWithALowNibble) {
  const Bytes bytes = Encode({0, 15, 7}, 3, Storage::kInt4);
  EXPECT_EQ(bytes, (Bytes{0xf0, 0x07, 0x00, 0x3c, 0, 0}));
  EXPECT_EQ(Decode(bytes, 3, Storage::kInt4), (Floats{0, 15, 7}));
}

TEST(RowFormatTest, DecodeIsOneFma) {
  // 3 * scale + bias rounded once differs here from product and sum rounded apart.
  const float scale = 0x1.000002p-1f;
  const float bias = -1.5f;
  Bytes bytes{3, 0, 0, 0, 0, 0, 0, 0, 0};
  std::memcpy(bytes.data() + 1, &scale, 4);
  std::memcpy(bytes.data() + 5, &bias, 4);
  EXPECT_EQ(Decode(bytes, 1, Storage::kInt8)[0], 0x1.8p-23f);
  // The same through the table that wide rows use.
  Bytes wide(308, 3);
  std::memcpy(wide.data() + 300, bytes.data() + 1, 8);
  EXPECT_EQ(Decode(wide, 300, Storage::kInt8), Floats(300, 0x1.8p-23f));
}

TEST(RowFormatTest, RowsThatCannotBeQuantisedDecodeToNaN) {
  for (const Storage storage : {Storage::kInt8, Storage::kInt4}) {
    for (const float bad : {kNaN, kInf, -kInf}) {
      for (size_t at = 0; at < 11; ++at) {
        Floats rows(22, 1.0f);
        rows[5] = 2.0f;
        rows[11 + at] = bad;
        const Floats back = Decode(Encode(rows, 11, storage), 11, storage);
        EXPECT_NEAR(back[5], 2.0f, 1e-3);  // the other row is as ever
        for (size_t d = 11; d < 22; ++d) EXPECT_TRUE(std::isnan(back[d]));
      }
    }
  }
  // Finite, but scale or bias do not fit f16.
  for (const Floats& row : {Floats{0, 1e6f}, Floats{-1e5f, 0}, Floats{7e4f, 7e4f}}) {
    for (const float value : Decode(Encode(row, 2, Storage::kInt4), 2, Storage::kInt4)) {
      EXPECT_TRUE(std::isnan(value)) << row[0];
    }
    EXPECT_EQ(RowErrorBound(Storage::kInt4, row[0], row[1]), kInf);
  }
}

TEST(RowFormatTest, Int8RowWiderThanF32) {
  const Floats row{3e38f, -3e38f, 0.0f, 1e38f};
  const Floats back = Decode(Encode(row, 4, Storage::kInt8), 4, Storage::kInt8);
  for (size_t d = 0; d < row.size(); ++d) EXPECT_NEAR(back[d], row[d], 6e38 / 500) << d;
}

TEST(RowFormatTest, NoRowsTouchNothing) {
  for (const Storage storage :
       {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8, Storage::kInt4}) {
    EncodeRows(nullptr, 0, 5, storage, nullptr);
    DecodeRows(nullptr, 0, 5, storage, nullptr);
  }
}

double WorstError(const Floats& row, Storage storage) {
  const auto dim = static_cast<int64_t>(row.size());
  const Floats back = Decode(Encode(row, dim, storage), dim, storage);
  double worst = 0.0;
  for (size_t d = 0; d < row.size(); ++d) {
    worst = std::max(worst, std::fabs(double{back[d]} - double{row[d]}));
  }
  return worst;
}

TEST(RowErrorBoundTest, HoldsAndIsNotLoose) {
  std::mt19937 random(13);
  for (const Storage storage : {Storage::kF16, Storage::kBF16, Storage::kInt8, Storage::kInt4}) {
    for (const float scale : {1e-30f, 1e-9f, 1e-8f, 1e-6f, 1e-3f, 1.0f, 50.0f, 4000.0f}) {
      double tightest = kInf;
      for (int round = 0; round < 400; ++round) {
        std::normal_distribution<float> normal(static_cast<float>(round % 5) * scale, scale);
        Floats row(1 + random() % 64);
        for (float& value : row) value = normal(random);
        if (round % 7 == 0) row.assign(row.size(), row[0]);
        const auto [lo, hi] = std::minmax_element(row.begin(), row.end());
        const double bound = RowErrorBound(storage, *lo, *hi);
        const double error = WorstError(row, storage);
        ASSERT_LE(error, bound) << StorageName(storage) << " scale " << scale << " round " << round;
        if (error > 0.0) tightest = std::min(tightest, bound / error);
      }
      if (scale >= 1e-3f) {
        EXPECT_LT(tightest, 1.6) << StorageName(storage) << " scale " << scale;
      }
    }
  }
}

TEST(RowErrorBoundTest, Ends) {
  EXPECT_EQ(RowErrorBound(Storage::kF32, -1e30f, 1e30f), 0.0f);
  EXPECT_LT(RowErrorBound(Storage::kF16, 0.0f, std::nextafter(65520.0f, 0.0f)), kInf);
  EXPECT_EQ(RowErrorBound(Storage::kF16, 0.0f, 65520.0f), kInf);
  EXPECT_EQ(RowErrorBound(Storage::kBF16, -std::numeric_limits<float>::max(), 0.0f), kInf);
  EXPECT_LT(RowErrorBound(Storage::kBF16, -3.3e38f, 0.0f), kInf);
  for (const Storage storage : {Storage::kF16, Storage::kBF16, Storage::kInt8, Storage::kInt4}) {
    EXPECT_EQ(RowErrorBound(storage, 0.0f, kNaN), kInf);
    EXPECT_EQ(RowErrorBound(storage, -kInf, 0.0f), kInf);
    EXPECT_EQ(RowErrorBound(storage, 1.0f, 0.0f), kInf);
  }
}

}  // namespace
}  // namespace gyrfalcon::testing
