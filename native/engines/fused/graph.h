// A fused graph as plain data, after validation of what does not depend on sizes. Meaning and rules
// of every field: docs/fused-format.md. graph_reader.h reads it; shapes.h infers its shapes.
#ifndef GYRFALCON_ENGINES_FUSED_GRAPH_H_
#define GYRFALCON_ENGINES_FUSED_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/model_spec.h"

namespace gyrfalcon::fused {

enum class ActFn : uint8_t {
  kNone,
  kRelu,
  kSigmoid,
  kTanh,
  kExp,
  kLog,
  kSqrt,
  kRsqrt,
  kNeg,
  kAbs,
  kReciprocal,
  kSquare,
  kErf,
  kSign,
  kNot,
  kFloor,
  kCeil,
  kRound,
  kSoftplus,
  kSoftsign,
  kSilu,
  kGelu,
  kGeluTanh,
  kHardSwish,
  kMish,
  kCos,
  kSin,
  kLeakyRelu,
  kElu,
  kCelu,
  kThresholdedRelu,
  kHardSigmoid,
  kSelu,
  kClip,
  kAffine,
  kPrelu,
  kDice
};

// `alpha` and `beta` are the act's numbers; clip: alpha = min (or -inf), beta = max (or inf).
// Constants are value numbers or -1.
struct Act {
  ActFn fn = ActFn::kNone;
  float alpha = 0.0f;
  float beta = 0.0f;
  int slope = -1;  // prelu; dice: its alpha
  int scale = -1;  // dice
  int shift = -1;  // dice
};

enum class BinaryFn : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kPow,
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kAnd,
  kOr,
  kXor
};

enum class ReduceFn : uint8_t { kSum, kMean, kMax, kMin, kSumSq, kL2, kL1, kProd, kLogSumExp };

enum class Op : uint8_t {
  kLinear,
  kMatmul,
  kPairwiseDot,
  kUnary,
  kBinary,
  kWhere,
  kReduce,
  kSoftmax,
  kLayerNorm,
  kConcat,
  kSlice,
  kGather,
  kReshape,
  kTranspose,
  kExpand,
  kIota
};

struct Node {
  Op op = Op::kUnary;
  std::vector<int> in;  // value numbers
  Act act;              // linear, unary, binary
  Act post;             // linear
  int bias = -1;        // linear
  int mul = -1;         // linear
  int add = -1;         // linear
  int x_scale = -1;     // linear: a constant
  int gamma = -1;       // layer_norm
  int beta = -1;        // layer_norm
  BinaryFn binary = BinaryFn::kAdd;
  ReduceFn reduce = ReduceFn::kSum;
  bool ta = false;               // matmul
  bool tb = false;               // matmul
  bool keep = false;             // reduce
  bool log = false;              // softmax
  bool rms = false;              // layer_norm
  float scale = 1.0f;            // matmul
  float eps = 0.0f;              // layer_norm
  int axis = 0;                  // softmax, concat, slice, gather
  std::vector<int> axes;         // reduce: axes; transpose: perm; layer_norm: one entry, how many
  int64_t start = 0;             // slice
  int64_t step = 1;              // slice
  Extent size;                   // slice, iota
  std::vector<int32_t> indices;  // pairwise_dot: pairs; gather
  Shape shape;                   // reshape (kUnknown: -1), expand; inner extents
};

struct GraphInput {
  std::string name;
  Dtype dtype = Dtype::kF32;
  bool batched = true;
  Shape shape;  // inner
};

struct GraphConstant {
  std::string name;
  std::vector<int64_t> shape;
  const float* data = nullptr;  // [product of shape], 64-byte aligned, owned by the graph's weights
};

struct GraphOutput {
  std::string name;
  int value = -1;
  Shape shape;  // inner
};

// Value numbers: inputs, then constants, then nodes.
struct Graph {
  std::vector<GraphInput> inputs;
  std::vector<GraphConstant> constants;
  std::vector<Node> nodes;
  std::vector<GraphOutput> outputs;
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GRAPH_H_
