#include "engines/fused/plan.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "engines/fused/plan_loops.h"

namespace gyrfalcon::fused {
namespace {

// Stands for the shared memory until PlaceShared knows it.
alignas(64) std::byte shared_memory[64];

class Planner {
 public:
  Planner(const PlanInputs& inputs, const std::vector<ValueShape>& shapes)
      : inputs_(inputs),
        graph_(*inputs.graph),
        shapes_(shapes),
        first_constant_(static_cast<int>(graph_.inputs.size())),
        first_node_(first_constant_ + static_cast<int>(graph_.constants.size())) {}

  Result<Plan> Run() {
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

 private:
  using Dims = std::vector<int64_t>;

  const ValueShape& ShapeOf(int value) const { return shapes_[static_cast<size_t>(value)]; }
  const Dims& DimsOf(int value) const { return ShapeOf(value).dims; }
  // Of the value itself, whatever its root: kUnused only when nobody needs it.
  const RootPlace& Root(int value) const { return plan_.layout.roots[static_cast<size_t>(value)]; }

  Operand OperandOf(int value) const {
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

  const float* ConstantOf(int value) const {
    return graph_.constants[static_cast<size_t>(value - first_constant_)].data;
  }
  const float* OptionalConstant(int value) const { return value < 0 ? nullptr : ConstantOf(value); }

  ResolvedAct Resolve(const Act& act) const {
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

  Step NewStep(void (*run)(const Step&, const Frame&), int value) const {
    Step step;
    step.run = run;
    step.ops = inputs_.ops;
    step.node = node_;
    step.y = OperandOf(value);
    return step;
  }

  // To the steps that a value's kind belongs to.
  void Add(const Step& step, int value) {
    const RootKind kind = Root(value).kind;
    if (ShapeOf(value).batched) {
      plan_.blocks.push_back(step);
      plan_.row_operations += static_cast<double>(ShapeOf(value).elements) * cost_;
    } else {
      (kind == RootKind::kFixed ? plan_.fixed : plan_.shared).push_back(step);
    }
    cost_ = 2.0;
  }

  void NeedAux(size_t bytes) {
    plan_.aux_bytes = std::max(plan_.aux_bytes, (bytes + 63) / 64 * 64);
  }

  void Convert(int input) {
    const GraphInput& spec = graph_.inputs[static_cast<size_t>(input)];
    if (spec.dtype == Dtype::kF32 || Root(input).kind == RootKind::kUnused) return;
    Step step = NewStep(RunConvert, input);
    step.dtype = spec.dtype;
    step.n = ShapeOf(input).elements;
    step.in[0].base = inputs_.inputs[static_cast<size_t>(input)];
    step.in[0].stride = spec.batched ? step.n : 0;
    Add(step, input);
  }

  void CopyOut(size_t output) {
    const int value = graph_.outputs[output].value;
    Step step;
    step.run = RunPlace;
    step.in[0] = OperandOf(value);
    step.n = ShapeOf(value).elements;
    step.y = {inputs_.outputs[output], 0, step.n, true};
    plan_.blocks.push_back(step);
  }

  // act(y) in place, with constants along the last axis.
  void AddAct(const ResolvedAct& act, int value) {
    if (act.fn == ActFn::kNone) return;
    Step step = NewStep(RunUnary, value);
    step.act = act;
    step.in[0] = step.y;
    SetActLoops(act, value, &step.loops);
    cost_ = 20.0;
    Add(step, value);
  }

  void SetActLoops(const ResolvedAct& act, int value, Loops* loops) const {
    const bool columns = act.fn == ActFn::kPrelu || act.fn == ActFn::kDice;
    *loops = columns ? RowLoops(DimsOf(value)) : FlatLoops(ShapeOf(value).elements);
  }

  // y = fn(y, other), in place.
  void AddBinary(BinaryFn fn, int other, int value) {
    Step step = NewStep(RunBinary, value);
    step.binary = fn;
    step.in[0] = step.y;
    step.in[1] = OperandOf(other);
    step.loops = BroadcastLoops(DimsOf(value), {DimsOf(value), DimsOf(other)});
    Add(step, value);
  }

  void Emit(const Node& node, int value);
  void Linear(const Node& node, int value);
  void Matmul(const Node& node, int value);
  void Pairwise(const Node& node, int value);
  void Elementwise(const Node& node, int value, void (*run)(const Step&, const Frame&));
  void Reduce(const Node& node, int value);
  void Concat(const Node& node, int value);
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

void Planner::Concat(const Node& node, int value) {
  const Dims& dims = DimsOf(value);
  const int64_t outer = Before(dims, node.axis);
  const int64_t row = dims[static_cast<size_t>(node.axis)] * Behind(dims, node.axis);
  int64_t offset = 0;
  std::vector<int> seen;
  for (const int in : node.in) {
    const ValuePlace& place = plan_.layout.values[static_cast<size_t>(in)];
    const RootPlace& root = Root(place.root);
    const int64_t width = ShapeOf(in).elements / outer;
    // The same root may be an operand twice: only its first place is where it was written.
    const bool placed = plan_.layout.placed[static_cast<size_t>(place.root)] &&
                        root.parent == value && place.offset == 0 &&
                        std::find(seen.begin(), seen.end(), place.root) == seen.end() &&
                        root.offset == Root(value).offset + offset;
    if (placed) {
      seen.push_back(place.root);
    } else {
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

void Planner::Copy(const Node& node, int value, const Dims& strides, int64_t offset) {
  Step step = NewStep(RunCopy, value);
  step.in[0] = OperandOf(node.in[0]);
  step.in[0].offset += offset;
  step.loops = StridedLoops(DimsOf(value), strides);
  Add(step, value);
}

void Planner::Emit(const Node& node, int value) {
  const int x = node.in.empty() ? -1 : node.in[0];
  switch (node.op) {
    case Op::kLinear:
      return Linear(node, value);
    case Op::kMatmul:
      return Matmul(node, value);
    case Op::kPairwiseDot:
      return Pairwise(node, value);
    case Op::kUnary: {
      Step step = NewStep(RunUnary, value);
      step.in[0] = OperandOf(x);
      step.act = Resolve(node.act);
      SetActLoops(step.act, value, &step.loops);
      cost_ = 20.0;
      return Add(step, value);
    }
    case Op::kBinary:
      return Elementwise(node, value, RunBinary);
    case Op::kWhere:
      return Elementwise(node, value, RunWhere);
    case Op::kReduce:
      return Reduce(node, value);
    case Op::kSoftmax: {
      Step step = NewStep(RunSoftmax, value);
      step.in[0] = OperandOf(x);
      step.outer = Before(DimsOf(x), node.axis);
      step.count = DimsOf(x)[static_cast<size_t>(node.axis)];
      step.n = Behind(DimsOf(x), node.axis);
      step.flag = node.log;
      cost_ = 30.0;
      return Add(step, value);
    }
    case Op::kLayerNorm: {
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
      return Add(step, value);
    }
    case Op::kConcat:
      return Concat(node, value);
    case Op::kSlice: {
      Dims strides = ContiguousStrides(DimsOf(x));
      const auto axis = static_cast<size_t>(node.axis);
      const int64_t offset = SliceStart(node, DimsOf(x)[axis]) * strides[axis];
      // With one element the step may be anything; its product could overflow.
      strides[axis] = DimsOf(value)[axis] == 1 ? 0 : strides[axis] * node.step;
      return Copy(node, value, strides, offset);
    }
    case Op::kGather: {
      Step step = NewStep(RunGather, value);
      step.in[0] = OperandOf(x);
      step.outer = Before(DimsOf(x), node.axis);
      step.k = DimsOf(x)[static_cast<size_t>(node.axis)];
      step.n = Behind(DimsOf(x), node.axis);
      step.count = static_cast<int64_t>(node.indices.size());
      step.indices = node.indices.data();
      return Add(step, value);
    }
    case Op::kReshape:
      return;  // always a view
    case Op::kTranspose: {
      const Dims from = ContiguousStrides(DimsOf(x));
      Dims strides;
      for (const int axis : node.axes) strides.push_back(from[static_cast<size_t>(axis)]);
      return Copy(node, value, strides, 0);
    }
    case Op::kExpand:
      return Copy(node, value, BroadcastStrides(DimsOf(value), DimsOf(x)), 0);
    case Op::kIota: {
      Step step = NewStep(RunIota, value);
      step.n = ShapeOf(value).elements;
      return Add(step, value);
    }
  }
}

}  // namespace

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

std::vector<PairTile> MakePairTiles(const std::vector<int32_t>& pairs) {
  // Dot products are symmetric: the larger row is on the left.
  struct Entry {
    int32_t left_tile, right_tile, cell, place;
  };
  std::vector<Entry> entries;
  entries.reserve(pairs.size() / 2);
  for (size_t p = 0; p + 1 < pairs.size(); p += 2) {
    const int32_t left = std::max(pairs[p], pairs[p + 1]);
    const int32_t right = std::min(pairs[p], pairs[p + 1]);
    entries.push_back(
        {left / 4, right / 4, (left % 4) * 4 + right % 4, static_cast<int32_t>(p / 2)});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.left_tile != b.left_tile ? a.left_tile < b.left_tile : a.right_tile < b.right_tile;
  });
  std::vector<PairTile> tiles;
  std::array<int32_t, 2> at = {-1, -1};
  size_t first = 0;  // of the tiles at this place: a pair that comes twice needs a second one
  for (const Entry& entry : entries) {
    if (entry.left_tile != at[0] || entry.right_tile != at[1]) {
      at = {entry.left_tile, entry.right_tile};
      first = tiles.size();
    }
    const auto cell = static_cast<size_t>(entry.cell);
    size_t t = first;
    while (t < tiles.size() && tiles[t].place[cell] >= 0) ++t;
    if (t == tiles.size()) {
      PairTile& tile = tiles.emplace_back();
      // Rows that no pair of the tile names are replaced by ones that it does.
      std::fill(std::begin(tile.left), std::end(tile.left), entry.left_tile * 4 + entry.cell / 4);
      std::fill(std::begin(tile.right), std::end(tile.right),
                entry.right_tile * 4 + entry.cell % 4);
      std::fill(std::begin(tile.place), std::end(tile.place), -1);
    }
    tiles[t].left[cell / 4] = entry.left_tile * 4 + entry.cell / 4;
    tiles[t].right[cell % 4] = entry.right_tile * 4 + entry.cell % 4;
    tiles[t].place[cell] = entry.place;
  }
  return tiles;
}

}  // namespace gyrfalcon::fused
