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
//   for tiles (Tiles::kPanels): panels end where a tile ends: k is rounded up to kTileBytes
//   in parts (Tiles::kParts): behind all panels of f32 the same weights as sums of kParts bf16
//                     numbers, for each panel [k / kPartsDepth][kParts][panel / 16] tiles of 1 KB
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

// Behind the last column that a call computes.
int64_t EndColumn(const GemmArgs& args);

// Whether a kernel multiplies tiles: 16 rows of 64 bytes, as AMX does.
enum class Tiles : uint8_t {
  kNone,
  kPanels,  // x in tiles of its own elements, weights where the panels are
  kParts    // x and weights are f32, and tiles hold their bf16 parts
};

inline constexpr int64_t kTileRows = 16;
inline constexpr int64_t kTileBytes = 64;  // of a row
inline constexpr int64_t kParts = 3;       // 8 bits of mantissa each: f32 has 24
inline constexpr int64_t kPartsDepth = 32;

struct GemmKernel {
  const char* name;
  WeightElement weight;
  XElement x;
  int panel;
  int unit;
  void (*run)(const GemmArgs& args);
  Tiles tiles = Tiles::kNone;
  const GemmKernel* plain = nullptr;  // of tiles: reads the same panels, for what they are not for
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
  size_t parts_offset;
  size_t parts_panel_bytes;
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

// x in tiles: [tiles][steps][parts][rows] of kTileBytes, each step of the next `depth` of k. All
// tiles have as many rows, so that one configuration serves them; the last rows may be no rows of
// x, and hold anything.
struct XTiles {
  int64_t rows;   // of a tile: at most kTileRows
  int64_t tiles;  // 1, or even: two at a time share what is loaded of the weights
  int64_t steps;
  int64_t depth;
  int64_t parts;
  size_t scale_offset;  // as in XLayout
  size_t low_offset;
  size_t bytes;
};

// Rows of x beyond these wait for the next block: there may be thousands, of a sequence say.
inline constexpr int64_t kTileBlockRows = 64;

// 1 <= m <= kTileBlockRows.
XTiles XTilesOf(const GemmKernel& kernel, int64_t k, int64_t m);

// Whether x is the sum of its bf16 parts, up to what f32 cannot tell from zero: it is a number, and
// rounding it does not overflow.
bool HasParts(float x);

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
extern const GemmKernel kAmxF32;
extern const GemmKernel kAmxBf16;
extern const GemmKernel kAmxInt8;
#elif defined(__aarch64__)
extern const GemmKernel kNeonF32;
extern const GemmKernel kNeonBf16;
extern const GemmKernel kNeonInt8;
#endif

// What AvailableGemmKernels would say of another CPU.
std::vector<GemmKernels> ChooseGemmKernels(const CpuFeatures& cpu);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GEMM_GEMM_KERNEL_H_
