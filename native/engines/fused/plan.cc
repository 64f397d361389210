#include "engines/fused/plan.h"

#include <string>
#include <utility>

#include "engines/fused/plan_loops.h"
#include "engines/fused/planner.h"

namespace gyrfalcon::fused {
namespace {

// Stands for the shared memory until PlaceShared knows it.
alignas(64) std::byte shared_memory[64];

}  // namespace

Result<Plan> Planner::Run() {
  plan_.layout = LayOut(graph_, shapes_, inputs_.block_limit);
  for (int input = 0; input < first_constant_; ++input) Convert(input);
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const int value = first_node_ + static_cast<int>(i);
    if (Root(value).kind == RootKind::kUnused || plan_.layout.IsView(value)) continue;
    node_ = static_cast<int>(i);
    rows_ = ShapeOf(value).batched ? plan_.layout.block_rows : 1;
    Emit(graph_.nodes[i], value);
  }
  node_ = -1;
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    if (!plan_.layout.output_is_direct[i]) CopyOut(i);
  }
  const size_t scratch = static_cast<size_t>(plan_.layout.scratch_elements) * sizeof(float);
  const size_t shared = static_cast<size_t>(plan_.layout.shared_elements) * sizeof(float);
  if (scratch + shared + plan_.aux_bytes > kMaxScratchBytes) {
    return {ErrorCode::kLimitExceeded,
            "expected at most 16 GiB of memory for the fused graph but it needs " +
                std::to_string(scratch + shared + plan_.aux_bytes) + " bytes"};
  }
  return std::move(plan_);
}

Operand Planner::OperandOf(int value) const {
  const ValuePlace& place = plan_.layout.values[static_cast<size_t>(value)];
  const RootPlace& root = plan_.layout.roots[static_cast<size_t>(place.root)];
  Operand operand;
  operand.offset = root.offset + place.offset;
  operand.stride = root.stride;
  switch (root.kind) {
    case RootKind::kInput:
      operand.base = inputs_.inputs[static_cast<size_t>(place.root)];
      operand.bound = true;
      break;
    case RootKind::kOutput:
      operand.base = inputs_.outputs[static_cast<size_t>(root.index)];
      operand.bound = true;
      break;
    case RootKind::kConstant:
      operand.base = reinterpret_cast<std::byte*>(const_cast<float*>(ConstantOf(place.root)));
      break;
    case RootKind::kFixed:
    case RootKind::kShared:
      operand.base = shared_memory;
      break;
    case RootKind::kScratch:
    case RootKind::kUnused:
      break;
  }
  return operand;
}

ResolvedAct Planner::Resolve(const Act& act) const {
  ResolvedAct resolved;
  resolved.fn = act.fn;
  resolved.alpha = act.alpha;
  resolved.beta = act.beta;
  if (act.fn == ActFn::kPrelu && ShapeOf(act.slope).elements == 1) {
    resolved.fn = ActFn::kLeakyRelu;
    resolved.alpha = *ConstantOf(act.slope);
    return resolved;
  }
  resolved.slope = OptionalConstant(act.slope);
  resolved.scale = OptionalConstant(act.scale);
  resolved.shift = OptionalConstant(act.shift);
  return resolved;
}

Step Planner::NewStep(void (*run)(const Step&, const Frame&), int value) const {
  Step step;
  step.run = run;
  step.ops = inputs_.ops;
  step.node = node_;
  step.y = OperandOf(value);
  return step;
}

void Planner::Add(const Step& step, int value) {
  const RootKind kind = Root(value).kind;
  if (ShapeOf(value).batched) {
    plan_.blocks.push_back(step);
    plan_.row_operations += static_cast<double>(ShapeOf(value).elements) * cost_;
    if (step.weights != nullptr) {
      const auto bytes = static_cast<double>(WeightBytes(*step.weights));
      plan_.weight_bytes += bytes;
      plan_.least_rows = std::max(plan_.least_rows, LeastBlockRows(*step.weights));
      if (step.most_parts > 1) plan_.shared_bytes += bytes;
    }
  } else {
    (kind == RootKind::kFixed ? plan_.fixed : plan_.shared).push_back(step);
  }
  cost_ = 2.0;
}

void Planner::Convert(int input) {
  const GraphInput& spec = graph_.inputs[static_cast<size_t>(input)];
  if (spec.dtype == Dtype::kF32 || Root(input).kind == RootKind::kUnused) return;
  Step step = NewStep(RunConvert, input);
  step.dtype = spec.dtype;
  step.n = ShapeOf(input).elements;
  step.in[0].base = inputs_.inputs[static_cast<size_t>(input)];
  step.in[0].stride = spec.batched ? step.n : 0;
  Add(step, input);
}

void Planner::CopyOut(size_t output) {
  const int value = graph_.outputs[output].value;
  Step step;
  step.run = RunPlace;
  step.in[0] = OperandOf(value);
  step.n = ShapeOf(value).elements;
  step.y = {inputs_.outputs[output], 0, step.n, true};
  plan_.blocks.push_back(step);
}

void Planner::Emit(const Node& node, int value) {
  switch (node.op) {
    case Op::kLinear:
      return Linear(node, value);
    case Op::kMatmul:
      return Matmul(node, value);
    case Op::kPairwiseDot:
      return Pairwise(node, value);
    case Op::kUnary:
      return Unary(node, value);
    case Op::kBinary:
      return Elementwise(node, value, RunBinary);
    case Op::kWhere:
      return Elementwise(node, value, RunWhere);
    case Op::kReduce:
      return Reduce(node, value);
    case Op::kSoftmax:
      return Softmax(node, value);
    case Op::kLayerNorm:
      return LayerNorm(node, value);
    case Op::kConcat:
      return Concat(node, value);
    case Op::kSlice:
      return Slice(node, value);
    case Op::kGather:
      return Gather(node, value);
    case Op::kReshape:
      return;  // always a view
    case Op::kTranspose:
      return Transpose(node, value);
    case Op::kExpand:
      return Copy(node, value, BroadcastStrides(DimsOf(value), DimsOf(node.in[0])), 0);
    case Op::kIota: {
      Step step = NewStep(RunIota, value);
      step.n = ShapeOf(value).elements;
      return Add(step, value);
    }
  }
}

Result<Plan> MakePlan(const PlanInputs& inputs, const std::vector<ValueShape>& shapes) {
  return Planner(inputs, shapes).Run();
}

void PlaceShared(Plan* plan, float* memory) {
  auto* const bytes = reinterpret_cast<std::byte*>(memory);
  const auto place = [bytes](Operand* operand) {
    if (operand->base == shared_memory) operand->base = bytes;
  };
  for (std::vector<Step>* steps : {&plan->fixed, &plan->shared, &plan->blocks}) {
    for (Step& step : *steps) {
      place(&step.y);
      for (Operand& operand : step.in) place(&operand);
    }
  }
  for (std::vector<Operand>& parts : plan->parts) {
    for (Operand& operand : parts) place(&operand);
  }
}

}  // namespace gyrfalcon::fused
