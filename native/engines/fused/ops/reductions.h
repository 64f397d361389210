// Reductions, softmax and layer normalisation over a vector policy; see vector.h for the rules of
// this file.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_REDUCTIONS_H_
#define GYRFALCON_ENGINES_FUSED_OPS_REDUCTIONS_H_

#include "engines/fused/ops/ops.h"
#include "engines/fused/ops/vector_math.h"

namespace gyrfalcon::fused {
namespace {

// How elements come together: `Add` takes an element in, `Join` two partial results.
template <class V, ReduceFn kFn>
struct Reducer {
  using Vec = typename V::Vec;
  static constexpr bool kIsMax = kFn == ReduceFn::kMax;
  static constexpr bool kPicks = kIsMax || kFn == ReduceFn::kMin;

  GYR_VECTOR Vec Start() {
    if constexpr (kIsMax) return V::Set1(-__builtin_inff());
    if constexpr (kFn == ReduceFn::kMin) return V::Set1(__builtin_inff());
    return V::Set1(kFn == ReduceFn::kProd ? 1.0f : 0.0f);
  }
  GYR_VECTOR Vec Join(Vec a, Vec b) {
    if constexpr (kIsMax) return V::Max(a, b);
    if constexpr (kFn == ReduceFn::kMin) return V::Min(a, b);
    if constexpr (kFn == ReduceFn::kProd) return a * b;
    return a + b;
  }
  GYR_VECTOR Vec Add(Vec sum, Vec x) {
    if constexpr (kFn == ReduceFn::kSumSq || kFn == ReduceFn::kL2) return V::MulAdd(x, x, sum);
    if constexpr (kFn == ReduceFn::kL1) return sum + V::Abs(x);
    return Join(sum, x);
  }
  GYR_VECTOR Vec Finish(Vec sum, int64_t count) {
    if constexpr (kFn == ReduceFn::kMean) return sum / V::Set1(static_cast<float>(count));
    if constexpr (kFn == ReduceFn::kL2) return V::Sqrt(sum);
    return sum;
  }
};

// The lanes of `v` joined, in every lane.
template <class V, ReduceFn kFn, int kStep = V::kWidth / 2>
[[gnu::always_inline]] inline typename V::Vec JoinLanes(typename V::Vec v) {
  v = Reducer<V, kFn>::Join(v, V::template Swap<kStep>(v));
  if constexpr (kStep > 1) {
    return JoinLanes<V, kFn, kStep / 2>(v);
  } else {
    return v;
  }
}

template <class V, ReduceFn kFn>
float ReduceVector(const float* x, int64_t n) {
  using R = Reducer<V, kFn>;
  using Vec = typename V::Vec;
  Vec sum = R::Start();
  Vec other = R::Start();
  int64_t i = 0;
  for (; i + 2 * V::kWidth <= n; i += 2 * V::kWidth) {
    sum = R::Add(sum, V::Load(x + i));
    other = R::Add(other, V::Load(x + i + V::kWidth));
  }
  for (; i + V::kWidth <= n; i += V::kWidth) sum = R::Add(sum, V::Load(x + i));
  // To take in what it starts with changes nothing.
  if (i < n) other = R::Add(other, V::LoadFirstOr(x + i, n - i, R::Start()));
  return R::Finish(JoinLanes<V, kFn>(R::Join(sum, other)), n)[0];
}

template <class V>
[[gnu::always_inline]] inline typename V::Vec LoadUpTo(const float* at, int64_t n) {
  return n >= V::kWidth ? V::Load(at) : V::LoadFirst(at, n);
}

template <class V>
[[gnu::always_inline]] inline void StoreUpTo(float* at, typename V::Vec value, int64_t n) {
  if (n >= V::kWidth) {
    V::Store(at, value);
  } else {
    V::StoreFirst(at, value, n);
  }
}

template <class V, ReduceFn kFn>
void ReduceRowsOf(const float* x, int64_t count, int64_t n, float* y) {
  using R = Reducer<V, kFn>;
  for (int64_t j = 0; j < n; j += V::kWidth) {
    typename V::Vec sum = R::Start();
    for (int64_t i = 0; i < count; ++i) sum = R::Add(sum, LoadUpTo<V>(x + i * n + j, n - j));
    StoreUpTo<V>(y + j, R::Finish(sum, count), n - j);
  }
}

// The largest finite-or-infinite value to subtract: infinity itself would give NaN.
template <class V>
[[gnu::always_inline]] inline typename V::Vec Shift(typename V::Vec largest) {
  return V::Select(V::Abs(largest) == V::Set1(__builtin_inff()), V::Set1(0.0f), largest);
}

// Sum of e^(x - shift).
template <class V>
float SumExp(const float* x, int64_t n, float shift) {
  using M = VectorMath<V>;
  typename V::Vec sum = V::Set1(0.0f);
  const typename V::Vec by = V::Set1(shift);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) sum = sum + M::Exp(V::Load(x + i) - by);
  if (i < n) {
    // Behind the end e^-inf, which is 0.
    sum = sum + M::Exp(V::LoadFirstOr(x + i, n - i, V::Set1(-__builtin_inff())) - by);
  }
  return V::Sum(sum);
}

template <class V>
[[gnu::always_inline]] inline float First(typename V::Vec v) {
  float lanes[V::kWidth];
  V::Store(lanes, v);
  return lanes[0];
}

template <class V>
float LogSumExp(const float* x, int64_t n) {
  const float largest = ReduceVector<V, ReduceFn::kMax>(x, n);
  const float shift = First<V>(Shift<V>(V::Set1(largest)));
  return First<V>(VectorMath<V>::Log(V::Set1(SumExp<V>(x, n, shift)))) + shift;
}

template <class V>
void LogSumExpRows(const float* x, int64_t count, int64_t n, float* y) {
  using M = VectorMath<V>;
  using R = Reducer<V, ReduceFn::kMax>;
  for (int64_t j = 0; j < n; j += V::kWidth) {
    typename V::Vec largest = R::Start();
    for (int64_t i = 0; i < count; ++i) {
      largest = R::Join(largest, LoadUpTo<V>(x + i * n + j, n - j));
    }
    const typename V::Vec by = Shift<V>(largest);
    typename V::Vec sum = V::Set1(0.0f);
    for (int64_t i = 0; i < count; ++i) {
      sum = sum + M::Exp(LoadUpTo<V>(x + i * n + j, n - j) - by);
    }
    StoreUpTo<V>(y + j, M::Log(sum) + by, n - j);
  }
}

template <class V>
float Reduce(ReduceFn fn, const float* x, int64_t n) {
  switch (fn) {
    case ReduceFn::kSum:
      return ReduceVector<V, ReduceFn::kSum>(x, n);
    case ReduceFn::kMean:
      return ReduceVector<V, ReduceFn::kMean>(x, n);
    case ReduceFn::kMax:
      return ReduceVector<V, ReduceFn::kMax>(x, n);
    case ReduceFn::kMin:
      return ReduceVector<V, ReduceFn::kMin>(x, n);
    case ReduceFn::kSumSq:
      return ReduceVector<V, ReduceFn::kSumSq>(x, n);
    case ReduceFn::kL2:
      return ReduceVector<V, ReduceFn::kL2>(x, n);
    case ReduceFn::kL1:
      return ReduceVector<V, ReduceFn::kL1>(x, n);
    case ReduceFn::kProd:
      return ReduceVector<V, ReduceFn::kProd>(x, n);
    case ReduceFn::kLogSumExp:
      break;
  }
  return LogSumExp<V>(x, n);
}

template <class V>
void ReduceRows(ReduceFn fn, const float* x, int64_t count, int64_t n, float* y) {
  switch (fn) {
    case ReduceFn::kSum:
      return ReduceRowsOf<V, ReduceFn::kSum>(x, count, n, y);
    case ReduceFn::kMean:
      return ReduceRowsOf<V, ReduceFn::kMean>(x, count, n, y);
    case ReduceFn::kMax:
      return ReduceRowsOf<V, ReduceFn::kMax>(x, count, n, y);
    case ReduceFn::kMin:
      return ReduceRowsOf<V, ReduceFn::kMin>(x, count, n, y);
    case ReduceFn::kSumSq:
      return ReduceRowsOf<V, ReduceFn::kSumSq>(x, count, n, y);
    case ReduceFn::kL2:
      return ReduceRowsOf<V, ReduceFn::kL2>(x, count, n, y);
    case ReduceFn::kL1:
      return ReduceRowsOf<V, ReduceFn::kL1>(x, count, n, y);
    case ReduceFn::kProd:
      return ReduceRowsOf<V, ReduceFn::kProd>(x, count, n, y);
    case ReduceFn::kLogSumExp:
      break;
  }
  return LogSumExpRows<V>(x, count, n, y);
}

// n fills kVectors vectors, the last one perhaps in part: what is between them stays in registers.
template <class V, int kVectors>
void SoftmaxOf(const float* x, float* y, int64_t n) {
  using M = VectorMath<V>;
  using R = Reducer<V, ReduceFn::kMax>;
  using Vec = typename V::Vec;
  constexpr int64_t kBefore = int64_t{kVectors - 1} * V::kWidth;
  const int64_t rest = n - kBefore;
  Vec e[kVectors];
  for (int v = 0; v < kVectors - 1; ++v) e[v] = V::Load(x + v * V::kWidth);
  // Behind the end -inf, which is below all and whose power is 0.
  e[kVectors - 1] =
      rest == V::kWidth ? V::Load(x + kBefore) : V::LoadFirstOr(x + kBefore, rest, R::Start());
  Vec largest = e[0];
  for (int v = 1; v < kVectors; ++v) largest = R::Join(largest, e[v]);
  largest = JoinLanes<V, ReduceFn::kMax>(largest);
  Vec sum = V::Set1(0.0f);
  for (int v = 0; v < kVectors; ++v) {
    e[v] = M::ExpOrZero(e[v] - largest);
    sum = sum + e[v];
  }
  const Vec scale = V::Set1(1.0f) / JoinLanes<V, ReduceFn::kSum>(sum);
  for (int v = 0; v < kVectors - 1; ++v) V::Store(y + v * V::kWidth, e[v] * scale);
  StoreUpTo<V>(y + kBefore, e[kVectors - 1] * scale, rest);
}

template <class V>
void Softmax(const float* x, float* y, int64_t n, bool log) {
  using M = VectorMath<V>;
  using Vec = typename V::Vec;
  if (!log && n <= 4 * V::kWidth) {
    if (n <= V::kWidth) return SoftmaxOf<V, 1>(x, y, n);
    if (n <= 2 * V::kWidth) return SoftmaxOf<V, 2>(x, y, n);
    return n <= 3 * V::kWidth ? SoftmaxOf<V, 3>(x, y, n) : SoftmaxOf<V, 4>(x, y, n);
  }
  const float largest = ReduceVector<V, ReduceFn::kMax>(x, n);
  const Vec by = V::Set1(largest);
  if (log) {
    const Vec lower = M::Log(V::Set1(SumExp<V>(x, n, largest)));
    for (int64_t i = 0; i < n; i += V::kWidth) {
      StoreUpTo<V>(y + i, (LoadUpTo<V>(x + i, n - i) - by) - lower, n - i);
    }
    return;
  }
  Vec sum = V::Set1(0.0f);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) {
    const Vec e = M::ExpOrZero(V::Load(x + i) - by);
    V::Store(y + i, e);
    sum = sum + e;
  }
  if (i < n) {
    const Vec last = V::LoadFirstOr(x + i, n - i, V::Set1(-__builtin_inff()));
    const Vec e = M::ExpOrZero(last - by);
    V::StoreFirst(y + i, e, n - i);
    sum = sum + e;
  }
  const Vec scale = V::Set1(1.0f / V::Sum(sum));
  for (i = 0; i < n; i += V::kWidth) {
    StoreUpTo<V>(y + i, LoadUpTo<V>(y + i, n - i) * scale, n - i);
  }
}

template <class V>
void SoftmaxRows(const float* x, float* y, int64_t count, int64_t n, bool log) {
  using M = VectorMath<V>;
  using R = Reducer<V, ReduceFn::kMax>;
  using Vec = typename V::Vec;
  for (int64_t j = 0; j < n; j += V::kWidth) {
    const int64_t rest = n - j;
    Vec largest = R::Start();
    for (int64_t i = 0; i < count; ++i)
      largest = R::Join(largest, LoadUpTo<V>(x + i * n + j, rest));
    Vec sum = V::Set1(0.0f);
    for (int64_t i = 0; i < count; ++i) {
      const Vec shifted = LoadUpTo<V>(x + i * n + j, rest) - largest;
      const Vec e = M::ExpOrZero(shifted);
      StoreUpTo<V>(y + i * n + j, log ? shifted : e, rest);
      sum = sum + e;
    }
    const Vec last = log ? M::Log(sum) : V::Set1(1.0f) / sum;
    for (int64_t i = 0; i < count; ++i) {
      const Vec value = LoadUpTo<V>(y + i * n + j, rest);
      StoreUpTo<V>(y + i * n + j, log ? value - last : value * last, rest);
    }
  }
}

template <class V>
void LayerNorm(const float* x, float* y, int64_t n, const float* gamma, const float* beta,
               float eps, bool rms) {
  using Vec = typename V::Vec;
  const float mean = rms ? 0.0f : ReduceVector<V, ReduceFn::kMean>(x, n);
  const Vec middle = V::Set1(mean);
  Vec squares = V::Set1(0.0f);
  int64_t i = 0;
  for (; i + V::kWidth <= n; i += V::kWidth) {
    const Vec d = V::Load(x + i) - middle;
    squares = V::MulAdd(d, d, squares);
  }
  if (i < n) {
    const Vec d = V::LoadFirstOr(x + i, n - i, middle) - middle;
    squares = V::MulAdd(d, d, squares);
  }
  const float variance = V::Sum(squares) / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(variance + eps);
  const Vec by = V::Set1(scale);
  for (i = 0; i < n; i += V::kWidth) {
    const int64_t rest = n - i;
    Vec v = (LoadUpTo<V>(x + i, rest) - middle) * by;
    if (gamma != nullptr) v = v * LoadUpTo<V>(gamma + i, rest);
    if (beta != nullptr) v = v + LoadUpTo<V>(beta + i, rest);
    StoreUpTo<V>(y + i, v, rest);
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_REDUCTIONS_H_
