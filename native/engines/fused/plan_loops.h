// Loops of a step over shapes: broadcasting, strided copies, batches of matrices. Axes that lie one
// after another in all operands become one.
#ifndef GYRFALCON_ENGINES_FUSED_PLAN_LOOPS_H_
#define GYRFALCON_ENGINES_FUSED_PLAN_LOOPS_H_

#include <cstdint>
#include <vector>

#include "engines/fused/steps.h"

namespace gyrfalcon::fused {

std::vector<int64_t> ContiguousStrides(const std::vector<int64_t>& dims);

// Of `from`, contiguous, along the axes of `to`: 0 where it is broadcast.
std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& to,
                                      const std::vector<int64_t>& from);

// One vector of n elements.
Loops FlatLoops(int64_t n);

// One vector for each run of the last axis.
Loops RowLoops(const std::vector<int64_t>& dims);

// At most three operands; the innermost steps are 0 or 1.
Loops BroadcastLoops(const std::vector<int64_t>& dims,
                     const std::vector<std::vector<int64_t>>& operands);

// One operand with any strides.
Loops StridedLoops(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides);

// Over matrices of a and b with broadcast leading axes; y moves by `elements`.
Loops MatrixLoops(const std::vector<int64_t>& lead, const std::vector<int64_t>& a,
                  const std::vector<int64_t>& b, int64_t elements);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_PLAN_LOOPS_H_
