// The specification of ops.h: plain loops over doubles. Every other table is tested against it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engines/fused/ops/ops.h"

namespace gyrfalcon::fused {
namespace {

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double Clamp01(double x) { return x < 0.0 ? 0.0 : (x > 1.0 ? 1.0 : x); }

double UnaryOf(const ResolvedAct& act, int64_t i, double x) {
  const double alpha = static_cast<double>(act.alpha);
  const double beta = static_cast<double>(act.beta);
  const auto column = [i](const float* at) { return static_cast<double>(at[i]); };
  switch (act.fn) {
    case ActFn::kNone:
      return x;
    case ActFn::kRelu:
      return x < 0.0 ? 0.0 : x;
    case ActFn::kSigmoid:
      return Sigmoid(x);
    case ActFn::kTanh:
      return std::tanh(x);
    case ActFn::kExp:
      return std::exp(x);
    case ActFn::kLog:
      return std::log(x);
    case ActFn::kSqrt:
      return std::sqrt(x);
    case ActFn::kRsqrt:
      return 1.0 / std::sqrt(x);
    case ActFn::kNeg:
      return -x;
    case ActFn::kAbs:
      return std::fabs(x);
    case ActFn::kReciprocal:
      return 1.0 / x;
    case ActFn::kSquare:
      return x * x;
    case ActFn::kErf:
      return std::erf(x);
    case ActFn::kSign:
      return x > 0.0 ? 1.0 : (x < 0.0 ? -1.0 : x);
    case ActFn::kNot:
      return x == 0.0 ? 1.0 : 0.0;
    case ActFn::kFloor:
      return std::floor(x);
    case ActFn::kCeil:
      return std::ceil(x);
    case ActFn::kRound:
      return std::nearbyint(x);
    case ActFn::kSoftplus:
      return (x < 0.0 ? 0.0 : x) + std::log1p(std::exp(-std::fabs(x)));
    case ActFn::kSoftsign:
      return std::isinf(x) ? std::copysign(1.0, x) : x / (1.0 + std::fabs(x));
    case ActFn::kSilu:
      return x / (1.0 + std::exp(-x));
    case ActFn::kGelu:
      return 0.5 * x * (1.0 + std::erf(x * std::sqrt(0.5)));
    case ActFn::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ActFn::kHardSwish:
      return x * Clamp01(x / 6.0 + 0.5);
    case ActFn::kMish:
      return x * std::tanh(x > 20.0 ? x : std::log1p(std::exp(x)));
    case ActFn::kCos:
      return std::cos(x);
    case ActFn::kSin:
      return std::sin(x);
    case ActFn::kLeakyRelu:
      return x > 0.0 ? x : alpha * x;
    case ActFn::kElu:
      return x > 0.0 ? x : alpha * std::expm1(x);
    case ActFn::kCelu:
      return x > 0.0 ? x : alpha * std::expm1(x / alpha);
    case ActFn::kThresholdedRelu:
      return x <= alpha ? 0.0 : x;
    case ActFn::kHardSigmoid:
      return Clamp01(alpha * x + beta);
    case ActFn::kSelu:
      return beta * (x > 0.0 ? x : alpha * std::expm1(x));
    case ActFn::kClip: {
      const double low = x < alpha ? alpha : x;
      return low > beta ? beta : low;
    }
    case ActFn::kAffine:
      return alpha * x + beta;
    case ActFn::kPrelu:
      return x > 0.0 ? x : column(act.slope) * x;
    case ActFn::kDice: {
      const double p = Sigmoid(column(act.scale) * x + column(act.shift));
      return x * (p + column(act.slope) * (1.0 - p));
    }
  }
  return x;
}

void Unary(const ResolvedAct& act, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(UnaryOf(act, i, static_cast<double>(x[i])));
  }
}

float BinaryOf(BinaryFn fn, float a, float b) {
  switch (fn) {
    case BinaryFn::kAdd:
      return a + b;
    case BinaryFn::kSub:
      return a - b;
    case BinaryFn::kMul:
      return a * b;
    case BinaryFn::kDiv:
      return a / b;
    case BinaryFn::kMax:
      return a > b || std::isnan(a) ? a : b;
    case BinaryFn::kMin:
      return a < b || std::isnan(a) ? a : b;
    case BinaryFn::kPow:
      return std::pow(a, b);
    case BinaryFn::kEq:
      return a == b ? 1.0f : 0.0f;
    case BinaryFn::kNe:
      return a != b ? 1.0f : 0.0f;
    case BinaryFn::kLt:
      return a < b ? 1.0f : 0.0f;
    case BinaryFn::kLe:
      return a <= b ? 1.0f : 0.0f;
    case BinaryFn::kGt:
      return a > b ? 1.0f : 0.0f;
    case BinaryFn::kGe:
      return a >= b ? 1.0f : 0.0f;
    case BinaryFn::kAnd:
      return a != 0.0f && b != 0.0f ? 1.0f : 0.0f;
    case BinaryFn::kOr:
      return a != 0.0f || b != 0.0f ? 1.0f : 0.0f;
    case BinaryFn::kXor:
      return (a != 0.0f) != (b != 0.0f) ? 1.0f : 0.0f;
  }
  return a;
}

void Binary(BinaryFn fn, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y,
            int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = BinaryOf(fn, a[i * a_step], b[i * b_step]);
}

void Where(const float* c, int64_t c_step, const float* a, int64_t a_step, const float* b,
           int64_t b_step, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = c[i * c_step] != 0.0f ? a[i * a_step] : b[i * b_step];
}

double ReduceStrided(ReduceFn fn, const float* x, int64_t count, int64_t stride) {
  const bool picks = fn == ReduceFn::kMax || fn == ReduceFn::kMin || fn == ReduceFn::kLogSumExp;
  double sum = fn == ReduceFn::kProd ? 1.0 : 0.0;
  if (picks) sum = static_cast<double>(x[0]);
  for (int64_t i = 0; i < count; ++i) {
    const double v = static_cast<double>(x[i * stride]);
    switch (fn) {
      case ReduceFn::kSum:
      case ReduceFn::kMean:
        sum += v;
        break;
      case ReduceFn::kSumSq:
      case ReduceFn::kL2:
        sum += v * v;
        break;
      case ReduceFn::kL1:
        sum += std::fabs(v);
        break;
      case ReduceFn::kProd:
        sum *= v;
        break;
      case ReduceFn::kMin:
        if (v < sum || std::isnan(v)) sum = v;
        break;
      case ReduceFn::kMax:
      case ReduceFn::kLogSumExp:
        if (v > sum || std::isnan(v)) sum = v;
        break;
    }
  }
  if (fn == ReduceFn::kMean) return sum / static_cast<double>(count);
  if (fn == ReduceFn::kL2) return std::sqrt(sum);
  if (fn != ReduceFn::kLogSumExp) return sum;
  const double shift = std::isinf(sum) ? 0.0 : sum;
  double total = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    total += std::exp(static_cast<double>(x[i * stride]) - shift);
  }
  return std::log(total) + shift;
}

float Reduce(ReduceFn fn, const float* x, int64_t n) {
  return static_cast<float>(ReduceStrided(fn, x, n, 1));
}

void ReduceRows(ReduceFn fn, const float* x, int64_t count, int64_t n, float* y) {
  for (int64_t j = 0; j < n; ++j) y[j] = static_cast<float>(ReduceStrided(fn, x + j, count, n));
}

void SoftmaxStrided(const float* x, float* y, int64_t count, int64_t stride, bool log) {
  const double largest = ReduceStrided(ReduceFn::kMax, x, count, stride);
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    sum += std::exp(static_cast<double>(x[i * stride]) - largest);
  }
  for (int64_t i = 0; i < count; ++i) {
    const double shifted = static_cast<double>(x[i * stride]) - largest;
    y[i * stride] = static_cast<float>(log ? shifted - std::log(sum) : std::exp(shifted) / sum);
  }
}

void Softmax(const float* x, float* y, int64_t n, bool log) { SoftmaxStrided(x, y, n, 1, log); }

void SoftmaxRows(const float* x, float* y, int64_t count, int64_t n, bool log) {
  for (int64_t j = 0; j < n; ++j) SoftmaxStrided(x + j, y + j, count, n, log);
}

void LayerNorm(const float* x, float* y, int64_t n, const float* gamma, const float* beta,
               float eps, bool rms) {
  const double mean = rms ? 0.0 : ReduceStrided(ReduceFn::kMean, x, n, 1);
  double variance = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    variance += d * d;
  }
  const double scale =
      1.0 / std::sqrt(variance / static_cast<double>(n) + static_cast<double>(eps));
  for (int64_t i = 0; i < n; ++i) {
    double v = (static_cast<double>(x[i]) - mean) * scale;
    if (gamma != nullptr) v *= static_cast<double>(gamma[i]);
    if (beta != nullptr) v += static_cast<double>(beta[i]);
    y[i] = static_cast<float>(v);
  }
}

void Matmul(const MatmulArgs& args) {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < args.k; ++k) {
        sum += static_cast<double>(args.a[i * args.a_row + k * args.a_k]) *
               static_cast<double>(args.b[k * args.b_k + j * args.b_column]);
      }
      args.c[i * args.n + j] = static_cast<float>(sum * static_cast<double>(args.scale));
    }
  }
}

void Pairwise(const PairwiseArgs& args) {
  for (int64_t t = 0; t < args.num_tiles; ++t) {
    const PairTile& tile = args.tiles[t];
    for (int i = 0; i < 16; ++i) {
      if (tile.place[i] < 0) continue;
      const float* const left = args.rows[tile.left[i / 4]];
      const float* const right = args.rows[tile.right[i % 4]];
      double sum = 0.0;
      for (int64_t k = 0; k < args.d; ++k) {
        sum += static_cast<double>(left[k]) * static_cast<double>(right[k]);
      }
      args.y[tile.place[i]] = static_cast<float>(sum);
    }
  }
}

}  // namespace

const OpKernels kReferenceOps{"reference", Unary,       Binary,    Where,  Reduce,  ReduceRows,
                              Softmax,     SoftmaxRows, LayerNorm, Matmul, Pairwise};

}  // namespace gyrfalcon::fused
