// Products of bytes: their model's bit for bit where the CPU multiplies bytes, and what scales and
// unusual rows do.
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
