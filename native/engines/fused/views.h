// Which results are elements of an operand as they lie.
#ifndef GYRFALCON_ENGINES_FUSED_VIEWS_H_
#define GYRFALCON_ENGINES_FUSED_VIEWS_H_

#include <cstdint>
#include <vector>

#include "engines/fused/graph.h"
#include "engines/fused/shapes.h"

namespace gyrfalcon::fused {

// Whether nothing but extents of 1 is in front of an axis.
bool Leads(const ValueShape& shape, int axis);

// The element of its first operand at which a node's result `value` begins, or -1.
int64_t ViewOffset(const Node& node, const std::vector<ValueShape>& shapes, int value);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_VIEWS_H_
