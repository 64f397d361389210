#include "engines/fused/shapes.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/limits.h"
#include "engines/fused/shape_inference.h"

namespace gyrfalcon::fused {
namespace {

constexpr size_t kMaxInnerRank = limits::kMaxRank - 1;

}  // namespace

std::string DimsText(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
  }
  return text + "]";
}

Result<std::vector<ValueShape>> ShapeInference::Run() {
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

ShapeInference::Dims ShapeInference::Resolve(const Shape& shape) const {
  Dims dims;
  for (const Extent& extent : shape) dims.push_back(Resolve(extent));
  return dims;
}

Status ShapeInference::Invalid(const std::string& expected, const std::string& received) const {
  return {ErrorCode::kBundleInvalid,
          "expected " + expected + " for " + at_ + " but received " + received};
}

Status ShapeInference::Add(Dims dims, bool batched) {
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
                                                   " but received shape " + DimsText(dims));
    }
  }
  shape.dims = std::move(dims);
  values_.push_back(std::move(shape));
  return Status::Ok();
}

Status ShapeInference::Broadcast(const Dims& a, const Dims& b, Dims* out) const {
  const size_t rank = std::max(a.size(), b.size());
  out->assign(rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t from_a = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t from_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (from_a != from_b && from_a != 1 && from_b != 1) {
      return Invalid("shapes that broadcast", DimsText(a) + " and " + DimsText(b));
    }
    (*out)[rank - 1 - i] = from_a == 1 ? from_b : from_a;
  }
  return Status::Ok();
}

Status ShapeInference::CheckColumns(int constant, int64_t columns, bool or_one) const {
  if (constant < 0) return Status::Ok();
  const int64_t extent = Value(constant).elements;
  if (extent == columns || (or_one && extent == 1)) return Status::Ok();
  return Invalid("constants of the last axis' " + std::to_string(columns) + " elements",
                 std::to_string(extent));
}

Status ShapeInference::CheckAct(const Act& act, const Dims& dims) const {
  const int64_t columns = dims.empty() ? 1 : dims.back();
  GYR_RETURN_IF_ERROR(CheckColumns(act.slope, columns, act.fn == ActFn::kPrelu));
  GYR_RETURN_IF_ERROR(CheckColumns(act.scale, columns, false));
  return CheckColumns(act.shift, columns, false);
}

Status ShapeInference::CheckAxis(size_t axis, const Dims& dims) const {
  if (axis < dims.size()) return Status::Ok();
  return Invalid("an axis of shape " + DimsText(dims), std::to_string(axis));
}

Status ShapeInference::Elementwise(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  for (size_t i = 1; i < node.in.size(); ++i) {
    Dims wider;
    GYR_RETURN_IF_ERROR(Broadcast(dims, DimsOf(node.in[i]), &wider));
    dims = std::move(wider);
  }
  GYR_RETURN_IF_ERROR(CheckAct(node.act, dims));
  return Add(std::move(dims), batched_);
}

Status ShapeInference::Reduce(const Node& node) {
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

Status ShapeInference::LayerNorm(const Node& node) {
  const Dims& x = DimsOf(node.in[0]);
  const auto axes = static_cast<size_t>(node.axes[0]);
  if (axes > x.size())
    return Invalid("at most " + std::to_string(x.size()) + " axes", std::to_string(axes));
  const Dims trailing(x.end() - static_cast<std::ptrdiff_t>(axes), x.end());
  for (const int constant : {node.gamma, node.beta}) {
    if (constant >= 0 && DimsOf(constant) != trailing) {
      return Invalid("gamma and beta of shape " + DimsText(trailing), DimsText(DimsOf(constant)));
    }
  }
  return Add(x, batched_);
}

Status ShapeInference::InferNode(const Node& node) {
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

Status ShapeInference::CheckOutput(const GraphOutput& output) const {
  const ValueShape& value = Value(output.value);
  if (!value.batched) return Invalid("a batched value", "a shared one");
  int64_t elements = 1;
  for (const int64_t extent : Resolve(output.shape)) {
    if (__builtin_mul_overflow(elements, extent, &elements)) elements = 0;
  }
  if (elements == value.elements) return Status::Ok();
  return Invalid("a shape of " + std::to_string(value.elements) + " elements",
                 DimsText(Resolve(output.shape)));
}

int64_t SliceStart(const Node& node, int64_t extent) {
  return node.start < 0 ? node.start + extent : node.start;
}

Result<std::vector<ValueShape>> InferShapes(const Graph& graph,
                                            const std::vector<int64_t>& symbols) {
  return ShapeInference(graph, symbols).Run();
}

}  // namespace gyrfalcon::fused
