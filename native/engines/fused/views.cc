#include "engines/fused/views.h"

#include <algorithm>
#include <cstddef>

namespace gyrfalcon::fused {
namespace {

// How many elements one step along an axis is.
int64_t StepOf(const ValueShape& shape, int axis) {
  int64_t elements = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.dims.size(); ++i) {
    elements *= shape.dims[i];
  }
  return elements;
}

}  // namespace

bool Leads(const ValueShape& shape, int axis) {
  return std::all_of(shape.dims.begin(), shape.dims.begin() + axis,
                     [](int64_t d) { return d == 1; });
}

int64_t ViewOffset(const Node& node, const std::vector<ValueShape>& shapes, int value) {
  const auto shape_of = [&shapes](int number) -> const ValueShape& {
    return shapes[static_cast<size_t>(number)];
  };
  if (node.in.empty()) return -1;
  const int x = node.in[0];
  switch (node.op) {
    case Op::kReshape:
      return 0;
    case Op::kExpand:
      return shape_of(value).elements == shape_of(x).elements ? 0 : -1;
    case Op::kSlice: {
      const auto extent = shape_of(x).dims[static_cast<size_t>(node.axis)];
      const int64_t size = shape_of(value).dims[static_cast<size_t>(node.axis)];
      if (!Leads(shape_of(x), node.axis) || (node.step != 1 && size != 1)) return -1;
      return SliceStart(node, extent) * StepOf(shape_of(x), node.axis);
    }
    case Op::kGather: {
      if (!Leads(shape_of(x), node.axis)) return -1;
      for (size_t i = 1; i < node.indices.size(); ++i) {
        if (node.indices[i] != node.indices[i - 1] + 1) return -1;
      }
      return node.indices[0] * StepOf(shape_of(x), node.axis);
    }
    case Op::kTranspose: {
      int last = -1;
      for (const int axis : node.axes) {
        if (shape_of(x).dims[static_cast<size_t>(axis)] == 1) continue;
        if (axis < last) return -1;
        last = axis;
      }
      return 0;
    }
    default:
      return -1;
  }
}

}  // namespace gyrfalcon::fused
