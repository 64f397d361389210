#include "engines/fused/layout.h"

#include <algorithm>
#include <utility>

#include "engines/fused/ranges.h"
#include "engines/fused/views.h"

namespace gyrfalcon::fused {
namespace {

// Of the activations of a block: half of a common second-level cache, the weights take the rest.
constexpr int64_t kBlockElements = int64_t{384} * 1024 / 4;
// Weights that do not fit that cache are read anew for every block. Larger blocks then pay until
// their activations, which are written once and read a few times, are as many bytes to move.
constexpr int64_t kWeightsPerActivation = 4;
constexpr int64_t kLine = 16;  // floats

int64_t RoundUp(int64_t n) { return (n + kLine - 1) / kLine * kLine; }

std::vector<int> OperandsOf(const Node& node) {
  std::vector<int> all = node.in;
  for (const int other : {node.mul, node.add}) {
    if (other >= 0) all.push_back(other);
  }
  return all;
}

class Layouter {
 public:
  Layouter(const Graph& graph, const std::vector<ValueShape>& shapes)
      : graph_(graph),
        shapes_(shapes),
        first_constant_(static_cast<int>(graph.inputs.size())),
        first_node_(first_constant_ + static_cast<int>(graph.constants.size())) {}

  Layout Run(int64_t block_limit) {
    layout_.values.resize(shapes_.size());
    layout_.roots.resize(shapes_.size());
    layout_.placed.resize(shapes_.size());
    layout_.output_is_direct.resize(graph_.outputs.size());
    FindViews();
    FindUsed();
    Classify();
    PlaceInOutputs();
    PlaceInConcats();
    SetStrides();
    FindLifetimes();
    const int64_t per_row = Allocate(1);
    const int64_t block = std::max(kBlockElements, WeightElements() / kWeightsPerActivation);
    layout_.block_rows = std::clamp<int64_t>(block / std::max<int64_t>(per_row, 1), 1, block_limit);
    layout_.scratch_elements = Allocate(layout_.block_rows);
    // Parts last: until here their offsets are within their parents.
    for (int value = Count() - 1; value >= 0; --value) {
      RootPlace& root = Root(value);
      if (root.parent >= 0) root.offset += Root(root.parent).offset;
    }
    return std::move(layout_);
  }

 private:
  int64_t WeightElements() const {
    int64_t elements = 0;
    for (const Node& node : graph_.nodes) {
      if (node.op == Op::kLinear) elements += ShapeOf(node.in[1]).elements;
    }
    return elements;
  }

  const ValueShape& ShapeOf(int value) const { return shapes_[static_cast<size_t>(value)]; }
  ValuePlace& At(int value) { return layout_.values[static_cast<size_t>(value)]; }
  RootPlace& Root(int value) { return layout_.roots[static_cast<size_t>(value)]; }
  bool IsNode(int value) const { return value >= first_node_; }
  const Node& NodeOf(int value) const {
    return graph_.nodes[static_cast<size_t>(value - first_node_)];
  }
  int Count() const { return static_cast<int>(shapes_.size()); }

  void FindViews() {
    for (int value = 0; value < Count(); ++value) {
      At(value) = {value, 0};
      if (!IsNode(value)) continue;
      const int64_t offset = ViewOffset(NodeOf(value), shapes_, value);
      if (offset < 0) continue;
      const ValuePlace& x = At(NodeOf(value).in[0]);
      At(value) = {x.root, x.offset + offset};
    }
  }

  void FindUsed() {
    used_.resize(shapes_.size());
    for (const GraphOutput& output : graph_.outputs)
      used_[static_cast<size_t>(output.value)] = true;
    for (int value = Count() - 1; value >= first_node_; --value) {
      if (!used_[static_cast<size_t>(value)]) continue;
      for (const int in : OperandsOf(NodeOf(value))) used_[static_cast<size_t>(in)] = true;
    }
  }

  void Classify() {
    for (int value = 0; value < Count(); ++value) {
      RootPlace& root = Root(value);
      if (value < first_constant_) {
        const GraphInput& input = graph_.inputs[static_cast<size_t>(value)];
        root.kind = input.dtype == Dtype::kF32 ? RootKind::kInput
                    : input.batched            ? RootKind::kScratch
                                               : RootKind::kShared;
      } else if (!IsNode(value)) {
        root.kind = RootKind::kConstant;
      } else if (ShapeOf(value).batched) {
        root.kind = RootKind::kScratch;
      } else {
        root.kind = RootKind::kFixed;
        for (const int in : OperandsOf(NodeOf(value))) {
          const RootKind kind = Root(in).kind;
          if (kind == RootKind::kInput || kind == RootKind::kShared) root.kind = RootKind::kShared;
        }
      }
    }
    for (int value = 0; value < Count(); ++value) {
      if (!used_[static_cast<size_t>(value)]) Root(value).kind = RootKind::kUnused;
    }
  }

  bool IsWholeNode(int value) {
    const ValuePlace& place = At(value);
    return IsNode(place.root) && place.offset == 0 && Root(place.root).kind == RootKind::kScratch &&
           Root(place.root).parent < 0 && ShapeOf(place.root).elements == ShapeOf(value).elements;
  }

  void PlaceInOutputs() {
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      const int value = graph_.outputs[i].value;
      if (!IsWholeNode(value)) continue;
      RootPlace& root = Root(At(value).root);
      root.kind = RootKind::kOutput;
      root.index = static_cast<int>(i);
      layout_.output_is_direct[i] = true;
    }
  }

  void PlaceInConcats() {
    for (int value = first_node_; value < Count(); ++value) {
      const Node& node = NodeOf(value);
      const RootKind kind = Root(value).kind;
      if (node.op != Op::kConcat || !ShapeOf(value).batched || !Leads(ShapeOf(value), node.axis) ||
          kind == RootKind::kUnused) {
        continue;
      }
      int64_t offset = 0;
      for (const int in : node.in) {
        if (IsWholeNode(in)) {
          RootPlace& part = Root(At(in).root);
          part.parent = value;
          part.offset = offset;
          layout_.placed[static_cast<size_t>(At(in).root)] = true;
        }
        offset += ShapeOf(in).elements;
      }
    }
  }

  // Parents have higher numbers than their parts.
  void SetStrides() {
    tops_.resize(shapes_.size());
    std::vector<bool> matrix(shapes_.size());
    for (int value = 0; value < Count(); ++value) {
      if (ShapeOf(value).dims.size() > 1) matrix[static_cast<size_t>(At(value).root)] = true;
    }
    for (int value = Count() - 1; value >= 0; --value) {
      RootPlace& root = Root(value);
      tops_[static_cast<size_t>(value)] = root.parent < 0 ? value : Top(root.parent);
      if (!ShapeOf(value).batched) continue;
      const int64_t elements = ShapeOf(value).elements;
      if (root.parent >= 0) {
        const RootPlace& parent = Root(root.parent);
        root.stride = parent.stride;
        root.kind = parent.kind;
        root.index = parent.index;
      } else if (root.kind == RootKind::kScratch && elements >= 2 * kLine &&
                 !matrix[static_cast<size_t>(value)]) {
        root.stride = RoundUp(elements);  // rows begin on a cache line
      } else {
        root.stride = elements;
      }
    }
  }

  // The root without a parent that a root is a part of.
  int Top(int root) const { return tops_[static_cast<size_t>(root)]; }

  void FindLifetimes() {
    first_use_.assign(shapes_.size(), Count());
    last_use_.assign(shapes_.size(), -1);
    for (int value = 0; value < Count(); ++value) {
      if (Root(value).kind == RootKind::kUnused) continue;
      const auto top = static_cast<size_t>(Top(At(value).root));
      first_use_[top] = std::min(first_use_[top], value);
      last_use_[top] = std::max(last_use_[top], value);
      if (!IsNode(value)) continue;
      for (const int in : OperandsOf(NodeOf(value))) {
        const auto used = static_cast<size_t>(Top(At(in).root));
        last_use_[used] = std::max(last_use_[used], value);
      }
    }
    for (const GraphOutput& output : graph_.outputs) {
      last_use_[static_cast<size_t>(Top(At(output.value).root))] = Count();
    }
  }

  // Whether a node may write over its first operand.
  bool OverOperand(int value) {
    const Node& node = NodeOf(value);
    switch (node.op) {
      case Op::kUnary:
      case Op::kBinary:
      case Op::kWhere:
      case Op::kSoftmax:
      case Op::kLayerNorm:
        break;
      default:
        return false;
    }
    const ValuePlace& x = At(node.in[0]);
    const RootPlace& from = Root(x.root);
    const int64_t elements = ShapeOf(value).elements;
    if (from.kind != RootKind::kScratch || from.parent >= 0 || x.offset != 0 ||
        ShapeOf(node.in[0]).elements != elements || ShapeOf(x.root).elements != elements ||
        from.stride != Root(value).stride || last_use_[static_cast<size_t>(x.root)] != value) {
      return false;
    }
    return std::all_of(node.in.begin() + 1, node.in.end(), [&](int other) {
      const ValuePlace& place = At(other);
      if (Top(place.root) != x.root) return true;
      return place.offset == 0 && ShapeOf(other).elements == elements;
    });
  }

  // Offsets of all roots for blocks of `rows`. The result is the memory of a thread.
  int64_t Allocate(int64_t rows) {
    Ranges scratch;
    int64_t shared = 0;
    std::vector<std::vector<int>> ending(shapes_.size() + 1);
    std::vector<bool> taken_over(shapes_.size());
    for (int value = 0; value < Count(); ++value) {
      const RootPlace& root = Root(value);
      if (At(value).root == value && root.parent < 0 &&
          (root.kind == RootKind::kFixed || root.kind == RootKind::kShared)) {
        Root(value).offset = shared;
        shared += RoundUp(ShapeOf(value).elements);
      }
      // Whatever begins here: the value itself or the concatenation that it is a part of.
      const int top = Top(At(value).root);
      if (Root(top).kind == RootKind::kScratch && first_use_[static_cast<size_t>(top)] == value) {
        const int64_t size = RoundUp(Root(top).stride * rows);
        if (top == value && IsNode(value) && OverOperand(value)) {
          const int from = At(NodeOf(value).in[0]).root;
          Root(top).offset = Root(from).offset;
          taken_over[static_cast<size_t>(from)] = true;
        } else {
          Root(top).offset = scratch.Take(size);
        }
        ending[static_cast<size_t>(last_use_[static_cast<size_t>(top)])].push_back(top);
      }
      for (const int ended : ending[static_cast<size_t>(value)]) {
        if (taken_over[static_cast<size_t>(ended)]) continue;
        scratch.Give(Root(ended).offset, RoundUp(Root(ended).stride * rows));
      }
    }
    layout_.shared_elements = shared;
    return scratch.end();
  }

  const Graph& graph_;
  const std::vector<ValueShape>& shapes_;
  int first_constant_;
  int first_node_;
  std::vector<bool> used_;
  std::vector<int> tops_;       // by root
  std::vector<int> first_use_;  // by root without a parent: value numbers
  std::vector<int> last_use_;
  Layout layout_;
};

}  // namespace

Layout LayOut(const Graph& graph, const std::vector<ValueShape>& shapes, int64_t block_limit) {
  return Layouter(graph, shapes).Run(block_limit);
}

}  // namespace gyrfalcon::fused
