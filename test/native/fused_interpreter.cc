// What a node of a fused graph is worth, written from docs/fused-format.md: every element from its
// position, in doubles. It shares nothing with the engine or its reference kernels on purpose.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "fused_interpreter_functions.h"
#include "fused_random_graph.h"

namespace gyrfalcon::fused::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kUnit = 2e-6;    // of rounding, for a result around 1
constexpr double kHuge = 1e36;    // sums of more may overflow on the way in f32
constexpr double kAnything = -1;  // a tolerance

// A position in a shape, and what element of a (broadcast) operand belongs to it.
class Position {
 public:
  explicit Position(const Dims& dims) : dims_(dims), at_(dims.size(), 0) {}

  bool Next() {
    for (size_t i = dims_.size(); i-- > 0;) {
      if (++at_[i] < dims_[i]) return true;
      at_[i] = 0;
    }
    return false;
  }
  int64_t& operator[](size_t axis) { return at_[axis]; }
  const Dims& at() const { return at_; }

  static size_t In(const Dims& dims, const Dims& at) {
    int64_t element = 0;
    for (size_t i = 0; i < dims.size(); ++i) {
      const int64_t index = at[at.size() - dims.size() + i];
      element = element * dims[i] + (dims[i] == 1 ? 0 : index);
    }
    return static_cast<size_t>(element);
  }

 private:
  Dims dims_;
  Dims at_;
};

class Interpreter {
 public:
  Interpreter(const Node& node, const std::vector<const RowValue*>& in,
              const std::map<int, const RowValue*>& others, int64_t symbol)
      : node_(node), in_(in), others_(others), symbol_(symbol) {}

  RowValue Run() {
    SetShape();
    Position position(out_.dims);
    do {
      double tolerance = 0;
      out_.data.push_back(Element(position.at(), &tolerance));
      out_.tolerance.push_back(tolerance);
    } while (position.Next());
    return std::move(out_);
  }

 private:
  const RowValue& X(size_t i = 0) const { return *in_[i]; }
  double Of(size_t operand, const Dims& at) const {
    return X(operand).data[Position::In(X(operand).dims, at)];
  }
  int64_t Size(const Extent& extent) const {
    return extent.kind == gyrfalcon::Extent::Kind::kSymbol ? symbol_ : extent.value;
  }
  size_t Axis() const { return static_cast<size_t>(node_.axis); }
  bool Reduces(size_t axis) const {
    return std::find(node_.axes.begin(), node_.axes.end(), static_cast<int>(axis)) !=
           node_.axes.end();
  }

  void SetShape() {
    Dims& dims = out_.dims;
    if (!in_.empty()) dims = X().dims;
    const size_t rank = dims.size();
    switch (node_.op) {
      case Op::kLinear:
        dims.back() = X(1).dims[1];
        return;
      case Op::kMatmul: {
        const Dims& b = X(1).dims;
        const int64_t m = node_.ta ? dims[rank - 1] : dims[rank - 2];
        const int64_t n = node_.tb ? b[b.size() - 2] : b.back();
        Dims lead(dims.begin(), dims.end() - 2);
        dims = Broadcast(lead, Dims(b.begin(), b.end() - 2));
        dims.push_back(m);
        dims.push_back(n);
        return;
      }
      case Op::kPairwiseDot:
        dims = {static_cast<int64_t>(node_.indices.size() / 2)};
        return;
      case Op::kBinary:
      case Op::kWhere:
        for (const RowValue* const x : in_) dims = Broadcast(dims, x->dims);
        return;
      case Op::kReduce: {
        Dims kept;
        for (size_t axis = 0; axis < rank; ++axis) {
          if (!Reduces(axis)) kept.push_back(dims[axis]);
          if (Reduces(axis) && node_.keep) kept.push_back(1);
        }
        dims = kept;
        return;
      }
      case Op::kConcat:
        for (size_t i = 1; i < in_.size(); ++i) dims[Axis()] += X(i).dims[Axis()];
        return;
      case Op::kSlice:
        dims[Axis()] = Size(node_.size);
        return;
      case Op::kGather:
        dims[Axis()] = static_cast<int64_t>(node_.indices.size());
        return;
      case Op::kReshape:
      case Op::kExpand: {
        int64_t known = 1;
        dims.clear();
        for (const Extent& extent : node_.shape) {
          const bool free = extent.kind == gyrfalcon::Extent::Kind::kUnknown;
          dims.push_back(free ? -1 : Size(extent));
          if (!free) known *= dims.back();
        }
        for (int64_t& extent : dims) {
          if (extent < 0) extent = static_cast<int64_t>(X().data.size()) / known;
        }
        return;
      }
      case Op::kTranspose:
        for (size_t i = 0; i < rank; ++i) dims[i] = X().dims[static_cast<size_t>(node_.axes[i])];
        return;
      case Op::kIota:
        dims = {Size(node_.size)};
        return;
      default:
        return;
    }
  }

  static Dims Broadcast(const Dims& a, const Dims& b) {
    Dims dims(std::max(a.size(), b.size()), 1);
    for (const Dims* const from : {&a, &b}) {
      for (size_t i = 0; i < from->size(); ++i) {
        int64_t& extent = dims[dims.size() - from->size() + i];
        extent = std::max(extent, (*from)[i]);
      }
    }
    return dims;
  }

  // act(x) where x is known to within a tolerance that becomes that of the result.
  double Apply(const Act& act, double x, const Dims& at, double* tolerance) const {
    const size_t column = at.empty() ? 0 : static_cast<size_t>(at.back());
    const double y = ActOf(act, x, column, others_);
    if (act.fn == ActFn::kNone || *tolerance < 0) return y;
    const bool swings = act.fn == ActFn::kCos || act.fn == ActFn::kSin;
    double widest = swings ? *tolerance : 0;  // not least at the ends, as with the others

    for (const double side : {x - *tolerance, x + *tolerance}) {
      const double other = ActOf(act, side, column, others_);
      widest = std::max(widest, std::isfinite(other) && std::isfinite(y) ? std::fabs(other - y)
                                : other == y || (std::isnan(other) && std::isnan(y)) ? 0
                                                                                     : kInf);
    }
    *tolerance = std::isinf(widest) || std::fabs(x) > kHuge ? kAnything
                                                            : widest + kUnit * (1 + std::fabs(y));
    return y;
  }

  // Terms of a sum, as f32 adds them in any order.
  struct Sum {
    double value = 0;
    double magnitude = 0;
    void Add(double term) {
      value += term;
      magnitude += std::fabs(term);
    }
    double Tolerance() const {
      if (!std::isfinite(value)) return std::isfinite(magnitude) ? kAnything : 0;
      return magnitude > kHuge ? kAnything : kUnit * (1 + magnitude);
    }
  };

  double Element(const Dims& at, double* tolerance);
  double Linear(const Dims& at, double* tolerance);
  double Reduce(const Dims& at, double* tolerance);
  double Softmax(const Dims& at, double* tolerance);
  double LayerNorm(const Dims& at, double* tolerance);

  const Node& node_;
  const std::vector<const RowValue*>& in_;
  const std::map<int, const RowValue*>& others_;
  int64_t symbol_;
  RowValue out_;
};

double Interpreter::Linear(const Dims& at, double* tolerance) {
  Sum sum;
  Dims from = at;
  const int64_t n = X(1).dims[1];
  for (int64_t k = 0; k < X(1).dims[0]; ++k) {
    from.back() = k;
    sum.Add(Of(0, from) * X(1).data[static_cast<size_t>(k * n + at.back())]);
  }
  if (node_.bias >= 0) sum.Add(others_.at(node_.bias)->data[static_cast<size_t>(at.back())]);
  *tolerance = sum.Tolerance();
  double y = Apply(node_.act, sum.value, at, tolerance);
  if (node_.mul >= 0) {
    const RowValue& mul = *others_.at(node_.mul);
    const double by = mul.data[Position::In(mul.dims, at)];
    y *= by;
    if (*tolerance >= 0) *tolerance = *tolerance * std::fabs(by) + kUnit * std::fabs(y);
  }
  if (node_.add >= 0) {
    const RowValue& add = *others_.at(node_.add);
    const double by = add.data[Position::In(add.dims, at)];
    y += by;
    if (*tolerance >= 0) *tolerance += kUnit * (std::fabs(y) + std::fabs(by));
  }
  if (!std::isfinite(*tolerance)) *tolerance = kAnything;
  return Apply(node_.post, y, at, tolerance);
}

double Interpreter::Reduce(const Dims& at, double* tolerance) {
  Position position(X().dims);
  std::vector<double> terms;
  do {
    bool mine = true;
    size_t next = 0;
    for (size_t axis = 0; axis < X().dims.size(); ++axis) {
      if (!Reduces(axis)) mine = mine && position[axis] == at[next++];
      if (Reduces(axis) && node_.keep) ++next;
    }
    if (mine) terms.push_back(X().data[Position::In(X().dims, position.at())]);
  } while (position.Next());
  Sum sum;
  Sum squares;
  double largest = terms[0];
  double smallest = terms[0];
  double product = 1;
  double growth = 1;
  for (const double x : terms) {
    sum.Add(x);
    squares.Add(x * x);
    largest = std::isnan(x) || x > largest ? x : largest;
    smallest = std::isnan(x) || x < smallest ? x : smallest;
    product *= x;
    growth *= std::max(1.0, std::fabs(x));
  }
  const auto count = static_cast<double>(terms.size());
  *tolerance = sum.Tolerance();
  switch (node_.reduce) {
    case ReduceFn::kSum:
      return sum.value;
    case ReduceFn::kMean:
      return sum.value / count;
    case ReduceFn::kMax:
      *tolerance = 0;
      return largest;
    case ReduceFn::kMin:
      *tolerance = 0;
      return smallest;
    case ReduceFn::kSumSq:
      *tolerance = squares.Tolerance();
      return squares.value;
    case ReduceFn::kL2:
      // Squares below the smallest f32 are lost.
      *tolerance = squares.magnitude > kHuge ? kAnything : 1e-5 * (1 + std::sqrt(squares.value));
      return std::sqrt(squares.value);
    case ReduceFn::kL1:
      return sum.magnitude;
    case ReduceFn::kProd:
      *tolerance = growth > kHuge || std::isnan(growth) ? kAnything : kUnit * (1 + growth);
      return product;
    case ReduceFn::kLogSumExp:
      break;
  }
  const double shift = std::isinf(largest) ? 0 : largest;
  double total = 0;
  for (const double x : terms) total += std::exp(x - shift);
  *tolerance = std::isfinite(largest) ? kUnit * (1 + std::fabs(largest)) : 0;
  return std::log(total) + shift;
}

double Interpreter::Softmax(const Dims& at, double* tolerance) {
  Dims from = at;
  double largest = -kInf;
  double spread = 0;
  for (from[Axis()] = 0; from[Axis()] < X().dims[Axis()]; ++from[Axis()]) {
    const double x = Of(0, from);
    largest = std::isnan(x) || x > largest ? x : largest;
    if (std::isnan(largest)) break;
  }
  double total = 0;
  for (from[Axis()] = 0; from[Axis()] < X().dims[Axis()]; ++from[Axis()]) {
    const double x = Of(0, from);
    total += std::exp(x - largest);
    spread = std::max(spread, std::fabs(x - largest));
  }
  const double shifted = Of(0, at) - largest;
  if (node_.log) {
    *tolerance = std::fabs(shifted) > kHuge ? kAnything : kUnit * (1 + std::fabs(shifted));
    if (std::isinf(shifted)) *tolerance = 0;
    return shifted - std::log(total);
  }
  *tolerance = 5 * kUnit;
  return std::exp(shifted) / total;
}

double Interpreter::LayerNorm(const Dims& at, double* tolerance) {
  const size_t lead = X().dims.size() - static_cast<size_t>(node_.axes[0]);
  Position position(X().dims);
  std::vector<double> terms;
  do {
    bool mine = true;
    for (size_t axis = 0; axis < lead; ++axis) mine = mine && position[axis] == at[axis];
    if (mine) terms.push_back(X().data[Position::In(X().dims, position.at())]);
  } while (position.Next());
  double mean = 0;
  double largest = 0;
  for (const double x : terms) {
    mean += x / static_cast<double>(terms.size());
    largest = std::max(largest, std::fabs(x));
  }
  if (node_.rms) mean = 0;
  double variance = 0;
  for (const double x : terms)
    variance += (x - mean) * (x - mean) / static_cast<double>(terms.size());
  const double scale = 1 / std::sqrt(variance + static_cast<double>(node_.eps));
  double y = (Of(0, at) - mean) * scale;
  *tolerance = std::isfinite(y) ? 2 * kUnit * (1 + largest * scale) * (1 + std::fabs(y)) : 0;
  if (largest > 1e17) *tolerance = kAnything;  // squares overflow
  const Dims trailing(at.begin() + static_cast<std::ptrdiff_t>(lead), at.end());
  if (node_.gamma >= 0) {
    const RowValue& gamma = *others_.at(node_.gamma);
    const double by = gamma.data[Position::In(gamma.dims, trailing)];
    y *= by;
    if (*tolerance > 0) *tolerance *= 1 + std::fabs(by);
  }
  if (node_.beta >= 0) {
    const RowValue& beta = *others_.at(node_.beta);
    y += beta.data[Position::In(beta.dims, trailing)];
  }
  return y;
}

double Interpreter::Element(const Dims& at, double* tolerance) {
  Dims from = at;
  switch (node_.op) {
    case Op::kLinear:
      return Linear(at, tolerance);
    case Op::kMatmul: {
      const size_t rank = at.size();
      Sum sum;
      Dims a = at;
      Dims b = at;
      const Dims& shape = X().dims;
      const int64_t count = node_.ta ? shape[shape.size() - 2] : shape.back();
      for (int64_t k = 0; k < count; ++k) {
        a[rank - 2] = node_.ta ? k : at[rank - 2];
        a[rank - 1] = node_.ta ? at[rank - 2] : k;
        b[rank - 2] = node_.tb ? at[rank - 1] : k;
        b[rank - 1] = node_.tb ? k : at[rank - 1];
        sum.Add(Of(0, a) * Of(1, b));
      }
      *tolerance = sum.Tolerance();
      return sum.value * static_cast<double>(node_.scale);
    }
    case Op::kPairwiseDot: {
      const auto width = static_cast<size_t>(X().dims[1]);
      const auto row = [&](int32_t number) {
        size_t operand = 0;
        int64_t rest = number;
        while (rest >= X(operand).dims[0]) rest -= X(operand++).dims[0];
        return X(operand).data.begin() + rest * static_cast<int64_t>(width);
      };
      const auto pair = static_cast<size_t>(2 * at[0]);
      const auto left = row(node_.indices[pair]);
      const auto right = row(node_.indices[pair + 1]);
      Sum sum;
      for (size_t k = 0; k < width; ++k)
        sum.Add(left[static_cast<int64_t>(k)] * right[static_cast<int64_t>(k)]);
      *tolerance = sum.Tolerance();
      return sum.value;
    }
    case Op::kUnary:
      return Apply(node_.act, Of(0, at), at, tolerance);
    case Op::kBinary: {
      const double a = Of(0, at);
      const double b = Of(1, at);
      const double y = BinaryOf(node_.binary, a, b);
      *tolerance = std::isfinite(y) ? kUnit * std::fabs(y) : 0;
      if (std::fabs(y) > 1e30 && node_.binary == BinaryFn::kPow) *tolerance = kAnything;
      return Apply(node_.act, y, at, tolerance);
    }
    case Op::kWhere:
      return Of(0, at) != 0 ? Of(1, at) : Of(2, at);
    case Op::kReduce:
      return Reduce(at, tolerance);
    case Op::kSoftmax:
      return Softmax(at, tolerance);
    case Op::kLayerNorm:
      return LayerNorm(at, tolerance);
    case Op::kConcat: {
      size_t operand = 0;
      while (from[Axis()] >= X(operand).dims[Axis()]) from[Axis()] -= X(operand++).dims[Axis()];
      return Of(operand, from);
    }
    case Op::kSlice: {
      const int64_t extent = X().dims[Axis()];
      from[Axis()] =
          (node_.start < 0 ? node_.start + extent : node_.start) + at[Axis()] * node_.step;
      return Of(0, from);
    }
    case Op::kGather:
      from[Axis()] = node_.indices[static_cast<size_t>(at[Axis()])];
      return Of(0, from);
    case Op::kReshape:
      return X().data[Position::In(out_.dims, at)];
    case Op::kTranspose:
      for (size_t i = 0; i < at.size(); ++i) from[static_cast<size_t>(node_.axes[i])] = at[i];
      return Of(0, from);
    case Op::kExpand:
      return Of(0, at);
    case Op::kIota:
      return static_cast<double>(at[0]);
  }
  return 0;
}

}  // namespace

RowValue Interpret(const Node& node, const std::vector<const RowValue*>& operands,
                   const std::map<int, const RowValue*>& others, int64_t symbol) {
  return Interpreter(node, operands, others, symbol).Run();
}

}  // namespace gyrfalcon::fused::testing
