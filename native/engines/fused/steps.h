// What a plan is made of: steps in a flat array, each with a function that does it for a block of
// rows. plan.h makes them.
#ifndef GYRFALCON_ENGINES_FUSED_STEPS_H_
#define GYRFALCON_ENGINES_FUSED_STEPS_H_

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/ops/ops.h"

namespace gyrfalcon::fused {

inline constexpr int kMaxLoops = 8;

// A block of rows and one thread's memory.
struct Frame {
  float* scratch = nullptr;
  std::byte* aux = nullptr;  // of the step at hand
  int64_t row = 0;           // first of the block
  int64_t rows = 0;
  int64_t run_rows = 0;  // of all blocks
  int64_t part = 0;      // of a step whose columns threads share: this one of so many
  int64_t parts = 1;
};

// Where the rows of a value are.
struct Operand {
  std::byte* base = nullptr;  // null: the frame's scratch
  int64_t offset = 0;         // elements
  int64_t stride = 0;         // elements between rows; 0: one for all
  bool bound = false;         // base is a batch's memory: its rows begin at row 0 of the batch
};

inline float* At(const Operand& operand, const Frame& frame) {
  float* const base =
      operand.base == nullptr ? frame.scratch : reinterpret_cast<float*>(operand.base);
  return base + operand.offset + (operand.bound ? operand.stride * frame.row : 0);
}

// One row of an elementwise operation: `rank` loops around vectors of n elements, y contiguous.
struct Loops {
  int rank = 0;
  int64_t extent[kMaxLoops] = {};
  int64_t stride[3][kMaxLoops] = {};  // of the operands
  int64_t n = 1;
  int64_t step[3] = {};  // of the operands along n; elementwise: 0 or 1
};

struct Step {
  void (*run)(const Step& step, const Frame& frame) = nullptr;
  const OpKernels* ops = nullptr;
  int node = -1;  // that it belongs to; -1: the conversion or copy of an input or output
  Operand y;
  Operand in[3];
  Loops loops;
  ResolvedAct act;
  Epilogue epilogue;
  const PackedWeights* weights = nullptr;
  int64_t most_parts = 1;  // linear: into so many parts its columns can be divided
  BinaryFn binary = BinaryFn::kAdd;
  ReduceFn reduce = ReduceFn::kSum;
  Dtype dtype = Dtype::kF32;
  bool flag = false;    // softmax: log; layer_norm: rms
  float number = 0.0f;  // layer_norm: eps; matmul: scale
  int64_t outer = 1;    // groups in a row
  int64_t count = 1;    // linear: rows of x; reductions: reduced extent
  int64_t m = 0;        // matmul
  int64_t k = 0;
  int64_t n = 0;  // elements of a vector
  int64_t a_row = 0;
  int64_t a_k = 0;
  int64_t b_k = 0;
  int64_t b_column = 0;
  const float* gamma = nullptr;
  const float* beta = nullptr;
  const int32_t* indices = nullptr;
  const PairTile* tiles = nullptr;
  const Operand* parts = nullptr;  // pairwise_dot: operands, and how many rows each has
  const int64_t* part_rows = nullptr;
};

void RunConvert(const Step& step, const Frame& frame);
void RunLinear(const Step& step, const Frame& frame);
void RunUnary(const Step& step, const Frame& frame);
void RunBinary(const Step& step, const Frame& frame);
void RunWhere(const Step& step, const Frame& frame);
void RunReduce(const Step& step, const Frame& frame);
void RunReduceMoved(const Step& step, const Frame& frame);  // loops say how x is read first
void RunSoftmax(const Step& step, const Frame& frame);
void RunLayerNorm(const Step& step, const Frame& frame);
void RunMatmul(const Step& step, const Frame& frame);
void RunPairwise(const Step& step, const Frame& frame);
void RunCopy(const Step& step, const Frame& frame);   // strided to contiguous, by loops
void RunPlace(const Step& step, const Frame& frame);  // `outer` runs of n, k apart in y
void RunGather(const Step& step, const Frame& frame);
void RunIota(const Step& step, const Frame& frame);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_STEPS_H_
