// How MakePlan goes through a graph. Its members are in plan.cc, but for products
// (plan_products.cc), elementwise operators and reductions (plan_elementwise.cc) and operators that
// move elements (plan_moves.cc).
#ifndef GYRFALCON_ENGINES_FUSED_PLANNER_H_
#define GYRFALCON_ENGINES_FUSED_PLANNER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engines/fused/plan.h"

namespace gyrfalcon::fused {

class Planner {
 public:
  Planner(const PlanInputs& inputs, const std::vector<ValueShape>& shapes)
      : inputs_(inputs),
        graph_(*inputs.graph),
        shapes_(shapes),
        first_constant_(static_cast<int>(graph_.inputs.size())),
        first_node_(first_constant_ + static_cast<int>(graph_.constants.size())) {}

  // Once.
  Result<Plan> Run();

 private:
  using Dims = std::vector<int64_t>;

  const ValueShape& ShapeOf(int value) const { return shapes_[static_cast<size_t>(value)]; }
  const Dims& DimsOf(int value) const { return ShapeOf(value).dims; }
  // Of the value itself, whatever its root: kUnused only when nobody needs it.
  const RootPlace& Root(int value) const { return plan_.layout.roots[static_cast<size_t>(value)]; }

  // Where a value is read or written.
  Operand OperandOf(int value) const;
  const float* ConstantOf(int value) const {
    return graph_.constants[static_cast<size_t>(value - first_constant_)].data;
  }
  const float* OptionalConstant(int value) const { return value < 0 ? nullptr : ConstantOf(value); }

  // With its constants in place of their numbers.
  ResolvedAct Resolve(const Act& act) const;

  // A step that writes a value.
  Step NewStep(void (*run)(const Step&, const Frame&), int value) const;
  // To the steps that a value's kind belongs to.
  void Add(const Step& step, int value);

  // Each thread has that much memory for the step at hand.
  void NeedAux(size_t bytes) {
    plan_.aux_bytes = std::max(plan_.aux_bytes, (bytes + 63) / 64 * 64);
  }

  // An input that is not f32.
  void Convert(int input);
  // An output that no step writes where it is bound.
  void CopyOut(size_t output);
  // act(y) in place, with constants along the last axis.
  void AddAct(const ResolvedAct& act, int value);
  void SetActLoops(const ResolvedAct& act, int value, Loops* loops) const;
  // y = fn(y, other), in place.
  void AddBinary(BinaryFn fn, int other, int value);

  // The steps of a node, by its operator.
  void Emit(const Node& node, int value);
  void Linear(const Node& node, int value);
  void Matmul(const Node& node, int value);
  void Pairwise(const Node& node, int value);
  void Elementwise(const Node& node, int value, void (*run)(const Step&, const Frame&));
  void Unary(const Node& node, int value);
  void Reduce(const Node& node, int value);
  void Softmax(const Node& node, int value);
  void LayerNorm(const Node& node, int value);
  void Concat(const Node& node, int value);
  void Slice(const Node& node, int value);
  void Gather(const Node& node, int value);
  void Transpose(const Node& node, int value);
  void Copy(const Node& node, int value, const Dims& strides, int64_t offset);

  // Elements before and behind an axis.
  static int64_t Before(const Dims& dims, int axis) {
    int64_t n = 1;
    for (int i = 0; i < axis; ++i) n *= dims[static_cast<size_t>(i)];
    return n;
  }
  static int64_t Behind(const Dims& dims, int axis) {
    int64_t n = 1;
    for (size_t i = static_cast<size_t>(axis) + 1; i < dims.size(); ++i) n *= dims[i];
    return n;
  }

  const PlanInputs& inputs_;
  const Graph& graph_;
  const std::vector<ValueShape>& shapes_;
  int first_constant_;
  int first_node_;
  int node_ = -1;
  int64_t rows_ = 1;
  double cost_ = 2.0;  // of an element of the next step
  Plan plan_;
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_PLANNER_H_
