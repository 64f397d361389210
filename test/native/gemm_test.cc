// Every kernel against double-precision products of the weights that the precision stands for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backends/row_format.h"
#include "core/arena.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/gemm/gemm_kernel.h"
#include "gemm_support.h"

namespace gyrfalcon::fused {
namespace {

constexpr float kGuard = 12345.0f;  // what RunGemm must leave alone

struct Case {
  int64_t m, k, n;
};

struct Extras {
  bool bias = false;
  ActFn act = ActFn::kNone;
  bool mul = false;
  bool add = false;
  bool columns = false;  // mul and add are one column
  ActFn post = ActFn::kNone;
};

class Product {
 public:
  Product(const GemmKernels& kernels, Precision precision, const Case& size, const Extras& extras,
          uint32_t seed)
      : kernels_(kernels), precision_(precision), size_(size), extras_(extras), random_(seed) {
    Fill(&w_, size.k * size.n);
    Fill(&bias_, size.n);
    Fill(&slope_, size.n);
    x_stride_ = size.k + 3;
    y_stride_ = size.n + 5;
    Fill(&x_, size.m * x_stride_);
    const int64_t other = extras.columns ? 1 : size.n;
    mul_stride_ = other + 2;
    add_stride_ = other + 1;
    Fill(&mul_, size.m * mul_stride_);
    Fill(&add_, size.m * add_stride_);
  }

  // Runs the kernel as a block of so many rows, its columns in up to so many calls; false if memory
  // beyond the result was written.
  bool Run(int64_t run_rows = 0, int64_t parts = 1) {
    memory_ = Arena::Create(PackedBytes(kernels_, size_.k, size_.n, precision_)).value();
    packed_ = PackWeights(kernels_, w_.data(), size_.k, size_.n, precision_, memory_->data());
    const auto scratch = Arena::Create(GemmScratchBytes(packed_, size_.m)).value();
    y_.assign(static_cast<size_t>(size_.m * y_stride_) + 8, kGuard);
    Epilogue epilogue;
    if (extras_.bias) epilogue.bias = bias_.data();
    epilogue.act = Act(extras_.act);
    epilogue.post = Act(extras_.post);
    if (extras_.mul) epilogue.mul = mul_.data();
    if (extras_.add) epilogue.add = add_.data();
    epilogue.mul_stride = mul_stride_;
    epilogue.add_stride = add_stride_;
    epilogue.mul_is_column = epilogue.add_is_column = extras_.columns;
    const int64_t units = (size_.n + kColumnUnit - 1) / kColumnUnit;
    parts = std::min(parts, units);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = units * part / parts * kColumnUnit;
      const int64_t end = std::min(units * (part + 1) / parts * kColumnUnit, size_.n);
      RunGemm({&packed_, x_.data(), x_stride_, size_.m, y_.data(), y_stride_, &epilogue,
               scratch->data(), run_rows, first, parts == 1 ? 0 : end - first});
    }
    for (size_t i = 0; i < y_.size(); ++i) {
      const auto row = static_cast<int64_t>(i) / y_stride_;
      const auto column = static_cast<int64_t>(i) % y_stride_;
      if ((row >= size_.m || column >= size_.n) && y_[i] != kGuard) return false;
    }
    return true;
  }

  // The largest error over the elements, each divided by what its sum of magnitudes allows.
  double Error() {
    RoundWeights();
    double worst = 0.0;
    for (int64_t r = 0; r < size_.m; ++r) {
      const float* const x = x_.data() + r * x_stride_;
      const auto [low, high] = std::minmax_element(x, x + size_.k);
      for (int64_t j = 0; j < size_.n; ++j) {
        double sum = 0.0;
        double magnitude = 1.0;
        for (int64_t i = 0; i < size_.k; ++i) {
          const double product = static_cast<double>(x[i]) * Weight(i, j);
          sum += product;
          magnitude += std::fabs(product);
        }
        double bound = magnitude * static_cast<double>(size_.k + 4) * 6e-8;
        const std::string_view kind = GemmKernelName(packed_);
        if (RoundsXToBf16(kind)) bound += magnitude * 0.004;  // x rounded to 8 bits of mantissa
        if (RoundsXToBytes(kind)) {
          // Each x is off by half a step at most.
          double weights = 0.0;
          for (int64_t i = 0; i < size_.k; ++i) weights += std::fabs(Weight(i, j));
          bound +=
              weights * (static_cast<double>(*high) - static_cast<double>(*low)) / 255.0 * 0.51;
        }
        double y = sum + (extras_.bias ? static_cast<double>(bias_[static_cast<size_t>(j)]) : 0.0);
        y = Apply(extras_.act, j, y);
        const int64_t column = extras_.columns ? 0 : j;
        if (extras_.mul) {
          const double factor = mul_[static_cast<size_t>(r * mul_stride_ + column)];
          y *= factor;
          bound *= std::max(1.0, std::fabs(factor));
        }
        if (extras_.add)
          y += static_cast<double>(add_[static_cast<size_t>(r * add_stride_ + column)]);
        y = Apply(extras_.post, j, y);
        const double got = y_[static_cast<size_t>(r * y_stride_ + j)];
        worst = std::max(worst, std::isnan(got) ? 1e9 : std::fabs(got - y) / bound);
      }
    }
    return worst;
  }

  std::vector<float>& x() { return x_; }
  std::vector<float>& w() { return w_; }
  const std::vector<float>& y() const { return y_; }

 private:
  void Fill(std::vector<float>* values, int64_t count) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    values->resize(static_cast<size_t>(count));
    for (float& value : *values) value = uniform(random_);
  }

  ResolvedAct Act(ActFn fn) const {
    ResolvedAct act;
    act.fn = fn;
    act.alpha = fn == ActFn::kClip ? -0.25f : 0.1f;
    act.beta = 0.5f;
    act.slope = slope_.data();
    return act;
  }

  double Apply(ActFn fn, int64_t column, double y) const {
    switch (fn) {
      case ActFn::kRelu:
        return std::max(y, 0.0);
      case ActFn::kLeakyRelu:
        return y > 0.0 ? y : y * static_cast<double>(0.1f);
      case ActFn::kPrelu:
        return y > 0.0 ? y : y * static_cast<double>(slope_[static_cast<size_t>(column)]);
      case ActFn::kClip:
        return std::clamp(y, -0.25, 0.5);
      default:
        return y;
    }
  }

  // What the weights are worth in this precision.
  void RoundWeights() {
    rounded_.assign(w_.begin(), w_.end());
    if (size_.n <= kNarrow || precision_ == Precision::kF32) return;
    if (precision_ == Precision::kBf16 || size_.k <= kShallow) {
      for (double& w : rounded_) {
        w = static_cast<double>(BFloat16ToFloat(FloatToBFloat16(static_cast<float>(w))));
      }
      return;
    }
    for (int64_t j = 0; j < size_.n; ++j) {
      float largest = 0.0f;
      const auto at = [&](int64_t i) { return static_cast<size_t>(i * size_.n + j); };
      for (int64_t i = 0; i < size_.k; ++i) largest = std::max(largest, std::fabs(w_[at(i)]));
      const float scale = largest / 127.0f;
      const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
      for (int64_t i = 0; i < size_.k; ++i) {
        rounded_[at(i)] =
            static_cast<double>(std::nearbyint(w_[at(i)] * inverse)) * static_cast<double>(scale);
      }
    }
  }

  double Weight(int64_t i, int64_t j) const {
    return rounded_[static_cast<size_t>(i * size_.n + j)];
  }

  const GemmKernels& kernels_;
  Precision precision_;
  Case size_;
  Extras extras_;
  std::mt19937 random_;
  int64_t x_stride_ = 0, y_stride_ = 0, mul_stride_ = 0, add_stride_ = 0;
  std::vector<float> w_, bias_, slope_, x_, mul_, add_, y_;
  std::vector<double> rounded_;  // w_
  std::shared_ptr<Arena> memory_;
  PackedWeights packed_;
};

class GemmTest : public testing::TestWithParam<std::tuple<std::string, Precision>> {
 protected:
  const GemmKernels& kernels() const {
    for (const GemmKernels& k : TestedGemmKernels()) {
      if (k.name == std::get<0>(GetParam())) return k;
    }
    return TestedGemmKernels().back();
  }
  Precision precision() const { return std::get<1>(GetParam()); }

  void Check(const Case& size, const Extras& extras, uint32_t seed = 1) {
    Product product(kernels(), precision(), size, extras, seed);
    // By itself, and as the last block of a long run.
    for (const int64_t run_rows : {int64_t{0}, int64_t{1000}}) {
      EXPECT_TRUE(product.Run(run_rows)) << "wrote outside of the result: " << Name(size);
      EXPECT_LE(product.Error(), 1.0) << Name(size);
    }
  }
  static std::string Name(const Case& size) {
    return std::to_string(size.m) + "x" + std::to_string(size.k) + "x" + std::to_string(size.n);
  }
};

TEST_P(GemmTest, EveryNumberOfRowsUpToABlock) {
  for (int64_t m = 1; m <= 66; ++m) Check({m, 37, 40}, {.bias = true, .act = ActFn::kRelu});
  for (const int64_t m : {127, 128, 129, 200}) {
    Check({m, 37, 40}, {true, ActFn::kRelu, true, true, false, ActFn::kNone});
  }
}

TEST_P(GemmTest, EveryNumberOfColumnsAroundPanels) {
  for (int64_t n = 1; n <= 70; ++n) {
    Check({1, 19, n}, {.bias = true});
    Check({3, 19, n}, {.bias = true});
    Check({13, 19, n}, {.bias = true});
  }
}

TEST_P(GemmTest, EveryDepth) {
  for (int64_t k = 1; k <= 70; ++k) {
    Check({5, k, 33}, {});
    Check({2, k, 2}, {});
  }
  Check({2, 5000, 33}, {});
}

TEST_P(GemmTest, EveryEpilogue) {
  for (const ActFn act :
       {ActFn::kNone, ActFn::kRelu, ActFn::kLeakyRelu, ActFn::kPrelu, ActFn::kClip}) {
    for (int bits = 0; bits < 16; ++bits) {
      const Extras extras{(bits & 1) != 0, act,
                          (bits & 2) != 0, (bits & 4) != 0,
                          (bits & 8) != 0, bits % 3 == 0 ? act : ActFn::kNone};
      Check({7, 21, 45}, extras);
      Check({1, 21, 64}, extras);
      Check({4, 21, 3}, extras);
    }
  }
}

TEST_P(GemmTest, NoRowsWriteNothing) { Check({0, 8, 40}, {.bias = true}); }

TEST_P(GemmTest, ZeroWeightsGiveTheBias) {
  Product product(kernels(), precision(), {3, 12, 40}, {.bias = true}, 1);
  std::fill(product.w().begin(), product.w().end(), 0.0f);
  EXPECT_TRUE(product.Run());
  EXPECT_LE(product.Error(), 1.0);
}

TEST_P(GemmTest, NotANumberStaysInItsRow) {
  const Case size{14, 40, 40};
  Product product(kernels(), precision(), size, {.act = ActFn::kRelu}, 1);
  product.x()[static_cast<size_t>(4 * (size.k + 3) + 17)] = std::nanf("");
  ASSERT_TRUE(product.Run());
  for (int64_t r = 0; r < size.m; ++r) {
    for (int64_t j = 0; j < size.n; ++j) {
      const float y = product.y()[static_cast<size_t>(r * (size.n + 5) + j)];
      if (r != 4) {
        ASSERT_TRUE(std::isfinite(y)) << r << " " << j;
      }
      if (r == 4) {
        ASSERT_TRUE(std::isnan(y)) << j;
      }
    }
  }
}

TEST_P(GemmTest, ColumnsInPartsAreThoseOfTheWhole) {
  for (const int64_t m : {int64_t{1}, int64_t{3}, int64_t{16}, int64_t{40}}) {
    for (const int64_t n : {int64_t{63}, int64_t{64}, int64_t{65}, int64_t{130}, int64_t{300}}) {
      for (const int64_t k : {int64_t{20}, int64_t{70}}) {
        const Extras extras{true, ActFn::kPrelu, true, true, false, ActFn::kClip};
        Product whole(kernels(), precision(), {m, k, n}, extras, 5);
        Product parts(kernels(), precision(), {m, k, n}, extras, 5);
        for (const int64_t run_rows : {m, int64_t{1000}}) {
          ASSERT_TRUE(whole.Run(run_rows));
          for (const int64_t count : {int64_t{2}, int64_t{3}, int64_t{5}}) {
            ASSERT_TRUE(parts.Run(run_rows, count)) << "wrote outside of the result";
            ASSERT_EQ(parts.y(), whole.y()) << m << "x" << k << "x" << n << " in " << count;
          }
        }
      }
    }
  }
}

TEST_P(GemmTest, RandomShapes) {
  std::mt19937 random(7);
  const auto below = [&](int64_t limit) {
    return static_cast<int64_t>(random() % static_cast<uint32_t>(limit)) + 1;
  };
  for (uint32_t i = 0; i < 150; ++i) {
    Check({below(40), below(200), below(150)},
          {random() % 2 == 0, ActFn::kRelu, random() % 4 == 0, random() % 4 == 0, random() % 2 == 0,
           ActFn::kNone},
          i);
  }
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const GemmKernels& kernels : TestedGemmKernels()) names.emplace_back(kernels.name);
  return names;
}

std::string CaseName(const testing::TestParamInfo<GemmTest::ParamType>& given) {
  static constexpr const char* kPrecisions[] = {"F32", "Bf16", "Int8"};
  return std::get<0>(given.param) + kPrecisions[static_cast<int>(std::get<1>(given.param))];
}

INSTANTIATE_TEST_SUITE_P(Kernels, GemmTest,
                         testing::Combine(testing::ValuesIn(Names()),
                                          testing::Values(Precision::kF32, Precision::kBf16,
                                                          Precision::kInt8)),
                         CaseName);

TEST(GemmChoiceTest, AnOldCpuGetsWhatItCanRun) {
  const std::vector<GemmKernels> all = ChooseGemmKernels(CpuFeatures());
  ASSERT_GE(all.size(), 2u);
  EXPECT_EQ(all[all.size() - 2].name, "portable");
  EXPECT_EQ(all.back().name, "reference");
}

#if defined(__x86_64__)
TEST(GemmChoiceTest, DotProductsAreUsedOnlyWhereTheyAre) {
  CpuFeatures cpu;
  cpu.avx2 = cpu.fma = cpu.f16c = cpu.os_ymm = cpu.os_zmm = true;
  EXPECT_EQ(ChooseGemmKernels(cpu).front().name, "avx2");
  cpu.avx512f = cpu.avx512bw = cpu.avx512vl = cpu.avx512dq = true;
  EXPECT_EQ(ChooseGemmKernels(cpu).front().name, "avx512");
  EXPECT_EQ(ChooseGemmKernels(cpu).front().bf16, &kAvx512Bf16);
  EXPECT_EQ(ChooseGemmKernels(cpu).front().int8, &kAvx512Int8);
  cpu.avx512_bf16 = cpu.avx512_vnni = true;
  EXPECT_EQ(ChooseGemmKernels(cpu).front().bf16, &kAvx512Bf16Dot);
  EXPECT_EQ(ChooseGemmKernels(cpu).front().int8, &kAvx512Int8Dot);
  cpu.os_zmm = false;
  EXPECT_EQ(ChooseGemmKernels(cpu).front().name, "avx2");
}

TEST(GemmChoiceTest, TilesAreUsedOnlyWhereAllOfThemAreAndTheSystemAllowsThem) {
  CpuFeatures all;
  all.avx2 = all.fma = all.f16c = all.os_ymm = all.os_zmm = true;
  all.avx512f = all.avx512bw = all.avx512vl = all.avx512dq = true;
  all.avx512_bf16 = all.avx512_vnni = all.amx_bf16 = all.amx_int8 = all.os_tiles = true;
  EXPECT_EQ(ChooseGemmKernels(all).front().name, "amx");
  EXPECT_EQ(ChooseGemmKernels(all)[1].name, "avx512");
  for (bool CpuFeatures::*const feature :
       {&CpuFeatures::amx_bf16, &CpuFeatures::amx_int8, &CpuFeatures::os_tiles,
        &CpuFeatures::avx512_bf16, &CpuFeatures::avx512_vnni}) {
    CpuFeatures cpu = all;
    cpu.*feature = false;
    EXPECT_EQ(ChooseGemmKernels(cpu).front().name, "avx512");
  }
}
#endif

TEST(GemmChoiceTest, OnlyCheapActsAreFused) {
  EXPECT_TRUE(GemmFuses(ActFn::kRelu));
  EXPECT_TRUE(GemmFuses(ActFn::kNone));
  EXPECT_FALSE(GemmFuses(ActFn::kSigmoid));
  EXPECT_FALSE(GemmFuses(ActFn::kGelu));
}

}  // namespace
}  // namespace gyrfalcon::fused
