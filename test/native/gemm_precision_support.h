// Products of given numbers by one of this machine's kernels, and what products of bytes give.
#ifndef GYRFALCON_TEST_NATIVE_GEMM_PRECISION_SUPPORT_H_
#define GYRFALCON_TEST_NATIVE_GEMM_PRECISION_SUPPORT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/arena.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/gemm/gemm_kernel.h"
#include "gemm_support.h"

namespace gyrfalcon::fused {

struct Problem {
  int64_t m, k, n;
  std::vector<float> x;        // [m, k]
  std::vector<float> w;        // [k, n]
  std::vector<float> bias;     // [n] or empty
  std::vector<float> x_scale;  // [k] or empty
};

inline Problem Sized(int64_t m, int64_t k, int64_t n) {
  const auto zeros = [](int64_t count) { return std::vector<float>(static_cast<size_t>(count)); };
  return {m, k, n, zeros(m * k), zeros(k * n), {}, {}};
}

inline Problem Random(int64_t m, int64_t k, int64_t n, uint32_t seed) {
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

inline Product Compute(const GemmKernels& kernels, Precision precision, const Problem& problem) {
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
inline std::vector<float> ModelOfBytes(const Problem& p) {
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

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_TEST_NATIVE_GEMM_PRECISION_SUPPORT_H_
