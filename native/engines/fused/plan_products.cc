// Steps of linear, matmul and pairwise_dot.
#include "engines/fused/pair_tiles.h"
#include "engines/fused/plan_loops.h"
#include "engines/fused/planner.h"

namespace gyrfalcon::fused {

namespace {

// Below that, threads that share a product wait for each other longer than they compute.
constexpr size_t kLeastSharedBytes = size_t{64} << 10;

}  // namespace

void Planner::Linear(const Node& node, int value) {
  const size_t constant = static_cast<size_t>(node.in[1] - first_constant_);
  Step step = NewStep(RunLinear, value);
  step.weights = &(*inputs_.weights)[constant];
  step.k = step.weights->k;
  step.n = step.weights->n;
  step.count = ShapeOf(value).elements / step.n;
  step.in[0] = OperandOf(node.in[0]);
  step.epilogue.bias = OptionalConstant(node.bias);
  const ResolvedAct act = Resolve(node.act);
  const ResolvedAct post = Resolve(node.post);
  // What the product's epilogue cannot contain is done by passes over the result, and so is all
  // that comes after it.
  const bool fuse_act = GemmFuses(act.fn);
  const bool fuse_post = fuse_act && GemmFuses(post.fn);
  if (fuse_act) {
    step.epilogue.act = act;
    const auto attach = [&](int other, Operand* operand, int64_t* stride, bool* is_column) {
      if (other < 0) return;
      *operand = OperandOf(other);
      *is_column = ShapeOf(other).elements != ShapeOf(value).elements;
      *stride = *is_column ? 1 : step.n;
    };
    attach(node.mul, &step.in[1], &step.epilogue.mul_stride, &step.epilogue.mul_is_column);
    attach(node.add, &step.in[2], &step.epilogue.add_stride, &step.epilogue.add_is_column);
  }
  if (fuse_post) step.epilogue.post = post;
  const size_t bytes = WeightBytes(*step.weights);
  if (bytes >= kLeastSharedBytes) step.most_parts = (step.n + kColumnUnit - 1) / kColumnUnit;
  NeedAux(GemmScratchBytes(*step.weights, step.count * rows_));
  cost_ = 2.0 * static_cast<double>(step.k);
  Add(step, value);
  if (!fuse_act) {
    AddAct(act, value);
    if (node.mul >= 0) AddBinary(BinaryFn::kMul, node.mul, value);
    if (node.add >= 0) AddBinary(BinaryFn::kAdd, node.add, value);
  }
  if (!fuse_post) AddAct(post, value);
}

void Planner::Matmul(const Node& node, int value) {
  const Dims& a = DimsOf(node.in[0]);
  const Dims& b = DimsOf(node.in[1]);
  Dims lead = DimsOf(value);
  Step step = NewStep(RunMatmul, value);
  step.m = lead[lead.size() - 2];
  step.n = lead.back();
  step.k = node.ta ? a[a.size() - 2] : a.back();
  step.number = node.scale;
  step.a_row = node.ta ? 1 : step.k;
  step.a_k = node.ta ? step.m : 1;
  step.b_k = node.tb ? 1 : step.n;
  step.b_column = node.tb ? step.k : 1;
  step.in[0] = OperandOf(node.in[0]);
  step.in[1] = OperandOf(node.in[1]);
  lead.resize(lead.size() - 2);
  step.loops = MatrixLoops(lead, a, b, step.m * step.n);
  cost_ = 4.0 * static_cast<double>(step.k);
  Add(step, value);
}

void Planner::Pairwise(const Node& node, int value) {
  Step step = NewStep(RunPairwise, value);
  std::vector<Operand>& parts = plan_.parts.emplace_back();
  std::vector<int64_t>& part_rows = plan_.part_rows.emplace_back();
  int64_t rows = 0;
  for (const int in : node.in) {
    parts.push_back(OperandOf(in));
    part_rows.push_back(DimsOf(in)[0]);
    rows += part_rows.back();
  }
  step.k = DimsOf(node.in[0])[1];
  step.parts = parts.data();
  step.part_rows = part_rows.data();
  step.count = static_cast<int64_t>(parts.size());
  step.tiles = plan_.tiles.emplace_back(MakePairTiles(node.indices)).data();
  step.n = static_cast<int64_t>(plan_.tiles.back().size());
  NeedAux(static_cast<size_t>(rows) * sizeof(float*));
  cost_ = 4.0 * static_cast<double>(step.k);
  Add(step, value);
}

}  // namespace gyrfalcon::fused
