// Products in 8 and 16 bits: exact where the numbers are integers, equal to a model of their
// rounding bit for bit where the CPU multiplies bytes, and what becomes of numbers that do not fit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gemm_precision_support.h"

namespace gyrfalcon::fused {
namespace {

class GemmPrecisionTest : public testing::TestWithParam<std::tuple<std::string, Precision>> {
 protected:
  const GemmKernels& kernels() const {
    for (const GemmKernels& k : TestedGemmKernels()) {
      if (k.name == std::get<0>(GetParam())) return k;
    }
    return TestedGemmKernels().back();
  }
  Precision precision() const { return std::get<1>(GetParam()); }
  Product Compute(const Problem& problem) const {
    return fused::Compute(kernels(), precision(), problem);
  }
};

// Every factor has an exact form in all precisions: integers of 8 bits, and in each row and column
// the ends of the range.
TEST_P(GemmPrecisionTest, IntegersAreExact) {
  for (const int64_t low : {int64_t{0}, int64_t{-128}, int64_t{-255}}) {
    for (const int64_t k : {int64_t{3}, int64_t{32}, int64_t{33}, int64_t{100}, int64_t{511}}) {
      Problem problem = Sized(13, k, 40);
      std::mt19937 random(static_cast<uint32_t>(k));
      for (float& value : problem.x) {
        value = static_cast<float>(static_cast<int64_t>(random() % 256) + low);
      }
      for (float& value : problem.w) value = static_cast<float>(random() % 255) - 127.0f;
      for (int64_t r = 0; r < problem.m; ++r) {
        problem.x[static_cast<size_t>(r * k)] = static_cast<float>(low);
        problem.x[static_cast<size_t>(r * k + 1)] = static_cast<float>(low + 255);
      }
      for (int64_t j = 0; j < problem.n; ++j) problem.w[static_cast<size_t>(j)] = 127.0f;
      const Product product = Compute(problem);
      for (int64_t r = 0; r < problem.m; ++r) {
        for (int64_t j = 0; j < problem.n; ++j) {
          int64_t sum = 0;
          for (int64_t i = 0; i < k; ++i) {
            sum += static_cast<int64_t>(problem.x[static_cast<size_t>(r * k + i)]) *
                   static_cast<int64_t>(problem.w[static_cast<size_t>(i * problem.n + j)]);
          }
          ASSERT_EQ(product.y[static_cast<size_t>(r * problem.n + j)], static_cast<float>(sum))
              << product.kernel << " k " << k << " low " << low << " at " << r << ", " << j;
        }
      }
    }
  }
}

TEST_P(GemmPrecisionTest, RowsOfZerosOfEitherSignGiveTheBias) {
  for (const int64_t k : {int64_t{20}, int64_t{50}}) {
    for (const float zero : {0.0f, -0.0f}) {
      Problem problem = Random(5, k, 37, 1);
      std::fill(problem.x.begin(), problem.x.end(), zero);
      const Product product = Compute(problem);
      for (size_t i = 0; i < product.y.size(); ++i) {
        ASSERT_EQ(product.y[i], problem.bias[i % 37]) << product.kernel;
      }
    }
  }
}

TEST_P(GemmPrecisionTest, OneNumberThroughoutARowIsExactInBytes) {
  Problem problem = Random(1, 64, 33, 2);
  std::fill(problem.x.begin(), problem.x.end(), 3.0f);
  const Product product = Compute(problem);
  if (precision() == Precision::kInt8) {
    for (int64_t j = 0; j < problem.n; ++j) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (int64_t i = 0; i < problem.k; ++i) {
        const double w = static_cast<double>(problem.w[static_cast<size_t>(i * problem.n + j)]);
        sum += 3.0 * w;
        magnitude = std::max(magnitude, std::fabs(w));
      }
      sum += static_cast<double>(problem.bias[static_cast<size_t>(j)]);
      // Only the weights are rounded: by half a step of 1/127 each at most.
      EXPECT_NEAR(static_cast<double>(product.y[static_cast<size_t>(j)]), sum,
                  3.0 * 64 * magnitude / 127 * 0.501);
    }
  }
  for (const float y : product.y) EXPECT_TRUE(std::isfinite(y));
}

// Numbers too small for a normal f32 may count as zero.
TEST_P(GemmPrecisionTest, DenormalsAreTheirValueOrZero) {
  Problem problem = Random(3, 70, 33, 3);
  problem.bias.clear();
  std::mt19937 random(4);
  for (float& value : problem.x) value = static_cast<float>(random() % 1000) * 1e-44f;
  for (const float y : Compute(problem).y) EXPECT_LE(std::fabs(y), 1e-38f);
  problem = Random(3, 70, 33, 5);
  problem.bias.clear();
  for (float& value : problem.w) value = static_cast<float>(random() % 1000) * 1e-44f;
  for (const float y : Compute(problem).y) EXPECT_LE(std::fabs(y), 1e-38f);
}

TEST_P(GemmPrecisionTest, WhatIsNoNumberOrInfiniteShowsInItsRowAlone) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const int64_t k : {int64_t{20}, int64_t{40}, int64_t{64}}) {
    for (const float bad : {std::nanf(""), inf, -inf}) {
      for (const int64_t place : {int64_t{0}, k - 1}) {
        Problem problem = Random(14, k, 40, 6);
        problem.x[static_cast<size_t>(4 * k + place)] = bad;
        const Product product = Compute(problem);
        for (int64_t r = 0; r < problem.m; ++r) {
          for (int64_t j = 0; j < problem.n; ++j) {
            const float y = product.y[static_cast<size_t>(r * problem.n + j)];
            if (std::isnan(bad)) {
              ASSERT_EQ(std::isnan(y), r == 4) << product.kernel;
            } else {
              ASSERT_EQ(std::isfinite(y), r != 4) << product.kernel;
            }
          }
        }
      }
    }
  }
}

// The scale says how x is rounded, never what is multiplied.
TEST_P(GemmPrecisionTest, ScalesOfXChangeNothingButRounding) {
  for (const int64_t k : {int64_t{20}, int64_t{40}, int64_t{64}}) {
    Problem problem = Random(9, k, 40, 7);
    const Product plain = Compute(problem);
    for (int64_t i = 0; i < k; ++i) {
      problem.x_scale.push_back(std::ldexp(1.0f, static_cast<int>(i % 5) - 2));
    }
    const Product scaled = Compute(problem);
    EXPECT_EQ(plain.kernel, scaled.kernel);
    if (RoundsXToBytes(scaled.kernel)) {
      EXPECT_EQ(scaled.y, ModelOfBytes(problem));
      for (size_t i = 0; i < plain.y.size(); ++i) EXPECT_NEAR(plain.y[i], scaled.y[i], 4.0f);
    } else {
      EXPECT_EQ(plain.y, scaled.y) << scaled.kernel;
    }
  }
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const GemmKernels& kernels : TestedGemmKernels()) names.emplace_back(kernels.name);
  return names;
}

std::string CaseName(const testing::TestParamInfo<GemmPrecisionTest::ParamType>& given) {
  static constexpr const char* kPrecisions[] = {"F32", "Bf16", "Int8"};
  return std::get<0>(given.param) + kPrecisions[static_cast<int>(std::get<1>(given.param))];
}

INSTANTIATE_TEST_SUITE_P(Kernels, GemmPrecisionTest,
                         testing::Combine(testing::ValuesIn(Names()),
                                          testing::Values(Precision::kF32, Precision::kBf16,
                                                          Precision::kInt8)),
                         CaseName);

// Where f32 products are sums of bf16 parts: what has no parts is computed as ever, to the bit, and
// changes nothing in other rows; sums and epilogue are those of f32.
class PartsTest : public testing::Test {
 protected:
  // Null: this CPU has no tiles.
  static const GemmKernels* WithTiles() {
    for (const GemmKernels& kernels : TestedGemmKernels()) {
      if (kernels.f32->tiles == Tiles::kParts) return &kernels;
    }
    return nullptr;
  }
  static GemmKernels Plain() { return {"plain", WithTiles()->f32->plain, nullptr, nullptr}; }
};

TEST_F(PartsTest, RowsThatHaveNoPartsAreThePlainOnesAndTheOthersKeepTheirBits) {
  if (WithTiles() == nullptr) return;
  for (const float bad : {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), 3.4e38f, -1.8e38f, 0x1p127f}) {
    Problem problem = Random(40, 70, 40, 21);
    const Product before = Compute(*WithTiles(), Precision::kF32, problem);
    ASSERT_EQ(before.kernel, "f32 tiles");
    for (const int64_t row : {int64_t{3}, int64_t{39}}) {
      problem.x[static_cast<size_t>(row * 70 + 69)] = bad;
    }
    const Product after = Compute(*WithTiles(), Precision::kF32, problem);
    const Product plain = Compute(Plain(), Precision::kF32, problem);
    for (size_t i = 0; i < after.y.size(); ++i) {
      const bool odd = i / 40 == 3 || i / 40 == 39;
      ASSERT_EQ(after.y[i], odd ? plain.y[i] : before.y[i]) << bad << " at " << i;
    }
  }
}

// Blocks of a run are summed alike, however small: its rows decide, not theirs.
TEST_F(PartsTest, AShortBlockHasTheBitsOfItsRun) {
  if (WithTiles() == nullptr) return;
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    Problem problem = Random(40, 70, 40, 24);
    const Product whole = Compute(*WithTiles(), precision, problem);
    for (const int64_t m : {int64_t{1}, int64_t{2}, int64_t{7}, int64_t{31}}) {
      problem.m = m;
      const Product block = Compute(*WithTiles(), precision, problem);
      ASSERT_TRUE(std::equal(block.y.begin(), block.y.end(), whole.y.begin())) << m;
    }
  }
}

TEST_F(PartsTest, TheLargestNumbersThatHavePartsAreMultiplied) {
  if (WithTiles() == nullptr) return;
  Problem problem = Sized(20, 64, 32);
  const float most = std::nextafter(0x1p127f, 0.0f);
  for (int64_t r = 0; r < 20; ++r) problem.x[static_cast<size_t>(r * 64 + r)] = most;
  for (int64_t j = 0; j < 32; ++j) {
    for (int64_t i = 0; i < 64; ++i) problem.w[static_cast<size_t>(i * 32 + j)] = -1.5f;
  }
  const Product product = Compute(*WithTiles(), Precision::kF32, problem);
  ASSERT_EQ(product.kernel, "f32 tiles");
  for (const float y : product.y) ASSERT_EQ(y, most * -1.5f);
}

TEST_F(PartsTest, WeightsThatHaveNoPartsAreMultipliedAsEver) {
  if (WithTiles() == nullptr) return;
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), -2e38f}) {
    Problem problem = Random(20, 64, 32, 22);
    problem.w[5] = bad;
    const Product product = Compute(*WithTiles(), Precision::kF32, problem);
    EXPECT_EQ(product.kernel, "f32");
    const Product plain = Compute(Plain(), Precision::kF32, problem);
    for (size_t i = 0; i < plain.y.size(); ++i) {
      if (std::isnan(plain.y[i])) {
        ASSERT_TRUE(std::isnan(product.y[i]));
      } else {
        ASSERT_EQ(product.y[i], plain.y[i]);
      }
    }
  }
}

// Every f32 number of the usual range is its parts' sum: a product with 1 gives it back.
TEST_F(PartsTest, NumbersComeBackFromTheirParts) {
  if (WithTiles() == nullptr) return;
  std::mt19937 random(23);
  Problem problem = Sized(64, 64, 64);
  for (int64_t i = 0; i < 64; ++i) problem.w[static_cast<size_t>(i * 64 + i)] = 1.0f;
  for (int round = 0; round < 200; ++round) {
    for (float& x : problem.x) {
      x = std::ldexp(static_cast<float>(static_cast<int32_t>(random())),
                     static_cast<int>(random() % 160) - 110);
    }
    const Product product = Compute(*WithTiles(), Precision::kF32, problem);
    ASSERT_EQ(product.kernel, "f32 tiles");
    ASSERT_EQ(product.y, problem.x);
  }
}

TEST(GemmKernelChoiceTest, FewColumnsAreF32AndShallowProductsAreNotInt8) {
  for (const GemmKernels& kernels : TestedGemmKernels()) {
    EXPECT_EQ(Compute(kernels, Precision::kInt8, Random(2, 64, 4, 1)).kernel, "f32");
    EXPECT_EQ(Compute(kernels, Precision::kBf16, Random(2, 64, 4, 1)).kernel, "f32");
    EXPECT_EQ(Compute(kernels, Precision::kInt8, Random(2, 32, 5, 1)).kernel, kernels.bf16->name);
    EXPECT_EQ(Compute(kernels, Precision::kInt8, Random(2, 33, 5, 1)).kernel, kernels.int8->name);
    EXPECT_EQ(Compute(kernels, Precision::kF32, Random(2, 33, 5, 1)).kernel, "f32");
    EXPECT_EQ(Compute(kernels, Precision::kF32, Random(2, 32, 40, 1)).kernel, "f32");
    EXPECT_EQ(Compute(kernels, Precision::kF32, Random(2, 33, 16, 1)).kernel, "f32");
    EXPECT_EQ(Compute(kernels, Precision::kF32, Random(2, 33, 17, 1)).kernel, kernels.f32->name);
  }
}

// Counts in millions beside shares below 1, as a model's first product may get them.
TEST(GemmKernelChoiceTest, FirstProductsKeepTheirSmallInputs) {
  for (const GemmKernels& kernels : TestedGemmKernels()) {
    Problem problem = Random(4, 13, 40, 8);
    for (int64_t r = 0; r < problem.m; ++r) problem.x[static_cast<size_t>(r * 13)] = 4194304.0f;
    for (int64_t j = 0; j < problem.n; ++j) problem.w[static_cast<size_t>(j)] = 0.0f;
    const Product exact = Compute(kernels, Precision::kF32, problem);
    const Product bytes = Compute(kernels, Precision::kInt8, problem);
    for (size_t i = 0; i < exact.y.size(); ++i) EXPECT_NEAR(exact.y[i], bytes.y[i], 0.1f);
  }
}

}  // namespace
}  // namespace gyrfalcon::fused
