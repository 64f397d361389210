// The inner shape of every value of a graph, for given sizes of its symbols.
#ifndef GYRFALCON_ENGINES_FUSED_SHAPES_H_
#define GYRFALCON_ENGINES_FUSED_SHAPES_H_

#include <cstdint>
#include <vector>

#include "core/status.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

struct ValueShape {
  std::vector<int64_t> dims;  // inner
  bool batched = false;
  int64_t elements = 1;  // product of dims
};

// One entry for each value. `symbols` has a size >= 1 for each symbol that the graph uses.
//
// kBundleInvalid: operands do not fit an operator; names the node. kLimitExceeded: a value has more
// than kMaxElementsPerRow elements.
Result<std::vector<ValueShape>> InferShapes(const Graph& graph,
                                            const std::vector<int64_t>& symbols);

// Where element 0 of a slice is, counted from the start of the axis.
int64_t SliceStart(const Node& node, int64_t extent);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_SHAPES_H_
