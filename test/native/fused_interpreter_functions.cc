// What functions of one and two numbers are worth, in doubles.
#include "fused_interpreter_functions.h"

#include <algorithm>
#include <cmath>

namespace gyrfalcon::fused::testing {
namespace {

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

double ActOf(const Act& act, double x, size_t column, const std::map<int, const RowValue*>& c) {
  const auto constant = [&](int value) {
    const RowValue& v = *c.at(value);
    return v.data[v.data.size() == 1 ? 0 : column];
  };
  const double alpha = static_cast<double>(act.alpha);
  const double beta = static_cast<double>(act.beta);
  switch (act.fn) {
    case ActFn::kNone:
      return x;
    case ActFn::kRelu:
      return x < 0 ? 0 : x;
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
      return 1 / std::sqrt(x);
    case ActFn::kNeg:
      return -x;
    case ActFn::kAbs:
      return std::fabs(x);
    case ActFn::kReciprocal:
      return 1 / x;
    case ActFn::kSquare:
      return x * x;
    case ActFn::kErf:
      return std::erf(x);
    case ActFn::kSign:
      return x > 0 ? 1 : x < 0 ? -1 : x;
    case ActFn::kNot:
      return x == 0 ? 1 : 0;
    case ActFn::kFloor:
      return std::floor(x);
    case ActFn::kCeil:
      return std::ceil(x);
    case ActFn::kRound:
      return std::nearbyint(x);
    case ActFn::kSoftplus:
      return x > 30 ? x : std::log1p(std::exp(x));
    case ActFn::kSoftsign:
      return std::isinf(x) ? std::copysign(1.0, x) : x / (1 + std::fabs(x));
    case ActFn::kSilu:
      return x / (1 + std::exp(-x));
    case ActFn::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case ActFn::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ActFn::kHardSwish:
      return x * (std::isnan(x) ? x : std::clamp(x / 6 + 0.5, 0.0, 1.0));
    case ActFn::kMish:
      return x * std::tanh(x > 30 ? x : std::log1p(std::exp(x)));
    case ActFn::kCos:
      return std::cos(x);
    case ActFn::kSin:
      return std::sin(x);
    case ActFn::kLeakyRelu:
      return x > 0 ? x : alpha * x;
    case ActFn::kElu:
      return x > 0 ? x : alpha * (std::exp(x) - 1);
    case ActFn::kCelu:
      return x > 0 ? x : alpha * (std::exp(x / alpha) - 1);
    case ActFn::kThresholdedRelu:
      return x <= alpha ? 0 : x;
    case ActFn::kHardSigmoid:
      return std::isnan(x) ? x : std::clamp(alpha * x + beta, 0.0, 1.0);
    case ActFn::kSelu:
      return beta * (x > 0 ? x : alpha * (std::exp(x) - 1));
    case ActFn::kClip:
      return std::isnan(x) ? x : std::min(std::max(x, alpha), beta);
    case ActFn::kAffine:
      return alpha * x + beta;
    case ActFn::kPrelu:
      return x > 0 ? x : constant(act.slope) * x;
    case ActFn::kDice: {
      const double p = Sigmoid(constant(act.scale) * x + constant(act.shift));
      return x * (p + constant(act.slope) * (1 - p));
    }
  }
  return x;
}

double BinaryOf(BinaryFn fn, double a, double b) {
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
      return std::isnan(a) || std::isnan(b) ? a + b : std::max(a, b);
    case BinaryFn::kMin:
      return std::isnan(a) || std::isnan(b) ? a + b : std::min(a, b);
    case BinaryFn::kPow:
      return std::pow(a, b);
    case BinaryFn::kEq:
      return a == b;
    case BinaryFn::kNe:
      return a != b;
    case BinaryFn::kLt:
      return a < b;
    case BinaryFn::kLe:
      return a <= b;
    case BinaryFn::kGt:
      return a > b;
    case BinaryFn::kGe:
      return a >= b;
    case BinaryFn::kAnd:
      return a != 0 && b != 0;
    case BinaryFn::kOr:
      return a != 0 || b != 0;
    case BinaryFn::kXor:
      return (a != 0) != (b != 0);
  }
  return a;
}

}  // namespace gyrfalcon::fused::testing
