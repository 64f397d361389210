// Steps of operators that move elements and compute nothing.
#include "engines/fused/plan_loops.h"
#include "engines/fused/planner.h"

namespace gyrfalcon::fused {

void Planner::Concat(const Node& node, int value) {
  const Dims& dims = DimsOf(value);
  const int64_t outer = Before(dims, node.axis);
  const int64_t row = dims[static_cast<size_t>(node.axis)] * Behind(dims, node.axis);
  int64_t offset = 0;
  for (const int in : node.in) {
    const ValuePlace& place = plan_.layout.values[static_cast<size_t>(in)];
    const RootPlace& root = Root(place.root);
    const int64_t width = ShapeOf(in).elements / outer;
    // The same root may be an operand twice: only at its own offset it is already written.
    const bool placed = plan_.layout.placed[static_cast<size_t>(place.root)] &&
                        root.parent == value && place.offset == 0 &&
                        root.offset == Root(value).offset + offset;
    if (!placed) {
      Step step = NewStep(RunPlace, value);
      step.in[0] = OperandOf(in);
      step.y.offset += offset;
      step.outer = outer;
      step.n = width;
      step.k = row;
      cost_ = 0.5;
      Add(step, value);
    }
    offset += width;
  }
}

void Planner::Slice(const Node& node, int value) {
  const int x = node.in[0];
  Dims strides = ContiguousStrides(DimsOf(x));
  const auto axis = static_cast<size_t>(node.axis);
  const int64_t offset = SliceStart(node, DimsOf(x)[axis]) * strides[axis];
  // With one element the step may be anything; its product could overflow.
  strides[axis] = DimsOf(value)[axis] == 1 ? 0 : strides[axis] * node.step;
  Copy(node, value, strides, offset);
}

void Planner::Gather(const Node& node, int value) {
  const int x = node.in[0];
  Step step = NewStep(RunGather, value);
  step.in[0] = OperandOf(x);
  step.outer = Before(DimsOf(x), node.axis);
  step.k = DimsOf(x)[static_cast<size_t>(node.axis)];
  step.n = Behind(DimsOf(x), node.axis);
  step.count = static_cast<int64_t>(node.indices.size());
  step.indices = node.indices.data();
  Add(step, value);
}

void Planner::Transpose(const Node& node, int value) {
  const int x = node.in[0];
  const Dims from = ContiguousStrides(DimsOf(x));
  Dims strides;
  for (const int axis : node.axes) strides.push_back(from[static_cast<size_t>(axis)]);
  Copy(node, value, strides, 0);
}

void Planner::Copy(const Node& node, int value, const Dims& strides, int64_t offset) {
  Step step = NewStep(RunCopy, value);
  step.in[0] = OperandOf(node.in[0]);
  step.in[0].offset += offset;
  step.loops = StridedLoops(DimsOf(value), strides);
  Add(step, value);
}

}  // namespace gyrfalcon::fused
