// Steps of elementwise operators, reductions, softmax and layer_norm.
#include <algorithm>

#include "engines/fused/plan_loops.h"
#include "engines/fused/planner.h"

namespace gyrfalcon::fused {

void Planner::Unary(const Node& node, int value) {
  const int x = node.in[0];
  Step step = NewStep(RunUnary, value);
  step.in[0] = OperandOf(x);
  step.act = Resolve(node.act);
  SetActLoops(step.act, value, &step.loops);
  cost_ = 20.0;
  Add(step, value);
}

void Planner::Elementwise(const Node& node, int value, void (*run)(const Step&, const Frame&)) {
  Step step = NewStep(run, value);
  step.binary = node.binary;
  std::vector<Dims> operands;
  for (size_t i = 0; i < node.in.size(); ++i) {
    step.in[i] = OperandOf(node.in[i]);
    operands.push_back(DimsOf(node.in[i]));
  }
  step.loops = BroadcastLoops(DimsOf(value), operands);
  Add(step, value);
  AddAct(Resolve(node.act), value);
}

void Planner::AddAct(const ResolvedAct& act, int value) {
  if (act.fn == ActFn::kNone) return;
  Step step = NewStep(RunUnary, value);
  step.act = act;
  step.in[0] = step.y;
  SetActLoops(act, value, &step.loops);
  cost_ = 20.0;
  Add(step, value);
}

void Planner::AddBinary(BinaryFn fn, int other, int value) {
  Step step = NewStep(RunBinary, value);
  step.binary = fn;
  step.in[0] = step.y;
  step.in[1] = OperandOf(other);
  step.loops = BroadcastLoops(DimsOf(value), {DimsOf(value), DimsOf(other)});
  Add(step, value);
}

void Planner::SetActLoops(const ResolvedAct& act, int value, Loops* loops) const {
  const bool columns = act.fn == ActFn::kPrelu || act.fn == ActFn::kDice;
  *loops = columns ? RowLoops(DimsOf(value)) : FlatLoops(ShapeOf(value).elements);
}

void Planner::Reduce(const Node& node, int value) {
  const Dims& x = DimsOf(node.in[0]);
  // Neighbouring axes that are all reduced, or all kept, are one.
  struct Group {
    bool reduced;
    int64_t extent;
  };
  std::vector<Group> groups;
  int64_t count = 1;
  for (size_t axis = 0; axis < x.size(); ++axis) {
    if (x[axis] == 1) continue;
    const bool reduced =
        std::find(node.axes.begin(), node.axes.end(), static_cast<int>(axis)) != node.axes.end();
    if (reduced) count *= x[axis];
    if (groups.empty() || groups.back().reduced != reduced) {
      groups.push_back({reduced, x[axis]});
    } else {
      groups.back().extent *= x[axis];
    }
  }
  const auto parts = static_cast<int64_t>(
      std::count_if(groups.begin(), groups.end(), [](const Group& g) { return g.reduced; }));
  Step step = NewStep(RunReduce, value);
  step.in[0] = OperandOf(node.in[0]);
  step.reduce = node.reduce;
  step.count = count;
  const int64_t kept = ShapeOf(node.in[0]).elements / count;
  if (parts <= 1) {
    const bool leading = !groups.empty() && !groups.front().reduced && parts == 1;
    step.outer = leading ? groups.front().extent : 1;
    step.n = kept / step.outer;
  } else {
    // Reduced axes that are apart are first brought to the end.
    step.run = RunReduceMoved;
    step.outer = kept;
    step.n = 1;
    Dims dims;
    Dims strides;
    for (const bool reduced : {false, true}) {
      for (size_t axis = 0; axis < x.size(); ++axis) {
        const bool is = std::find(node.axes.begin(), node.axes.end(), static_cast<int>(axis)) !=
                        node.axes.end();
        if (is != reduced) continue;
        dims.push_back(x[axis]);
        strides.push_back(Behind(x, static_cast<int>(axis)));
      }
    }
    step.loops = StridedLoops(dims, strides);
    NeedAux(static_cast<size_t>(kept * count) * sizeof(float));
  }
  cost_ = 2.0 * static_cast<double>(count);
  Add(step, value);
}

void Planner::Softmax(const Node& node, int value) {
  const int x = node.in[0];
  Step step = NewStep(RunSoftmax, value);
  step.in[0] = OperandOf(x);
  step.outer = Before(DimsOf(x), node.axis);
  step.count = DimsOf(x)[static_cast<size_t>(node.axis)];
  step.n = Behind(DimsOf(x), node.axis);
  step.flag = node.log;
  cost_ = 30.0;
  Add(step, value);
}

void Planner::LayerNorm(const Node& node, int value) {
  const int x = node.in[0];
  Step step = NewStep(RunLayerNorm, value);
  step.in[0] = OperandOf(x);
  const int first = static_cast<int>(DimsOf(x).size()) - node.axes[0];
  step.outer = Before(DimsOf(x), first);
  step.n = ShapeOf(x).elements / step.outer;
  step.gamma = OptionalConstant(node.gamma);
  step.beta = OptionalConstant(node.beta);
  step.number = node.eps;
  step.flag = node.rms;
  cost_ = 10.0;
  Add(step, value);
}

}  // namespace gyrfalcon::fused
