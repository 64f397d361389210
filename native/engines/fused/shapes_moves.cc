// Shapes of operators that move elements and compute nothing.
#include <string>
#include <utility>

#include "core/limits.h"
#include "engines/fused/shape_inference.h"

namespace gyrfalcon::fused {

Status ShapeInference::Concat(const Node& node) {
  Dims dims = DimsOf(node.in[0]);
  const auto axis = static_cast<size_t>(node.axis);
  GYR_RETURN_IF_ERROR(CheckAxis(axis, dims));
  for (size_t i = 1; i < node.in.size(); ++i) {
    Dims other = DimsOf(node.in[i]);
    if (other.size() != dims.size()) return Invalid("operands of one rank", DimsText(other));
    const int64_t extent = std::exchange(other[axis], dims[axis]);
    if (other != dims)
      return Invalid("operands of one shape but for the axis", DimsText(DimsOf(node.in[i])));
    dims[axis] += extent;
  }
  return Add(std::move(dims), batched_);
}

Status ShapeInference::Slice(const Node& node) {
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

Status ShapeInference::Gather(const Node& node) {
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

Status ShapeInference::Reshape(const Node& node) {
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
    return Invalid("a shape of " + std::to_string(x.elements) + " elements", DimsText(dims));
  }
  if (free < dims.size()) dims[free] = x.elements / known;
  return Add(std::move(dims), batched_);
}

Status ShapeInference::Transpose(const Node& node) {
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

Status ShapeInference::Expand(const Node& node) {
  const Dims shape = Resolve(node.shape);
  Dims dims;
  GYR_RETURN_IF_ERROR(Broadcast(DimsOf(node.in[0]), shape, &dims));
  if (dims != shape)
    return Invalid("a shape that broadcasts to " + DimsText(shape), DimsText(DimsOf(node.in[0])));
  return Add(std::move(dims), batched_);
}

}  // namespace gyrfalcon::fused
