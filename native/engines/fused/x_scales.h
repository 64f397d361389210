// The x_scale constants of a graph's linear nodes: how large each element of their x tends to be.
#ifndef GYRFALCON_ENGINES_FUSED_X_SCALES_H_
#define GYRFALCON_ENGINES_FUSED_X_SCALES_H_

#include <vector>

#include "core/status.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

// By constant: the scale [k] of the x that weights [k, n] are multiplied with, or null.
//
// kBundleInvalid: a number is not within 2^-64 … 2^64, or two nodes that share their weights do not
// share the scale.
Result<std::vector<const float*>> FindXScales(const Graph& graph);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_X_SCALES_H_
