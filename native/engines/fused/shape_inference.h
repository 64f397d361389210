// How InferShapes goes through a graph. Its members are in shapes.cc, but for products
// (shapes_products.cc) and operators that move elements (shapes_moves.cc).
#ifndef GYRFALCON_ENGINES_FUSED_SHAPE_INFERENCE_H_
#define GYRFALCON_ENGINES_FUSED_SHAPE_INFERENCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/status.h"
#include "engines/fused/graph.h"
#include "engines/fused/shapes.h"

namespace gyrfalcon::fused {

// For messages: "[2, 3]".
std::string DimsText(const std::vector<int64_t>& dims);

class ShapeInference {
 public:
  using Dims = std::vector<int64_t>;

  ShapeInference(const Graph& graph, const std::vector<int64_t>& symbols)
      : graph_(graph), symbols_(symbols) {}

  // Once.
  Result<std::vector<ValueShape>> Run();

 private:
  int64_t Resolve(const Extent& extent) const {
    return extent.kind == Extent::Kind::kSymbol ? symbols_[static_cast<size_t>(extent.symbol)]
                                                : extent.value;
  }
  Dims Resolve(const Shape& shape) const;

  const ValueShape& Value(int number) const { return values_[static_cast<size_t>(number)]; }
  const Dims& DimsOf(int number) const { return Value(number).dims; }

  // kBundleInvalid, naming the place that is being read.
  Status Invalid(const std::string& expected, const std::string& received) const;
  // The next value's shape, within the limits.
  Status Add(Dims dims, bool batched);
  Status Broadcast(const Dims& a, const Dims& b, Dims* out) const;
  // A constant (or -1) has an element for each column, or one for all.
  Status CheckColumns(int constant, int64_t columns, bool or_one) const;
  // The constants of an act against the last axis of what it is applied to.
  Status CheckAct(const Act& act, const Dims& dims) const;
  Status CheckAxis(size_t axis, const Dims& dims) const;

  Status Linear(const Node& node);
  Status Matmul(const Node& node);
  Status Pairwise(const Node& node);
  Status Reduce(const Node& node);
  Status LayerNorm(const Node& node);
  Status Concat(const Node& node);
  Status Slice(const Node& node);
  Status Gather(const Node& node);
  Status Reshape(const Node& node);
  Status Transpose(const Node& node);
  Status Expand(const Node& node);
  Status Elementwise(const Node& node);
  Status InferNode(const Node& node);
  Status CheckOutput(const GraphOutput& output) const;

  const Graph& graph_;
  const std::vector<int64_t>& symbols_;
  std::vector<ValueShape> values_;
  std::string at_ = "constants";  // for messages: what is being read
  bool batched_ = false;          // an operand of the node is
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_SHAPE_INFERENCE_H_
