// What stands behind packed weights: one kernel for each instruction set and precision, and the
// layout that it reads. Compiled without ISA flags, like everything the ISA files call.
//
// Layout of [k, n] weights: columns are grouped in panels of `panel`, k in groups of `unit`.
//   panel p, group g: [panel][unit] elements, of columns p·panel … and k = g·unit …; what lies
//                     outside of the matrix is zero; panels are PanelBytes apart
//   8-bit elements:   after the panels, f32 scale [columns] and f32 sum [columns], where columns is
//                     n rounded up to panels: w ≈ scale·q, sum = scale·Σq; where x becomes 8 bits
//                     wide, then f32 [k] by which x is multiplied first
//   narrow (n <= kNarrow): f32 [n][k rounded up to kNarrowUnit] instead, one column after another
#ifndef GYRFALCON_ENGINES_FUSED_GEMM_GEMM_KERNEL_H_
#define GYRFALCON_ENGINES_FUSED_GEMM_GEMM_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "backends/cpu/dispatch.h"
#include "engines/fused/gemm/gemm.h"

namespace gyrfalcon::fused {

inline constexpr int64_t kNarrow = 4;
inline constexpr int64_t kNarrowUnit = 16;
inline constexpr int64_t kShallow = 32;  // k up to here: bf16 instead of int8

enum class WeightElement : uint8_t { kF32, kBf16, kInt8 };

// What a kernel reads for x: the caller's floats, or a copy in scratch, rows XRowBytes apart.
enum class XElement : uint8_t {
  kF32,   // in place
  kBf16,  // k rounded up to the unit, zeros behind
  kUint8  // the same; then, after all rows, f32 scale [m] and f32 low [m]: x ≈ scale·q + low
};

struct GemmKernel {
  const char* name;
  WeightElement weight;
  XElement x;
  int panel;
  int unit;
  void (*run)(const GemmArgs& args);
};

// No default member initialisers: see backends/cpu/lookup_plan.h.
struct WeightLayout {
  int64_t groups;      // of k
  int64_t columns;     // n rounded up to panels
  size_t group_bytes;  // of one panel
  size_t panel_bytes;
  size_t scale_offset;
  size_t sum_offset;
  size_t inverse_offset;
  size_t bytes;
};

WeightLayout LayoutOf(const GemmKernel& kernel, int64_t k, int64_t n);

struct XLayout {
  size_t row_bytes;
  size_t scale_offset;
  size_t low_offset;
  size_t bytes;
};

XLayout XLayoutOf(const GemmKernel& kernel, int64_t k, int64_t m);

extern const GemmKernel kReferenceF32;
extern const GemmKernel kReferenceBf16;
extern const GemmKernel kReferenceInt8;
extern const GemmKernel kPortableF32;
extern const GemmKernel kPortableBf16;
extern const GemmKernel kPortableInt8;
#if defined(__x86_64__)
extern const GemmKernel kAvx2F32;
extern const GemmKernel kAvx2Bf16;
extern const GemmKernel kAvx2Int8;
extern const GemmKernel kAvx512F32;
extern const GemmKernel kAvx512Bf16;
extern const GemmKernel kAvx512Int8;
extern const GemmKernel kAvx512Bf16Dot;
extern const GemmKernel kAvx512Int8Dot;
#elif defined(__aarch64__)
extern const GemmKernel kNeonF32;
extern const GemmKernel kNeonBf16;
extern const GemmKernel kNeonInt8;
#endif

// What AvailableGemmKernels would say of another CPU.
std::vector<GemmKernels> ChooseGemmKernels(const CpuFeatures& cpu);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_KERNEL_H_
