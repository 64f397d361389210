// Every table of operator kernels against the reference, over lengths with tails and corner values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engines/fused/ops/ops.h"
#include "engines/fused/pair_tiles.h"

namespace gyrfalcon::fused {
namespace {

constexpr float kGuard = 12345.0f;
constexpr float kInf = std::numeric_limits<float>::infinity();

const std::vector<float>& Corners() {
  static const std::vector<float> corners = {
      0.0f,   -0.0f,   1.0f,   -1.0f,  0.5f,   -0.5f,   1.5f,         2.5f,    -2.5f,
      1e-40f, -1e-40f, 1e-20f, 3e-5f,  -3e-5f, 8.0f,    -8.0f,        20.0f,   -20.0f,
      87.0f,  -87.0f,  88.8f,  -88.8f, 100.0f, -104.0f, 8.4e6f,       -8.4e6f, 3e9f,
      -3e9f,  3e38f,   -3e38f, 0.625f, kInf,   -kInf,   std::nanf("")};
  return corners;
}

std::vector<float> Numbers(size_t n, uint32_t seed, float range = 6.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-range, range);
  std::vector<float> numbers(n);
  for (float& x : numbers) x = uniform(random);
  return numbers;
}

// Equal, both NaN, or closer than `tolerance` relative to the larger of 1 and the value; `ulp`
// takes the place of 1 where results are small.
void ExpectClose(float got, float want, float tolerance, const std::string& what) {
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(got)) << what << " got " << got;
    return;
  }
  if (got == want) return;
  ASSERT_TRUE(std::isfinite(got)) << what << " got " << got << " want " << want;
  EXPECT_LE(std::fabs(got - want), tolerance * std::max(1.0f, std::fabs(want)))
      << what << " got " << got << " want " << want;
}

class FusedOps : public ::testing::TestWithParam<OpKernels> {
 protected:
  const OpKernels& ops() const { return GetParam(); }
};

TEST_P(FusedOps, UnaryAgreesOnCornersAndEveryLength) {
  std::vector<float> x = Corners();
  const std::vector<float> more = Numbers(600, 1);
  x.insert(x.end(), more.begin(), more.end());
  const std::vector<float> wide = Numbers(600, 2, 90.0f);
  x.insert(x.end(), wide.begin(), wide.end());
  const std::vector<float> slope = Numbers(x.size(), 3, 1.0f);
  const std::vector<float> scale = Numbers(x.size(), 4, 2.0f);
  const std::vector<float> shift = Numbers(x.size(), 5, 1.0f);
  for (int fn = 0; fn <= static_cast<int>(ActFn::kDice); ++fn) {
    ResolvedAct act;
    act.fn = static_cast<ActFn>(fn);
    act.alpha = 0.3f;
    act.beta = act.fn == ActFn::kClip ? 2.0f : 1.05f;
    act.slope = slope.data();
    act.scale = scale.data();
    act.shift = shift.data();
    for (const size_t n : {x.size(), size_t{0}, size_t{1}, size_t{3}, size_t{5}, size_t{17}}) {
      std::vector<float> want(n + 1, kGuard);
      std::vector<float> got(n + 1, kGuard);
      kReferenceOps.unary(act, x.data(), want.data(), static_cast<int64_t>(n));
      ops().unary(act, x.data(), got.data(), static_cast<int64_t>(n));
      EXPECT_EQ(got[n], kGuard);
      for (size_t i = 0; i < n; ++i) {
        // sin and cos lose the digits of their argument beyond what f32 tells apart.
        ExpectClose(got[i], want[i], 6e-7f,
                    "act " + std::to_string(fn) + " of " + std::to_string(x[i]));
      }
    }
  }
}

TEST_P(FusedOps, ExpAndSigmoidAreRelativelyClose) {
  const std::vector<float> x = Numbers(20000, 6, 80.0f);
  for (const ActFn fn : {ActFn::kExp, ActFn::kSigmoid}) {
    ResolvedAct act;
    act.fn = fn;
    std::vector<float> want(x.size());
    std::vector<float> got(x.size());
    kReferenceOps.unary(act, x.data(), want.data(), static_cast<int64_t>(x.size()));
    ops().unary(act, x.data(), got.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_LE(std::fabs(got[i] - want[i]), 4.0f * 1.2e-7f * want[i]) << x[i];
    }
  }
}

TEST_P(FusedOps, BinaryAgreesWithEverySideBroadcast) {
  std::vector<float> a;
  std::vector<float> b;
  for (const float left : Corners()) {
    for (const float right : Corners()) {
      a.push_back(left);
      b.push_back(right);
    }
  }
  for (int fn = 0; fn <= static_cast<int>(BinaryFn::kXor); ++fn) {
    for (const auto& [a_step, b_step] : {std::pair{1, 1}, {0, 1}, {1, 0}, {0, 0}}) {
      for (const size_t n : {a.size(), size_t{0}, size_t{1}, size_t{7}, size_t{19}}) {
        std::vector<float> want(n + 1, kGuard);
        std::vector<float> got(n + 1, kGuard);
        const auto f = static_cast<BinaryFn>(fn);
        const auto count = static_cast<int64_t>(n);
        kReferenceOps.binary(f, a.data() + 4, a_step, b.data() + 4, b_step, want.data(),
                             std::min<int64_t>(count, static_cast<int64_t>(a.size()) - 4));
        ops().binary(f, a.data() + 4, a_step, b.data() + 4, b_step, got.data(),
                     std::min<int64_t>(count, static_cast<int64_t>(a.size()) - 4));
        for (size_t i = 0; i <= n; ++i) {
          ExpectClose(got[i], want[i], 1e-6f, "fn " + std::to_string(fn));
        }
      }
    }
  }
}

TEST_P(FusedOps, WhereAgrees) {
  const std::vector<float> c = {1.0f, 0.0f, -0.0f, 2.0f, std::nanf(""), 0.0f, 1.0f, 1e-40f, 0.0f};
  const std::vector<float> a = Numbers(64, 7);
  const std::vector<float> b = Numbers(64, 8);
  for (const int64_t n : {0, 1, 4, 9}) {
    std::vector<float> want(10, kGuard);
    std::vector<float> got(10, kGuard);
    kReferenceOps.where(c.data(), 1, a.data(), 1, b.data(), 0, want.data(), n);
    ops().where(c.data(), 1, a.data(), 1, b.data(), 0, got.data(), n);
    EXPECT_EQ(got, want);
  }
}

TEST_P(FusedOps, ReductionsAgree) {
  for (int fn = 0; fn <= static_cast<int>(ReduceFn::kLogSumExp); ++fn) {
    const auto f = static_cast<ReduceFn>(fn);
    for (const int64_t count : {1, 2, 7, 16, 33, 100}) {
      for (const int64_t n : {1, 3, 8, 16, 21}) {
        const std::vector<float> x = Numbers(static_cast<size_t>(count * n), 9, 1.2f);
        const std::string what = "fn " + std::to_string(fn) + " " + std::to_string(count);
        ExpectClose(ops().reduce(f, x.data(), count), kReferenceOps.reduce(f, x.data(), count),
                    2e-6f, what);
        std::vector<float> want(static_cast<size_t>(n) + 1, kGuard);
        std::vector<float> got = want;
        kReferenceOps.reduce_rows(f, x.data(), count, n, want.data());
        ops().reduce_rows(f, x.data(), count, n, got.data());
        for (size_t j = 0; j <= static_cast<size_t>(n); ++j) {
          ExpectClose(got[j], want[j], 4e-6f, what);
        }
      }
    }
  }
}

TEST_P(FusedOps, MaximaOfInfinitiesAndNan) {
  const std::vector<float> low(20, -kInf);
  EXPECT_EQ(ops().reduce(ReduceFn::kMax, low.data(), 20), -kInf);
  EXPECT_EQ(ops().reduce(ReduceFn::kLogSumExp, low.data(), 20), -kInf);
  std::vector<float> x = Numbers(37, 10);
  x[35] = std::nanf("");
  EXPECT_TRUE(std::isnan(ops().reduce(ReduceFn::kMax, x.data(), 37)));
  EXPECT_TRUE(std::isnan(ops().reduce(ReduceFn::kMin, x.data(), 37)));
  x[35] = 1e30f;
  EXPECT_EQ(ops().reduce(ReduceFn::kMax, x.data(), 37), 1e30f);
}

TEST_P(FusedOps, SoftmaxAndLayerNormAgree) {
  for (const bool flag : {false, true}) {
    for (const int64_t count : {1, 2, 5, 16, 17, 50}) {
      for (const int64_t n : {1, 6, 16, 20}) {
        std::vector<float> x = Numbers(static_cast<size_t>(count * n), 11, 9.0f);
        if (count > 2) x[0] = -kInf;  // masked
        std::vector<float> want(x.size());
        std::vector<float> got(x.size());
        kReferenceOps.softmax_rows(x.data(), want.data(), count, n, flag);
        ops().softmax_rows(x.data(), got.data(), count, n, flag);
        for (size_t i = 0; i < x.size(); ++i) ExpectClose(got[i], want[i], 1e-6f, "softmax_rows");
        kReferenceOps.softmax(x.data(), want.data(), count, flag);
        got = x;
        ops().softmax(got.data(), got.data(), count, flag);  // in place
        for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
          ExpectClose(got[i], want[i], 1e-6f, "softmax");
        }
        x[0] = 0.5f;
        const std::vector<float> gamma = Numbers(x.size(), 12, 2.0f);
        const std::vector<float> beta = Numbers(x.size(), 13, 2.0f);
        kReferenceOps.layer_norm(x.data(), want.data(), count, gamma.data(), beta.data(), 1e-5f,
                                 flag);
        ops().layer_norm(x.data(), got.data(), count, gamma.data(), beta.data(), 1e-5f, flag);
        for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
          ExpectClose(got[i], want[i], 4e-6f, "layer_norm");
        }
      }
    }
  }
}

// Short rows take other ways than long ones, and end within a vector or with one.
TEST_P(FusedOps, SoftmaxAndLayerNormOfEveryLengthWriteNothingBehind) {
  for (int64_t n = 1; n <= 70; ++n) {
    const auto size = static_cast<size_t>(n);
    std::vector<float> x = Numbers(size, 21 + static_cast<uint32_t>(n), 4.0f);
    x[size / 2] = -1e9f;  // masked
    x[size - 1] = 60.0f;
    for (const bool flag : {false, true}) {
      std::vector<float> want(size + 1, kGuard);
      std::vector<float> got = want;
      kReferenceOps.softmax(x.data(), want.data(), n, flag);
      ops().softmax(x.data(), got.data(), n, flag);
      for (size_t i = 0; i <= size; ++i) {
        ExpectClose(got[i], want[i], 1e-6f, "softmax of " + std::to_string(n));
      }
      if (n > 2 && !flag) {
        EXPECT_EQ(got[size / 2], 0.0f);
      }
      kReferenceOps.layer_norm(x.data(), want.data(), n, nullptr, nullptr, 1e-5f, flag);
      ops().layer_norm(x.data(), got.data(), n, nullptr, nullptr, 1e-5f, flag);
      for (size_t i = 0; i <= size; ++i) {
        ExpectClose(got[i], want[i], 4e-6f, "layer_norm of " + std::to_string(n));
      }
    }
  }
}

TEST_P(FusedOps, SoftmaxOfWhatItHardlyCounts) {
  // e^-87 is about the last normal number: what is below may be 0.
  const std::vector<float> x = {0.0f,    -80.0f,  -86.9f, -87.1f, -90.0f,
                                -103.0f, -200.0f, -3e38f, -kInf};
  for (const size_t n : {x.size(), size_t{5}, size_t{2}}) {
    std::vector<float> got(x.size() + 1, kGuard);
    ops().softmax(x.data(), got.data(), static_cast<int64_t>(n), false);
    for (size_t i = 0; i < n; ++i) {
      const double want = std::exp(static_cast<double>(x[i]));
      EXPECT_NEAR(got[i], want, want * 1e-6 + 2e-38) << x[i];
    }
    EXPECT_EQ(got[n], kGuard);
  }
}

TEST_P(FusedOps, SoftmaxOfInfinitiesAndNanIsNan) {
  for (const size_t n : {1, 3, 8, 16, 20, 64, 65, 90}) {
    for (const size_t place : {size_t{0}, n / 2, n - 1}) {
      for (const float bad : {kInf, std::nanf("")}) {
        std::vector<float> x = Numbers(n, 22);
        x[place] = bad;
        std::vector<float> got(n + 1, kGuard);
        ops().softmax(x.data(), got.data(), static_cast<int64_t>(n), false);
        EXPECT_TRUE(std::isnan(got[place])) << n;
        EXPECT_EQ(got[n], kGuard);
      }
    }
    const std::vector<float> low(n, -kInf);
    std::vector<float> got(n);
    ops().softmax(low.data(), got.data(), static_cast<int64_t>(n), false);
    for (const float one : got) EXPECT_TRUE(std::isnan(one)) << n;
  }
}

TEST_P(FusedOps, MaximaSeeNanAndNumbersInEveryPlace) {
  for (size_t n = 1; n <= 40; ++n) {
    for (size_t place = 0; place < n; ++place) {
      std::vector<float> x = Numbers(n, 23);
      const auto count = static_cast<int64_t>(n);
      x[place] = std::nanf("");
      EXPECT_TRUE(std::isnan(ops().reduce(ReduceFn::kMax, x.data(), count)));
      EXPECT_TRUE(std::isnan(ops().reduce(ReduceFn::kMin, x.data(), count)));
      x[place] = 50.0f;
      EXPECT_EQ(ops().reduce(ReduceFn::kMax, x.data(), count), 50.0f);
      x[place] = -50.0f;
      EXPECT_EQ(ops().reduce(ReduceFn::kMin, x.data(), count), -50.0f);
    }
  }
}

TEST_P(FusedOps, ProductsAgreeInEveryOrientation) {
  for (const int64_t m : {1, 2, 5, 9}) {
    for (const int64_t k : {1, 3, 16, 20}) {
      for (const int64_t n : {1, 2, 4, 15, 16, 33, 50}) {
        for (int orientation = 0; orientation < 4; ++orientation) {
          const bool ta = (orientation & 1) != 0;
          const bool tb = (orientation & 2) != 0;
          const std::vector<float> a = Numbers(static_cast<size_t>(m * k), 14);
          const std::vector<float> b = Numbers(static_cast<size_t>(k * n), 15);
          std::vector<float> want(static_cast<size_t>(m * n) + 1, kGuard);
          std::vector<float> got = want;
          MatmulArgs args{a.data(), ta ? 1 : k, ta ? m : 1, b.data(), tb ? 1 : n, tb ? k : 1,
                          nullptr,  m,          k,          n,        0.25f};
          args.c = want.data();
          kReferenceOps.matmul(args);
          args.c = got.data();
          ops().matmul(args);
          for (size_t i = 0; i < got.size(); ++i) ExpectClose(got[i], want[i], 2e-5f, "matmul");
        }
      }
    }
  }
}

TEST_P(FusedOps, PairwiseDotsLandWhereTheyBelong) {
  for (const int32_t rows : {1, 2, 4, 5, 27}) {
    for (const int64_t d : {1, 7, 16, 64}) {
      std::vector<int32_t> pairs;
      for (int32_t i = 0; i < rows; ++i) {
        for (int32_t j = 0; j <= i; ++j) pairs.insert(pairs.end(), {j, i});
      }
      pairs.insert(pairs.end(), {rows - 1, 0, rows - 1, 0});  // twice more
      const std::vector<float> x = Numbers(static_cast<size_t>(rows * d), 16);
      std::vector<const float*> at;
      for (int32_t i = 0; i < rows; ++i) at.push_back(x.data() + i * d);
      const std::vector<PairTile> tiles = MakePairTiles(pairs);
      std::vector<float> got(pairs.size() / 2 + 1, kGuard);
      ops().pairwise({at.data(), d, tiles.data(), static_cast<int64_t>(tiles.size()), got.data()});
      EXPECT_EQ(got.back(), kGuard);
      for (size_t p = 0; p + 1 < pairs.size(); p += 2) {
        double sum = 0.0;
        for (int64_t i = 0; i < d; ++i) {  // at most 64 products of at most 36
          sum += static_cast<double>(at[static_cast<size_t>(pairs[p])][i]) *
                 static_cast<double>(at[static_cast<size_t>(pairs[p + 1])][i]);
        }
        ExpectClose(got[p / 2], static_cast<float>(sum), 1e-4f, "pair");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, FusedOps, ::testing::ValuesIn(AvailableOpKernels()),
                         [](const ::testing::TestParamInfo<OpKernels>& table) {
                           return std::string(table.param.name);
                         });

}  // namespace
}  // namespace gyrfalcon::fused
