// A graph made ready to run for given sizes and bound memory: steps in flat arrays.
#ifndef GYRFALCON_ENGINES_FUSED_PLAN_H_
#define GYRFALCON_ENGINES_FUSED_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "engines/fused/graph.h"
#include "engines/fused/layout.h"
#include "engines/fused/shapes.h"
#include "engines/fused/steps.h"

namespace gyrfalcon::fused {

inline constexpr int64_t kMaxBlockRows = 64;
inline constexpr size_t kMaxScratchBytes = size_t{16} << 30;

// What a plan needs to know besides the graph.
struct PlanInputs {
  const Graph* graph = nullptr;
  const OpKernels* ops = nullptr;
  const std::vector<PackedWeights>* weights = nullptr;  // by constant; k == 0: not packed
  std::vector<std::byte*> inputs;                       // bound memory, by input
  std::vector<std::byte*> outputs;
  int64_t block_limit = kMaxBlockRows;
};

struct Plan {
  Layout layout;
  std::vector<Step> fixed;    // once, when the context is made
  std::vector<Step> shared;   // once a run, before the blocks
  std::vector<Step> blocks;   // for each block of rows
  size_t aux_bytes = 0;       // of each thread
  double row_operations = 0;  // multiplications and additions, roughly, of one row
  double weight_bytes = 0;    // that every block reads
  double shared_bytes = 0;    // of them, in steps that have parts
  int64_t least_rows = 1;     // of a block that is worth a thread
  // What steps point to.
  std::deque<std::vector<PairTile>> tiles;
  std::deque<std::vector<Operand>> parts;
  std::deque<std::vector<int64_t>> part_rows;
};

// Everything but where the shared memory is. kLimitExceeded: a thread's memory is over 16 GiB.
Result<Plan> MakePlan(const PlanInputs& inputs, const std::vector<ValueShape>& shapes);

// Says where Layout::shared_elements floats are; before any step runs.
void PlaceShared(Plan* plan, float* memory);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_PLAN_H_
