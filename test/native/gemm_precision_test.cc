// Products in 8 and 16 bits: exact where the numbers are integers, equal to a model of their
// rounding bit for bit where the CPU multiplies bytes, and what becomes of numbers that do not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/arena.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/gemm/gemm_kernel.h"
#include "gemm_support.h"

namespace gyrfalcon::fused {
namespace {

struct Problem {
  int64_t m, k, n;
  std::vector<float> x;        // [m, k]
  std::vector<float> w;        // [k, n]
  std::vector<float> bias;     // [n] or empty
  std::vector<float> x_scale;  // [k] or empty
};

Problem Sized(int64_t m, int64_t k, int64_t n) {
  const auto zeros = [](int64_t count) { return std::vector<float>(static_cast<size_t>(count)); };
  return {m, k, n, zeros(m * k), zeros(k * n), {}, {}};
}

Problem Random(int64_t m, int64_t k, int64_t n, uint32_t seed) {
  Problem problem = Sized(m, k, n);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (float& value : problem.x) value = normal(random);
  for (float& value : problem.w) value = normal(random);
  for (int64_t j = 0; j < n; ++j) problem.bias.push_back(normal(random));
  return problem;
}

struct Product {
  std::vector<float> y;  // [m, n]
  std::string kernel;
};

Product Compute(const GemmKernels& kernels, Precision precision, const Problem& problem) {
  const auto memory = Arena::Create(PackedBytes(kernels, problem.k, problem.n, precision)).value();
  const float* const scale = problem.x_scale.empty() ? nullptr : problem.x_scale.data();
  const PackedWeights packed = PackWeights(kernels, problem.w.data(), problem.k, problem.n,
                                           precision, memory->data(), scale);
  const auto scratch = Arena::Create(GemmScratchBytes(packed, problem.m)).value();
  Product product{std::vector<float>(static_cast<size_t>(problem.m * problem.n)),
                  std::string(GemmKernelName(packed))};
  Epilogue epilogue;
  if (!problem.bias.empty()) epilogue.bias = problem.bias.data();
  // Rows as of a long run: all of them in tiles, where there are tiles.
  constexpr int64_t kRunRows = 1000;
  RunGemm({&packed, problem.x.data(), problem.k, problem.m, product.y.data(), problem.n, &epilogue,
           scratch->data(), kRunRows});
  return product;
}

// What a dot product of bytes computes, operation by operation.
std::vector<float> ModelOfBytes(const Problem& p) {
  const auto at = [](int64_t row, int64_t width, int64_t column) {
    return static_cast<size_t>(row * width + column);
  };
  const auto scale_of = [&p](int64_t i) {
    return p.x_scale.empty() ? 1.0f : p.x_scale[static_cast<size_t>(i)];
  };
  std::vector<int64_t> wq(p.w.size());
  std::vector<float> w_scale, w_sum;
  for (int64_t j = 0; j < p.n; ++j) {
    float largest = 0.0f;
    for (int64_t i = 0; i < p.k; ++i) {
      largest = std::max(largest, std::fabs(p.w[at(i, p.n, j)] * scale_of(i)));
    }
    const float scale = largest / 127.0f;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    int64_t sum = 0;
    for (int64_t i = 0; i < p.k; ++i) {
      const float scaled = p.w[at(i, p.n, j)] * scale_of(i) * inverse;
      wq[at(i, p.n, j)] = std::isfinite(scaled) ? std::lrint(scaled) : 0;
      sum += wq[at(i, p.n, j)];
    }
    w_scale.push_back(scale);
    w_sum.push_back(scale * static_cast<float>(sum));
  }
  std::vector<float> y;
  for (int64_t r = 0; r < p.m; ++r) {
    std::vector<float> x;
    for (int64_t i = 0; i < p.k; ++i) x.push_back(p.x[at(r, p.k, i)] * (1.0f / scale_of(i)));
    const float low = *std::min_element(x.begin(), x.end());
    const float range = *std::max_element(x.begin(), x.end()) - low;
    const float factor = range > 0.0f ? 255.0f / range : 0.0f;
    std::vector<int64_t> q;
    for (const float value : x) {
      const float scaled = (value - low) * factor;
      q.push_back(std::isfinite(scaled) ? std::clamp(std::lrint(scaled), 0L, 255L) : 0);
    }
    for (int64_t j = 0; j < p.n; ++j) {
      int64_t sum = 0;
      for (int64_t i = 0; i < p.k; ++i) sum += q[static_cast<size_t>(i)] * wq[at(i, p.n, j)];
      const auto column = static_cast<size_t>(j);
      const float offset = low * w_sum[column];
      const float product =
          std::fma(range / 255.0f, static_cast<float>(sum) * w_scale[column], offset);
      y.push_back(p.bias.empty() ? product : product + p.bias[column]);
    }
  }
  return y;
}

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

class BytesTest : public testing::Test {
 protected:
  // Where x becomes bytes, y is the model's bit for bit; elsewhere x keeps its value, and a model
  // with nothing but rounded weights is near.
  void Check(const Problem& problem, const std::string& what) {
    const std::vector<float> model = ModelOfBytes(problem);
    for (const GemmKernels& kernels : TestedGemmKernels()) {
      const Product product = Compute(kernels, Precision::kInt8, problem);
      if (!RoundsXToBytes(product.kernel)) {
        EXPECT_EQ(product.kernel, "int8");
        continue;
      }
      for (size_t i = 0; i < model.size(); ++i) {
        if (std::isnan(model[i]) && std::isnan(product.y[i])) continue;
        ASSERT_EQ(product.y[i], model[i]) << what << " at " << i;
      }
    }
  }
};

TEST_F(BytesTest, RandomRowsInEveryShape) {
  std::mt19937 random(9);
  const auto below = [&](int64_t limit) {
    return static_cast<int64_t>(random() % static_cast<uint32_t>(limit));
  };
  for (uint32_t seed = 0; seed < 120; ++seed) {
    Problem problem =
        Random(below(30) + 1, below(200) + kShallow + 1, below(90) + kNarrow + 1, seed);
    if (seed % 3 == 0) problem.bias.clear();
    if (seed % 2 == 0) {
      for (int64_t i = 0; i < problem.k; ++i) {
        problem.x_scale.push_back(0.01f + static_cast<float>(below(1000)) * 0.01f);
      }
    }
    Check(problem, "seed " + std::to_string(seed));
  }
}

TEST_F(BytesTest, OutliersZerosAndDenormals) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float value :
       {0.0f, -0.0f, 1e-45f, 1e-40f, -1e-38f, 1e-10f, 1e4f, -1e6f, 1e20f, 3e38f}) {
    Problem problem = Random(4, 77, 40, 10);
    for (int64_t r = 0; r < problem.m; ++r) problem.x[static_cast<size_t>(r * 77 + 5 + r)] = value;
    std::fill(problem.x.begin(), problem.x.begin() + 77, value);
    Check(problem, "x of " + std::to_string(value));
    problem = Random(4, 77, 40, 11);
    for (int64_t j = 0; j < 40; j += 3) problem.w[static_cast<size_t>(j)] = value;
    Check(problem, "w of " + std::to_string(value));
  }
  Problem problem = Random(2, 40, 40, 12);
  problem.w[3] = std::nanf("");
  Check(problem, "a weight that is no number counts as 0");
  problem.w[3] = inf;
  for (const GemmKernels& kernels : TestedGemmKernels()) {
    EXPECT_FALSE(std::isfinite(Compute(kernels, Precision::kInt8, problem).y[3])) << kernels.name;
  }
}

// The error that scales take away: one element of x is always a hundred times the others.
TEST_F(BytesTest, ScalesKeepAnElementThatIsAlwaysLargeFromHidingTheOthers) {
  Problem problem = Random(16, 64, 40, 13);
  for (int64_t r = 0; r < problem.m; ++r) problem.x[static_cast<size_t>(r * 64 + 7)] *= 100.0f;
  for (int64_t j = 0; j < 40; ++j) problem.w[static_cast<size_t>(7 * 40 + j)] *= 0.01f;
  Problem scaled = problem;
  scaled.x_scale.assign(64, 1.0f);
  scaled.x_scale[7] = 100.0f;
  for (const GemmKernels& kernels : TestedGemmKernels()) {
    const Product exact = Compute(kernels, Precision::kF32, problem);
    const Product plain = Compute(kernels, Precision::kInt8, problem);
    const Product better = Compute(kernels, Precision::kInt8, scaled);
    if (!RoundsXToBytes(plain.kernel)) {
      EXPECT_EQ(plain.y, better.y);
      continue;
    }
    float before = 0.0f;
    float after = 0.0f;
    for (size_t i = 0; i < exact.y.size(); ++i) {
      before = std::max(before, std::fabs(plain.y[i] - exact.y[i]));
      after = std::max(after, std::fabs(better.y[i] - exact.y[i]));
    }
    EXPECT_LT(after * 10.0f, before);
  }
}

}  // namespace
}  // namespace gyrfalcon::fused
