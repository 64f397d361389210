// The kernels of the fused engine besides products with packed weights (gemm/gemm.h): one table of
// functions for each instruction set. `ops_reference.cc` is the specification, in plain loops.
//
// Vectors are contiguous floats; lengths may be 0 unless said otherwise; y may be x (elementwise
// and softmax, layer_norm) but must not overlap it otherwise. Transcendental functions are within 4
// ulp of the exact value, or 2e-7 where the result is small against 1 (erf, tanh, gelu, softplus).
#ifndef GYRFALCON_ENGINES_FUSED_OPS_OPS_H_
#define GYRFALCON_ENGINES_FUSED_OPS_OPS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "engines/fused/gemm/gemm.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

// No default member initialisers in this file: see backends/cpu/lookup_plan.h.

// One matrix product c = scale · a·b. Element (i, k) of a is a[i·a_row + k·a_k]; of b, (k, j) is
// b[k·b_k + j·b_column], one of b_k and b_column being 1. c is [m, n], contiguous.
struct MatmulArgs {
  const float* a;
  int64_t a_row;
  int64_t a_k;
  const float* b;
  int64_t b_k;
  int64_t b_column;
  float* c;
  int64_t m;
  int64_t k;
  int64_t n;
  float scale;
};

// Dot products of a tile of 4 × 4 rows: result (i, j) goes to y[place[4i + j]], or nowhere if that
// is negative.
struct PairTile {
  int32_t left[4];
  int32_t right[4];
  int32_t place[16];
  bool in_a_row[4];  // results (i, 0) … (i, 3) go to one place after another
};

struct PairwiseArgs {
  const float* const* rows;  // [F] rows of d floats
  int64_t d;
  const PairTile* tiles;
  int64_t num_tiles;
  float* y;
};

// a_step, b_step, …: 1, or 0 for one value that serves all elements.
struct OpKernels {
  const char* name;  // "reference", "portable", "avx2", "avx512", "neon"
  // Constants of prelu and dice point to [n].
  void (*unary)(const ResolvedAct& act, const float* x, float* y, int64_t n);
  void (*binary)(BinaryFn fn, const float* a, int64_t a_step, const float* b, int64_t b_step,
                 float* y, int64_t n);
  void (*where)(const float* c, int64_t c_step, const float* a, int64_t a_step, const float* b,
                int64_t b_step, float* y, int64_t n);
  float (*reduce)(ReduceFn fn, const float* x, int64_t n);  // n >= 1
  // Over the rows of x [count, n], count >= 1.
  void (*reduce_rows)(ReduceFn fn, const float* x, int64_t count, int64_t n, float* y);
  // n >= 1; what is less than e^-87 of the largest element's share may be 0.
  void (*softmax)(const float* x, float* y, int64_t n, bool log);
  void (*softmax_rows)(const float* x, float* y, int64_t count, int64_t n, bool log);
  // gamma, beta: [n] or null.
  void (*layer_norm)(const float* x, float* y, int64_t n, const float* gamma, const float* beta,
                     float eps, bool rms);
  void (*matmul)(const MatmulArgs& args);
  void (*pairwise)(const PairwiseArgs& args);
};

// What this CPU can run, best first; "portable" and "reference" are always last.
const std::vector<OpKernels>& AvailableOpKernels();

// The best, or what GYRFALCON_CPU_ISA names ("scalar" means "portable"); null when that cannot run
// here.
const OpKernels* ActiveOpKernels();

extern const OpKernels kReferenceOps;
extern const OpKernels kPortableOps;
#if defined(__x86_64__)
extern const OpKernels kAvx2Ops;
extern const OpKernels kAvx512Ops;
#elif defined(__aarch64__)
extern const OpKernels kNeonOps;
#endif

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_OPS_H_
