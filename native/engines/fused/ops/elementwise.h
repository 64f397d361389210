// Unary, binary and where over a vector policy; see vector.h for the rules of this file.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_ELEMENTWISE_H_
#define GYRFALCON_ENGINES_FUSED_OPS_ELEMENTWISE_H_

#include "engines/fused/ops/ops.h"
#include "engines/fused/ops/vector_math.h"

extern "C" {
float sinf(float x) noexcept;
float cosf(float x) noexcept;
float powf(float x, float y) noexcept;
}

namespace gyrfalcon::fused {
namespace {

// y[i] = f(i-th vector …): whole vectors, then the rest.
template <class V, class F>
[[gnu::always_inline]] inline void MapUnary(const float* x, float* y, int64_t n, F f) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::Store(y + i, f(V::Load(x + i)));
  if (i < n) V::StoreFirst(y + i, f(V::LoadFirst(x + i, n - i)), n - i);
}

template <class V>
struct Column {
  const float* at;
  int64_t n;
  [[gnu::always_inline]] inline typename V::Vec operator()(int64_t i) const {
    return i + V::kWidth <= n ? V::Load(at + i) : V::LoadFirst(at + i, n - i);
  }
};

template <class V, class F>
[[gnu::always_inline]] inline void MapColumns(const float* x, float* y, int64_t n, F f) {
  const Column<V> column{x, n};
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::Store(y + i, f(column(i), i));
  if (i < n) V::StoreFirst(y + i, f(column(i), i), n - i);
}

template <class V>
void Periodic(const float* x, float* y, int64_t n, bool cosine) {
  using M = VectorMath<V>;
  for (int64_t i = 0; i < n; i += V::kWidth) {
    const int64_t count = n - i < V::kWidth ? n - i : V::kWidth;
    float in[V::kWidth] = {};
    float out[V::kWidth];
    // Element by element: a result must not depend on its neighbours.
    const auto near = [](float v) { return v >= -8192.0f && v <= 8192.0f; };
    for (int64_t j = 0; j < count; ++j) in[j] = near(x[i + j]) ? x[i + j] : 0.0f;
    V::Store(out, M::SinQuarter(V::Load(in), cosine ? 1 : 0));
    for (int64_t j = 0; j < count; ++j) {
      const float v = x[i + j];
      y[i + j] = near(v) ? out[j] : (cosine ? ::cosf(v) : ::sinf(v));
    }
  }
}

template <class V>
void Unary(const ResolvedAct& act, const float* x, float* y, int64_t n) {
  using M = VectorMath<V>;
  using Vec = typename V::Vec;
  const Vec zero = V::Set1(0.0f);
  const Vec one = V::Set1(1.0f);
  const Vec alpha = V::Set1(act.alpha);
  const Vec beta = V::Set1(act.beta);
  const float first = act.alpha;
  const float second = act.beta;
  const auto map = [=](auto f) __attribute__((always_inline)) { MapUnary<V>(x, y, n, f); };
#define GYR_MAP(...) \
  return map([=](Vec v) __attribute__((always_inline))->Vec { return __VA_ARGS__; })
  switch (act.fn) {
    case ActFn::kNone:
      GYR_MAP(v);
    case ActFn::kRelu:
      GYR_MAP(V::Select(v < zero, zero, v));
    case ActFn::kSigmoid:
      GYR_MAP(M::Sigmoid(v));
    case ActFn::kTanh:
      GYR_MAP(M::Tanh(v));
    case ActFn::kExp:
      GYR_MAP(M::Exp(v));
    case ActFn::kLog:
      GYR_MAP(M::Log(v));
    case ActFn::kSqrt:
      GYR_MAP(V::Sqrt(v));
    case ActFn::kRsqrt:
      GYR_MAP(one / V::Sqrt(v));
    case ActFn::kNeg:
      GYR_MAP(-v);
    case ActFn::kAbs:
      GYR_MAP(V::Abs(v));
    case ActFn::kReciprocal:
      GYR_MAP(one / v);
    case ActFn::kSquare:
      GYR_MAP(v * v);
    case ActFn::kErf:
      GYR_MAP(M::Erf(v));
    case ActFn::kSign:
      GYR_MAP(V::Select(v > zero, one, V::Select(v < zero, -one, v)));
    case ActFn::kNot:
      GYR_MAP(V::Select(v == zero, one, zero));
    case ActFn::kFloor:
      GYR_MAP(M::Floor(v));
    case ActFn::kCeil:
      GYR_MAP(M::Ceil(v));
    case ActFn::kRound:
      GYR_MAP(M::Round(v));
    case ActFn::kSoftplus:
      GYR_MAP(M::Softplus(v));
    case ActFn::kSoftsign:
      GYR_MAP(V::Select(V::Abs(v) == V::Set1(__builtin_inff()), V::WithSign(one, v),
                        v / (one + V::Abs(v))));
    case ActFn::kSilu:
      GYR_MAP(v / (one + M::Exp(-v)));
    case ActFn::kGelu:
      GYR_MAP(V::Set1(0.5f) * v * (one + M::Erf(v * V::Set1(0.707106781f))));
    case ActFn::kGeluTanh:
      GYR_MAP(
          V::Set1(0.5f) * v *
          (one + M::Tanh(V::Set1(0.797884561f) * v * V::MulAdd(V::Set1(0.044715f), v * v, one))));
    case ActFn::kHardSwish:
      GYR_MAP(v *
              M::AtLeast(M::AtMost(V::MulAdd(v, V::Set1(1.0f / 6.0f), V::Set1(0.5f)), 1.0f), 0.0f));
    case ActFn::kMish:
      // x·tanh(log(1 + e^x)), where tanh(log(u)) is (u² - 1) / (u² + 1).
      return map([=](Vec v) __attribute__((always_inline))->Vec {
        const Vec e = M::Exp(M::AtMost(v, 20.0f));
        const Vec p = e * (e + V::Set1(2.0f));
        return v * (p / (p + V::Set1(2.0f)));
      });
    case ActFn::kCos:
      return Periodic<V>(x, y, n, true);
    case ActFn::kSin:
      return Periodic<V>(x, y, n, false);
    case ActFn::kLeakyRelu:
      GYR_MAP(V::Select(v > zero, v, alpha * v));
    case ActFn::kElu:
      GYR_MAP(V::Select(v > zero, v, alpha * M::Expm1(v)));
    case ActFn::kCelu:
      GYR_MAP(V::Select(v > zero, v, alpha * M::Expm1(v / alpha)));
    case ActFn::kThresholdedRelu:
      GYR_MAP(V::Select(v > alpha, v, V::Select(v <= alpha, zero, v)));
    case ActFn::kHardSigmoid:
      GYR_MAP(M::AtLeast(M::AtMost(V::MulAdd(alpha, v, beta), 1.0f), 0.0f));
    case ActFn::kSelu:
      GYR_MAP(beta * V::Select(v > zero, v, alpha * M::Expm1(v)));
    case ActFn::kClip:
      GYR_MAP(M::AtMost(M::AtLeast(v, first), second));
    case ActFn::kAffine:
      GYR_MAP(V::MulAdd(alpha, v, beta));
    case ActFn::kPrelu: {
      const Column<V> slope{act.slope, n};
      return MapColumns<V>(
          x, y, n, [=](Vec v, int64_t i) __attribute__((always_inline))->Vec {
            return V::Select(v > zero, v, slope(i) * v);
          });
    }
    case ActFn::kDice: {
      const Column<V> slope{act.slope, n};
      const Column<V> scale{act.scale, n};
      const Column<V> shift{act.shift, n};
      return MapColumns<V>(
          x, y, n, [=](Vec v, int64_t i) __attribute__((always_inline))->Vec {
            const Vec p = M::Sigmoid(V::MulAdd(scale(i), v, shift(i)));
            return v * V::MulAdd(slope(i), one - p, p);
          });
    }
  }
#undef GYR_MAP
}

template <class V>
struct Stepped {
  const float* at;
  int64_t step;
  typename V::Vec all;  // step 0
  [[gnu::always_inline]] inline typename V::Vec Whole(int64_t i) const {
    return step == 0 ? all : V::Load(at + i);
  }
  [[gnu::always_inline]] inline typename V::Vec First(int64_t i, int64_t n) const {
    return step == 0 ? all : V::LoadFirst(at + i, n);
  }
};

template <class V>
[[gnu::always_inline]] inline Stepped<V> StepThrough(const float* at, int64_t step, int64_t n) {
  return {at, step, step == 0 && n > 0 ? V::Set1(*at) : V::Set1(0.0f)};
}

template <class V, class F>
[[gnu::always_inline]] inline void MapBinary(const Stepped<V>& a, const Stepped<V>& b, float* y,
                                             int64_t n, F f) {
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) V::Store(y + i, f(a.Whole(i), b.Whole(i)));
  if (i < n) V::StoreFirst(y + i, f(a.First(i, n - i), b.First(i, n - i)), n - i);
}

template <class V>
void Power(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n) {
  if (b_step == 0 && n > 0 && (*b == 2.0f || *b == 1.0f || *b == 3.0f)) {
    const Stepped<V> base = StepThrough<V>(a, a_step, n);
    const float exponent = *b;
    MapBinary<V>(
        base, base, y,
        n, [exponent](typename V::Vec v, typename V::Vec) __attribute__((always_inline)) {
          if (exponent == 1.0f) return v;
          return exponent == 2.0f ? v * v : v * v * v;
        });
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = ::powf(a[i * a_step], b[i * b_step]);
}

template <class V>
void Binary(BinaryFn fn, const float* a_data, int64_t a_step, const float* b_data, int64_t b_step,
            float* y, int64_t n) {
  using Vec = typename V::Vec;
  const Stepped<V> left = StepThrough<V>(a_data, a_step, n);
  const Stepped<V> right = StepThrough<V>(b_data, b_step, n);
  const Vec one = V::Set1(1.0f);
  const Vec zero = V::Set1(0.0f);
  const auto map = [&](auto f) __attribute__((always_inline)) {
    MapBinary<V>(left, right, y, n, f);
  };
#define GYR_MAP(...) \
  return map([=](Vec a, Vec b) __attribute__((always_inline))->Vec { return __VA_ARGS__; })
  switch (fn) {
    case BinaryFn::kAdd:
      GYR_MAP(a + b);
    case BinaryFn::kSub:
      GYR_MAP(a - b);
    case BinaryFn::kMul:
      GYR_MAP(a * b);
    case BinaryFn::kDiv:
      GYR_MAP(a / b);
    case BinaryFn::kMax:  // NaN if either is
      GYR_MAP(V::Max(a, b));
    case BinaryFn::kMin:
      GYR_MAP(V::Min(a, b));
    case BinaryFn::kPow:
      return Power<V>(a_data, a_step, b_data, b_step, y, n);
    case BinaryFn::kEq:
      GYR_MAP(V::Select(a == b, one, zero));
    case BinaryFn::kNe:
      GYR_MAP(V::Select(a != b, one, zero));
    case BinaryFn::kLt:
      GYR_MAP(V::Select(a < b, one, zero));
    case BinaryFn::kLe:
      GYR_MAP(V::Select(a <= b, one, zero));
    case BinaryFn::kGt:
      GYR_MAP(V::Select(a > b, one, zero));
    case BinaryFn::kGe:
      GYR_MAP(V::Select(a >= b, one, zero));
    case BinaryFn::kAnd:
      GYR_MAP(V::Select((a != zero) & (b != zero), one, zero));
    case BinaryFn::kOr:
      GYR_MAP(V::Select((a != zero) | (b != zero), one, zero));
    case BinaryFn::kXor:
      GYR_MAP(V::Select((a != zero) ^ (b != zero), one, zero));
  }
#undef GYR_MAP
}

template <class V>
void Where(const float* c_data, int64_t c_step, const float* a_data, int64_t a_step,
           const float* b_data, int64_t b_step, float* y, int64_t n) {
  const Stepped<V> c = StepThrough<V>(c_data, c_step, n);
  const Stepped<V> a = StepThrough<V>(a_data, a_step, n);
  const Stepped<V> b = StepThrough<V>(b_data, b_step, n);
  const auto zero = V::Set1(0.0f);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) {
    V::Store(y + i, V::Select(c.Whole(i) != zero, a.Whole(i), b.Whole(i)));
  }
  const int64_t rest = n - i;
  if (rest > 0) {
    V::StoreFirst(y + i, V::Select(c.First(i, rest) != zero, a.First(i, rest), b.First(i, rest)),
                  rest);
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_ELEMENTWISE_H_
