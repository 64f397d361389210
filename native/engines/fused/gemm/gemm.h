// Matrix products with packed constant weights: y = post(act(x·w + bias) ∘ mul + add).
//
// PackedWeights is made once at load, for one instruction set and one precision; GemmKernels::run
// is then called by any number of threads. Precision:
//   kF32   f32 weights, f32 products and sums
//   kBf16  weights rounded to bf16 (to nearest even); where the instruction set has a bf16 dot
//          product, x is rounded too; sums in f32
//   kInt8  weights rounded to 8 bits per output column, x to 8 bits per row as it comes
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/arena.h"
#include "core/status.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

enum class Precision : uint8_t { kF32, kBf16, kInt8 };

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

// What happens to a product before it is stored. `mul` and `add` are matrices like the result, with
// their own row strides; a column count of 1 is broadcast along the row.
struct Epilogue {
  const float* bias = nullptr;  // [N] or null
  ResolvedAct act;
  const float* mul = nullptr;
  int64_t mul_stride = 0;  // floats between rows
  bool mul_is_column = false;
  const float* add = nullptr;
  int64_t add_stride = 0;
  bool add_is_column = false;
  ResolvedAct post;
};

struct GemmKernels;

struct PackedWeights {
  int64_t k = 0;
  int64_t n = 0;
  Precision precision = Precision::kF32;
  const GemmKernels* kernels = nullptr;  // those that packed it; only they can read it
  std::shared_ptr<Arena> memory;         // layout: the kernels' own
};

struct GemmArgs {
  const PackedWeights* weights = nullptr;
  const float* x = nullptr;  // [m, k], rows x_stride floats apart
  int64_t x_stride = 0;
  int64_t m = 0;
  float* y = nullptr;  // [m, n], rows y_stride floats apart; overlaps neither x nor mul nor add
  int64_t y_stride = 0;
  const Epilogue* epilogue = nullptr;  // never null
  void* scratch = nullptr;             // scratch_bytes(weights, m), 64-byte aligned
};

// One implementation for one instruction set.
struct GemmKernels {
  std::string_view name;  // "reference", "portable", "avx2", "avx512", "avx512_bf16", "neon"
  // w is [k, n], row-major. kOutOfMemory; precisions that an instruction set has no fast path for
  // are computed another way with the same result up to rounding, never refused.
  Result<PackedWeights> (*pack)(const float* w, int64_t k, int64_t n, Precision precision);
  size_t (*scratch_bytes)(const PackedWeights& weights, int64_t m);
  void (*run)(const GemmArgs& args);
};

// Those that this CPU can run, best first; "reference" is always last. GYRFALCON_CPU_ISA applies as
// for lookups (ActiveGemmKernels is then null when it names what cannot run here).
const std::vector<const GemmKernels*>& AvailableGemmKernels();
const GemmKernels* ActiveGemmKernels();

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_H_
