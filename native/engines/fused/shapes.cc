#include "engines/fused/shapes.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "core/limits.h"

namespace gyrfalcon::fused {
namespace {

using Dims = std::vector<int64_t>;

constexpr size_t kMaxInnerRank = limits::kMaxRank - 1;

std::string Text(const Dims& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
  }
  return text + "]";
}

class Inference {
 public:
  Inference(const Graph& graph, const std::vector<int64_t>& symbols)
      : graph_(graph), symbols_(symbols) {}

  Result<std::vector<ValueShape>> Run() {
    values_.reserve(graph_.inputs.size() + graph_.constants.size() + graph_.nodes.size());
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      const GraphInput& input = graph_.inputs[i];
      at_ = "inputs[" + std::to_string(i) + "].shape";
      GYR_RETURN_IF_ERROR(Add(Resolve(input.shape), input.batched));
    }
    for (const GraphConstant& constant : graph_.constants) {
      GYR_RETURN_IF_ERROR(Add(constant.shape, false));
    }
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      at_ = "nodes[" + std::to_string(i) + "]";
      GYR_RETURN_IF_ERROR(InferNode(graph_.nodes[i]));
    }
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      at_ = "outputs[" + std::to_string(i) + "]";
      GYR_RETURN_IF_ERROR(CheckOutput(graph_.outputs[i]));
    }
    return std::move(values_);
  }

 private:
  int64_t Resolve(const Extent& extent) const {
    return extent.kind == Extent::Kind::kSymbol ? symbols_[static_cast<size_t>(extent.symbol)]
                                                : extent.value;
  }
  Dims Resolve(const Shape& shape) const {
    Dims dims;
    for (const Extent& extent : shape) dims.push_back(Resolve(extent));
    return dims;
  }

  const ValueShape& Value(int number) const { return values_[static_cast<size_t>(number)]; }
  const Dims& DimsOf(int number) const { return Value(number).dims; }

  Status Invalid(const std::string& expected, const std::string& received) const {
    return {ErrorCode::kBundleInvalid,
            "expected " + expected + " for " + at_ + " but received " + received};
  }

  Status Add(Dims dims, bool batched) {
    ValueShape shape;
    shape.batched = batched;
    if (dims.size() > kMaxInnerRank) {
      return Status(ErrorCode::kLimitExceeded, "expected at most 7 dimensions for " + at_ +
                                                   " but received " + std::to_string(dims.size()));
    }
    for (const int64_t extent : dims) {
      if (__builtin_mul_overflow(shape.elements, extent, &shape.elements) ||
          shape.elements > limits::kMaxElementsPerRow) {
        return Status(ErrorCode::kLimitExceeded, "expected at most 2^28 elements for " + at_ +
                                                     " but received shape " + Text(dims));
      }
    }
    shape.dims = std::move(dims);
    values_.push_back(std::move(shape));
    return Status::Ok();
  }

  Status Broadcast(const Dims& a, const Dims& b, Dims* out) const {
    const size_t rank = std::max(a.size(), b.size());
    out->assign(rank, 1);
    for (size_t i = 0; i < rank; ++i) {
      const int64_t from_a = i < a.size() ? a[a.size() - 1 - i] : 1;
      const int64_t from_b = i < b.size() ? b[b.size() - 1 - i] : 1;
      if (from_a != from_b && from_a != 1 && from_b != 1) {
        return Invalid("shapes that broadcast", Text(a) + " and " + Text(b));
      }
      (*out)[rank - 1 - i] = from_a == 1 ? from_b : from_a;
    }
    return Status::Ok();
  }

  Status CheckColumns(int constant, int64_t columns, bool or_one) const {
    if (constant < 0) return Status::Ok();
    const int64_t extent = Value(constant).elements;
    if (extent == columns || (or_one && extent == 1)) return Status::Ok();
    return Invalid("constants of the last axis' " + std::to_string(columns) + " elements",
                   std::to_string(extent));
  }

  // The constants of an act against the last axis of what it is applied to.
  Status CheckAct(const Act& act, const Dims& dims) const {
    const int64_t columns = dims.empty() ? 1 : dims.back();
    GYR_RETURN_IF_ERROR(CheckColumns(act.slope, columns, act.fn == ActFn::kPrelu));
    GYR_RETURN_IF_ERROR(CheckColumns(act.scale, columns, false));
    return CheckColumns(act.shift, columns, false);
  }

  Status CheckAxis(size_t axis, const Dims& dims) const {
    if (axis < dims.size()) return Status::Ok();
    return Invalid("an axis of shape " + Text(dims), std::to_string(axis));
  }

  Status Linear(const Node& node);
  Status Matmul(const Node& node);
  Status Pairwise(const Node& node);
  Status Reduce(const Node& node);
  Status LayerNorm(const Node& node);
  Status Concat(const Node& node);
  Status Slice(const Node& node);
  Status Gather(const Node& node);
  Status Reshape(const Node& node);
  Status Transpose(const Node& node);
  Status Expand(const Node& node);
  Status Elementwise(const Node& node);
  Status InferNode(const Node& node);
  Status CheckOutput(const GraphOutput& output) const;

  const Graph& graph_;
  const std::vector<int64_t>& symbols_;
  std::vector<ValueShape> values_;
  std::string at_ = "constants";
  bool batched_ = false;  // an operand of the node is
};

Status Inference::Linear(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const Dims& weights = DimsOf(node.in[1]);
  if (dims.empty() || dims.back() != weights[0]) {
    return Invalid("an operand whose last extent is " + std::to_string(weights[0]), Text(dims));
  }
  dims.back() = weights[1];
  GYR_RETURN_IF_ERROR(CheckColumns(node.bias, weights[1], false));
  GYR_RETURN_IF_ERROR(CheckAct(node.act, dims));
  GYR_RETURN_IF_ERROR(CheckAct(node.post, dims));
  for (const int other : {node.mul, node.add}) {
    if (other < 0) continue;
    Dims column = dims;
    column.back() = 1;
    const Dims& given = DimsOf(other);
    if (given != dims && given != column) {
      return Invalid("mul and add of shape " + Text(dims) + " or " + Text(column), Text(given));
    }
    batched_ = batched_ || Value(other).batched;
  }
  return Add(std::move(dims), batched_);
}

Status Inference::Matmul(const Node& node) {
  Dims a = DimsOf(node.in[0]);
  Dims b = DimsOf(node.in[1]);
  if (a.size() < 2 || b.size() < 2)
    return Invalid("operands of rank 2 and more", Text(a) + " and " + Text(b));
  const size_t ar = a.size();
  const size_t br = b.size();
  if (node.ta) std::swap(a[ar - 1], a[ar - 2]);
  if (node.tb) std::swap(b[br - 1], b[br - 2]);
  if (a[ar - 1] != b[br - 2])
    return Invalid("matrices that can be multiplied", Text(a) + " and " + Text(b));
  const int64_t m = a[ar - 2];
  const int64_t n = b[br - 1];
  a.resize(ar - 2);
  b.resize(br - 2);
  Dims dims;
  GYR_RETURN_IF_ERROR(Broadcast(a, b, &dims));
  dims.push_back(m);
  dims.push_back(n);
  return Add(std::move(dims), batched_);
}

Status Inference::Pairwise(const Node& node) {
  int64_t rows = 0;
  const Dims& first = DimsOf(node.in[0]);
  for (const int in : node.in) {
    const Dims& dims = DimsOf(in);
    if (dims.size() != 2 || dims[1] != first.back()) {
      return Invalid("matrices of one width", Text(dims));
    }
    rows += dims[0];  // at most 2^16 operands of 2^28
  }
  for (const int32_t row : node.indices) {
    if (row >= rows)
      return Invalid("pairs of " + std::to_string(rows) + " rows", std::to_string(row));
  }
  return Add({static_cast<int64_t>(node.indices.size() / 2)}, batched_);
}

Status Inference::Reduce(const Node& node) {
  const Dims& x = DimsOf(node.in[0]);
  Dims dims;
  size_t next = 0;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    const bool reduced = next < node.axes.size() && static_cast<size_t>(node.axes[next]) == axis;
    if (!reduced) {
      dims.push_back(x[axis]);
    } else {
      ++next;
      if (node.keep) dims.push_back(1);
    }
  }
  if (next != node.axes.size()) {
    return CheckAxis(static_cast<size_t>(node.axes[next]), x);
  }
  return Add(std::move(dims), batched_);
}

Status Inference::LayerNorm(const Node& node) {
  const Dims& x = DimsOf(node.in[0]);
  const auto axes = static_cast<size_t>(node.axes[0]);
  if (axes > x.size())
    return Invalid("at most " + std::to_string(x.size()) + " axes", std::to_string(axes));
  const Dims trailing(x.end() - static_cast<std::ptrdiff_t>(axes), x.end());
  for (const int constant : {node.gamma, node.beta}) {
    if (constant >= 0 && DimsOf(constant) != trailing) {
      return Invalid("gamma and beta of shape " + Text(trailing), Text(DimsOf(constant)));
    }
  }
  return Add(x, batched_);
}

Status Inference::Concat(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const auto axis = static_cast<size_t>(node.axis);
  GYR_RETURN_IF_ERROR(CheckAxis(axis, dims));
  for (size_t i = 1; i < node.in.size(); ++i) {
    Dims other = DimsOf(node.in[i]);
    if (other.size() != dims.size()) return Invalid("operands of one rank", Text(other));
    const int64_t extent = std::exchange(other[axis], dims[axis]);
    if (other != dims)
      return Invalid("operands of one shape but for the axis", Text(DimsOf(node.in[i])));
    dims[axis] += extent;
  }
  return Add(std::move(dims), batched_);
}

Status Inference::Slice(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const auto axis = static_cast<size_t>(node.axis);
  GYR_RETURN_IF_ERROR(CheckAxis(axis, dims));
  const int64_t extent = dims[axis];
  const int64_t size = Resolve(node.size);
  const int64_t first = SliceStart(node, extent);
  int64_t last = 0;
  if (__builtin_mul_overflow(node.step, size - 1, &last) ||
      __builtin_add_overflow(last, first, &last) || first < 0 || first >= extent || last < 0 ||
      last >= extent) {
    return Invalid("a slice inside of extent " + std::to_string(extent),
                   std::to_string(size) + " elements from " + std::to_string(node.start) +
                       " with step " + std::to_string(node.step));
  }
  dims[axis] = size;
  return Add(std::move(dims), batched_);
}

Status Inference::Gather(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const auto axis = static_cast<size_t>(node.axis);
  GYR_RETURN_IF_ERROR(CheckAxis(axis, dims));
  for (const int32_t index : node.indices) {
    if (index >= dims[axis]) {
      return Invalid("indices below " + std::to_string(dims[axis]), std::to_string(index));
    }
  }
  dims[axis] = static_cast<int64_t>(node.indices.size());
  return Add(std::move(dims), batched_);
}

Status Inference::Reshape(const Node& node) {
  const ValueShape& x = Value(node.in[0]);
  Dims dims;
  int64_t known = 1;
  size_t free = node.shape.size();
  for (size_t i = 0; i < node.shape.size(); ++i) {
    if (node.shape[i].kind == Extent::Kind::kUnknown) {
      free = i;
      dims.push_back(1);
      continue;
    }
    dims.push_back(Resolve(node.shape[i]));
    if (__builtin_mul_overflow(known, dims.back(), &known)) known = 0;
    if (known == 0 || known > limits::kMaxElementsPerRow) break;
  }
  const bool fits = known > 0 && known <= x.elements && x.elements % known == 0;
  if (!fits || dims.size() != node.shape.size() ||
      (free == node.shape.size() && known != x.elements)) {
    return Invalid("a shape of " + std::to_string(x.elements) + " elements", Text(dims));
  }
  if (free < dims.size()) dims[free] = x.elements / known;
  return Add(std::move(dims), batched_);
}

Status Inference::Transpose(const Node& node) {
  const Dims& x = DimsOf(node.in[0]);
  if (node.axes.size() != x.size()) {
    return Invalid("a permutation of " + std::to_string(x.size()) + " axes",
                   std::to_string(node.axes.size()));
  }
  Dims dims;
  for (const int axis : node.axes) {
    GYR_RETURN_IF_ERROR(CheckAxis(static_cast<size_t>(axis), x));
    dims.push_back(x[static_cast<size_t>(axis)]);
  }
  return Add(std::move(dims), batched_);
}

Status Inference::Expand(const Node& node) {
  const Dims shape = Resolve(node.shape);
  Dims dims;
  GYR_RETURN_IF_ERROR(Broadcast(DimsOf(node.in[0]), shape, &dims));
  if (dims != shape)
    return Invalid("a shape that broadcasts to " + Text(shape), Text(DimsOf(node.in[0])));
  return Add(std::move(dims), batched_);
}

Status Inference::Elementwise(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  for (size_t i = 1; i < node.in.size(); ++i) {
    Dims wider;
    GYR_RETURN_IF_ERROR(Broadcast(dims, DimsOf(node.in[i]), &wider));
    dims = std::move(wider);
  }
  GYR_RETURN_IF_ERROR(CheckAct(node.act, dims));
  return Add(std::move(dims), batched_);
}

Status Inference::InferNode(const Node& node) {
  batched_ =
      std::any_of(node.in.begin(), node.in.end(), [this](int in) { return Value(in).batched; });
  switch (node.op) {
    case Op::kLinear:
      return Linear(node);
    case Op::kMatmul:
      return Matmul(node);
    case Op::kPairwiseDot:
      return Pairwise(node);
    case Op::kUnary:
    case Op::kBinary:
    case Op::kWhere:
      return Elementwise(node);
    case Op::kReduce:
      return Reduce(node);
    case Op::kSoftmax:
      GYR_RETURN_IF_ERROR(CheckAxis(static_cast<size_t>(node.axis), DimsOf(node.in[0])));
      return Add(DimsOf(node.in[0]), batched_);
    case Op::kLayerNorm:
      return LayerNorm(node);
    case Op::kConcat:
      return Concat(node);
    case Op::kSlice:
      return Slice(node);
    case Op::kGather:
      return Gather(node);
    case Op::kReshape:
      return Reshape(node);
    case Op::kTranspose:
      return Transpose(node);
    case Op::kExpand:
      return Expand(node);
    case Op::kIota:
      return Add({Resolve(node.size)}, false);
  }
  return {ErrorCode::kInternal, "an operator without a shape"};
}

Status Inference::CheckOutput(const GraphOutput& output) const {
  const ValueShape& value = Value(output.value);
  if (!value.batched) return Invalid("a batched value", "a shared one");
  int64_t elements = 1;
  for (const int64_t extent : Resolve(output.shape)) {
    if (__builtin_mul_overflow(elements, extent, &elements)) elements = 0;
  }
  if (elements == value.elements) return Status::Ok();
  return Invalid("a shape of " + std::to_string(value.elements) + " elements",
                 Text(Resolve(output.shape)));
}

}  // namespace

int64_t SliceStart(const Node& node, int64_t extent) {
  return node.start < 0 ? node.start + extent : node.start;
}

Result<std::vector<ValueShape>> InferShapes(const Graph& graph,
                                            const std::vector<int64_t>& symbols) {
  return Inference(graph, symbols).Run();
}

}  // namespace gyrfalcon::fused
