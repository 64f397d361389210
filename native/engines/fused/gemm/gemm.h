// Matrix products with packed constant weights: y = post(act(x·w + bias) ∘ mul + add).
//
// Weights are packed once, at load, for one instruction set and one precision; RunGemm may then be
// called by any number of threads. Precision:
//   kF32   f32 weights, products and sums
//   kBf16  weights rounded to bf16 (to nearest even), sums in f32; x is rounded too where the CPU
//          has a bf16 dot product
//   kInt8  weights rounded to 8 bits, symmetrically per output column; x to 8 bits per row, as it
//          comes, where the CPU has an 8-bit dot product: between the row's smallest and largest
//          element, after a division by x_scale
// A product with few columns is computed in f32 whatever was asked: nothing would be gained. One
// with few rows of weights is computed in bf16 instead of int8: it is as fast, and these are a
// model's first products, whose x may mix counts in millions with shares below 1.
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/model_spec.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

// An act with its constants resolved: slope, scale, shift point to [N] or are null; a slope of one
// element is in `alpha` and has fn kLeakyRelu.
struct ResolvedAct {
  ActFn fn = ActFn::kNone;
  float alpha = 0.0f;
  float beta = 0.0f;
  const float* slope = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
};

// Whether an epilogue can contain the act. The others cost far more than a pass over the result;
// the caller makes that pass.
bool GemmFuses(ActFn fn);  // kNone, kRelu, kLeakyRelu, kPrelu, kClip

// What happens to a product before it is stored. `mul` and `add` are matrices like the result, with
// their own row strides (0: the same row for all), or columns that are broadcast along the row.
struct Epilogue {
  const float* bias = nullptr;  // [n] or null
  ResolvedAct act;
  const float* mul = nullptr;  // [m, n], or [m, 1] when mul_is_column; or null
  int64_t mul_stride = 0;      // floats between rows
  bool mul_is_column = false;
  const float* add = nullptr;
  int64_t add_stride = 0;
  bool add_is_column = false;
  ResolvedAct post;
};

struct GemmKernel;

// Made by PackWeights; owns nothing.
struct PackedWeights {
  int64_t k = 0;
  int64_t n = 0;
  const GemmKernel* kernel = nullptr;  // reads `data`; its layout is nobody else's business
  const std::byte* data = nullptr;     // 64-byte aligned
  const float* x_inverse = nullptr;    // [k], in `data`: x is multiplied by it before it becomes
                                       // 8 bits wide; null: by nothing
};

struct GemmArgs {
  const PackedWeights* weights = nullptr;
  const float* x = nullptr;  // [m, k], rows x_stride floats apart
  int64_t x_stride = 0;
  int64_t m = 0;
  float* y = nullptr;  // [m, n], rows y_stride floats apart; overlaps none of the others
  int64_t y_stride = 0;
  const Epilogue* epilogue = nullptr;  // never null; its acts are fused ones
  std::byte* scratch = nullptr;        // GemmScratchBytes(*weights, m), 64-byte aligned
  // Of the run that these rows are a block of; below m: m. Kernels that sum few rows in another
  // order than many decide by it, so that blocks and threads do not change results.
  int64_t run_rows = 0;
  // Columns of the result that this call computes, for threads that share a product; the first is a
  // multiple of kColumnUnit, and so is their number, unless they are the last. Products of up to
  // kColumnUnit columns are not divided. 0 columns: all.
  int64_t first_column = 0;
  int64_t columns = 0;
};

inline constexpr int64_t kColumnUnit = 64;

// The kernels of one instruction set, one for each precision.
struct GemmKernels {
  std::string_view name;  // "reference", "portable", "avx2", "avx512", "neon"
  const GemmKernel* f32 = nullptr;
  const GemmKernel* bf16 = nullptr;
  const GemmKernel* int8 = nullptr;
};

// What this CPU can run, best first; "portable" and "reference" are always last.
const std::vector<GemmKernels>& AvailableGemmKernels();

// The best, or what GYRFALCON_CPU_ISA names ("scalar" means "portable"); null when that cannot run
// here.
const GemmKernels* ActiveGemmKernels();

// Bytes that the packed form of [k, n] weights takes. k and n are at least 1.
size_t PackedBytes(const GemmKernels& kernels, int64_t k, int64_t n, Precision precision);

// w is [k, n], row-major. `memory` has PackedBytes, is 64-byte aligned and outlives the result.
// x_scale is [k], above 0, or null: how large each element of x tends to be. It never changes what
// is computed, only what is rounded; kernels that keep x as it is do not use it.
PackedWeights PackWeights(const GemmKernels& kernels, const float* w, int64_t k, int64_t n,
                          Precision precision, std::byte* memory, const float* x_scale = nullptr);

size_t GemmScratchBytes(const PackedWeights& weights, int64_t m);

// Bytes of weights that a run reads, about.
size_t WeightBytes(const PackedWeights& weights);

// Fewer rows than these take about as long: a run is not divided into smaller blocks.
int64_t LeastBlockRows(const PackedWeights& weights);

void RunGemm(const GemmArgs& args);

// What computes these weights, for reports: "f32", "bf16", "bf16 dot", "int8", "int8 dot".
std::string_view GemmKernelName(const PackedWeights& weights);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_
