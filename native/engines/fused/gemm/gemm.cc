#include "engines/fused/gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "backends/row_format.h"
#include "engines/fused/gemm/gemm_kernel.h"

namespace gyrfalcon::fused {
namespace {

constexpr size_t kAlign = 64;

size_t RoundUp(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

int64_t Groups(int64_t count, int64_t unit) { return (count + unit - 1) / unit; }

size_t BytesOf(WeightElement element) {
  switch (element) {
    case WeightElement::kF32:
      return 4;
    case WeightElement::kBf16:
      return 2;
    case WeightElement::kInt8:
      return 1;
  }
  return 4;
}

// Products that are too small for tiles of parts: up to here, all of k fits one tile.
bool IsSmall(int64_t k, int64_t n) { return k <= kShallow || n <= kTileRows; }

const GemmKernel* KernelFor(const GemmKernels& kernels, int64_t k, int64_t n, Precision precision) {
  const GemmKernel* const f32 =
      kernels.f32->tiles == Tiles::kParts && IsSmall(k, n) ? kernels.f32->plain : kernels.f32;
  if (n <= kNarrow) return f32;
  switch (precision) {
    case Precision::kBf16:
      return kernels.bf16;
    case Precision::kInt8:
      return k <= kShallow ? kernels.bf16 : kernels.int8;
    case Precision::kF32:
      break;
  }
  return f32;
}

void PackNarrow(const float* w, int64_t k, int64_t n, std::byte* memory) {
  const int64_t stride = Groups(k, kNarrowUnit) * kNarrowUnit;
  auto* const columns = reinterpret_cast<float*>(memory);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < k; ++i) columns[j * stride + i] = w[i * n + j];
  }
}

// Where element (i, j) goes, in elements from its panel's start.
struct Place {
  int64_t panel;
  size_t offset;
};

Place PlaceOf(const GemmKernel& kernel, int64_t i, int64_t j) {
  const int64_t panel = kernel.panel;
  const int64_t unit = kernel.unit;
  const int64_t offset = (i / unit) * panel * unit + (j % panel) * unit + i % unit;
  return {j / panel, static_cast<size_t>(offset)};
}

// Per column: the largest magnitude becomes 127. x_scale is [k] or null: weights are multiplied by
// what x is divided by.
void PackInt8(const GemmKernel& kernel, const WeightLayout& layout, const float* w, int64_t k,
              int64_t n, const float* x_scale, std::byte* memory) {
  const auto weight = [=](int64_t i, int64_t j) {
    return x_scale == nullptr ? w[i * n + j] : w[i * n + j] * x_scale[i];
  };
  auto* const scales = reinterpret_cast<float*>(memory + layout.scale_offset);
  auto* const sums = reinterpret_cast<float*>(memory + layout.sum_offset);
  for (int64_t j = 0; j < n; ++j) {
    float largest = 0.0f;
    for (int64_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(weight(i, j)));
    const float scale = largest / 127.0f;
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      // A weight that is not a number becomes 0; infinite ones make the scale infinite.
      const float scaled = weight(i, j) * inverse;
      const long rounded = std::isfinite(scaled) ? std::lrint(scaled) : 0;
      const auto q = static_cast<int8_t>(std::clamp(rounded, -127L, 127L));
      sum += q;
      const Place at = PlaceOf(kernel, i, j);
      memory[static_cast<size_t>(at.panel) * layout.panel_bytes + at.offset] =
          static_cast<std::byte>(q);
    }
    scales[j] = scale;
    sums[j] = scale * static_cast<float>(sum);
  }
}

// Calls f(i, first, count, panel) for each row i of the columns [first, first + count) of each
// panel.
template <typename F>
void EachPanelRow(const GemmKernel& kernel, int64_t k, int64_t n, F f) {
  for (int64_t first = 0; first < n; first += kernel.panel) {
    const int64_t count = std::min<int64_t>(kernel.panel, n - first);
    for (int64_t i = 0; i < k; ++i) f(i, first, count, static_cast<size_t>(first / kernel.panel));
  }
}

void PackPanels(const GemmKernel& kernel, const WeightLayout& layout, const float* w, int64_t k,
                int64_t n, std::byte* memory) {
  EachPanelRow(kernel, k, n, [&](int64_t i, int64_t first, int64_t count, size_t panel) {
    const float* const from = w + i * n + first;
    std::byte* const base = memory + panel * layout.panel_bytes;
    const auto offset = static_cast<int64_t>(PlaceOf(kernel, i, first).offset);
    if (kernel.weight == WeightElement::kF32) {
      auto* const to = reinterpret_cast<float*>(base) + offset;
      for (int64_t c = 0; c < count; ++c) to[c * kernel.unit] = from[c];
    } else {
      auto* const to = reinterpret_cast<uint16_t*>(base) + offset;
      for (int64_t c = 0; c < count; ++c) to[c * kernel.unit] = FloatToBFloat16(from[c]);
    }
  });
}

// Behind the panels: for each of them and each kPartsDepth rows, kParts times panel / 16 tiles of
// pairs of rows.
void PackParts(const GemmKernel& kernel, const WeightLayout& layout, const float* w, int64_t k,
               int64_t n, std::byte* memory) {
  constexpr int64_t kRow = kTileBytes / 2;  // numbers
  constexpr int64_t kTile = kTileRows * kRow;
  const int64_t tiles = kernel.panel / kTileRows;
  EachPanelRow(kernel, k, n, [&](int64_t i, int64_t first, int64_t count, size_t panel) {
    const float* const from = w + i * n + first;
    auto* const to = reinterpret_cast<uint16_t*>(memory + layout.parts_offset +
                                                 panel * layout.parts_panel_bytes) +
                     i / kPartsDepth * kParts * tiles * kTile + i % kPartsDepth / 2 * kRow + i % 2;
    for (int64_t c = 0; c < count; ++c) {
      float rest = from[c];
      for (int64_t part = 0; part < kParts; ++part) {
        const uint16_t rounded = FloatToBFloat16(rest);
        to[(part * tiles + c / kTileRows) * kTile + c % kTileRows * 2] = rounded;
        rest -= BFloat16ToFloat(rounded);
      }
    }
  });
}

}  // namespace

bool GemmFuses(ActFn fn) {
  switch (fn) {
    case ActFn::kNone:
    case ActFn::kRelu:
    case ActFn::kLeakyRelu:
    case ActFn::kPrelu:
    case ActFn::kClip:
      return true;
    default:
      return false;
  }
}

WeightLayout LayoutOf(const GemmKernel& kernel, int64_t k, int64_t n) {
  WeightLayout layout{};
  const size_t element = BytesOf(kernel.weight);
  const int64_t panels = Groups(n, kernel.panel);
  layout.groups = Groups(k, kernel.unit);
  layout.columns = panels * kernel.panel;
  layout.group_bytes =
      static_cast<size_t>(kernel.panel) * static_cast<size_t>(kernel.unit) * element;
  const int64_t whole = kernel.tiles == Tiles::kPanels ? kTileRows : 1;
  layout.panel_bytes =
      RoundUp(static_cast<size_t>(Groups(layout.groups, whole) * whole) * layout.group_bytes);
  layout.scale_offset = static_cast<size_t>(panels) * layout.panel_bytes;
  layout.sum_offset = layout.scale_offset;
  layout.bytes = layout.scale_offset;
  if (kernel.weight == WeightElement::kInt8) {
    const size_t column_bytes = RoundUp(static_cast<size_t>(layout.columns) * sizeof(float));
    layout.sum_offset = layout.scale_offset + column_bytes;
    layout.inverse_offset = layout.sum_offset + column_bytes;
    layout.bytes = layout.inverse_offset;
    if (kernel.x == XElement::kUint8)
      layout.bytes += RoundUp(static_cast<size_t>(k) * sizeof(float));
  }
  if (kernel.tiles == Tiles::kParts) {
    const int64_t tiles = Groups(k, kPartsDepth) * kParts * (kernel.panel / kTileRows);
    layout.parts_offset = layout.bytes;
    layout.parts_panel_bytes = static_cast<size_t>(tiles * kTileRows * kTileBytes);
    layout.bytes += static_cast<size_t>(panels) * layout.parts_panel_bytes;
  }
  return layout;
}

XLayout XLayoutOf(const GemmKernel& kernel, int64_t k, int64_t m) {
  XLayout layout{};
  if (kernel.x == XElement::kF32) return layout;
  const auto rows = static_cast<size_t>(m);
  const size_t element = kernel.x == XElement::kBf16 ? 2 : 1;
  const int64_t padded = Groups(k, kernel.unit) * kernel.unit;
  layout.row_bytes = RoundUp(static_cast<size_t>(padded) * element);
  layout.scale_offset = layout.row_bytes * rows;
  layout.low_offset = layout.scale_offset;
  layout.bytes = layout.scale_offset;
  if (kernel.x == XElement::kUint8) {
    const size_t row_floats = RoundUp(rows * sizeof(float));
    layout.low_offset = layout.scale_offset + row_floats;
    layout.bytes = layout.low_offset + row_floats;
  }
  return layout;
}

XTiles XTilesOf(const GemmKernel& kernel, int64_t k, int64_t m) {
  XTiles x{};
  x.parts = kernel.tiles == Tiles::kParts ? kParts : 1;
  x.depth = kernel.tiles == Tiles::kParts ? kPartsDepth : kTileRows * kernel.unit;
  x.steps = Groups(k, x.depth);
  x.tiles = m <= kTileRows ? 1 : 2 * Groups(m, 2 * kTileRows);
  x.rows = Groups(m, x.tiles);
  const auto rows = static_cast<size_t>(x.tiles * x.rows);
  x.scale_offset = rows * static_cast<size_t>(x.steps * x.parts * kTileBytes);
  x.low_offset = x.scale_offset;
  x.bytes = x.scale_offset;
  if (kernel.x == XElement::kUint8) {
    const size_t row_floats = RoundUp(rows * sizeof(float));
    x.low_offset += row_floats;
    x.bytes = x.low_offset + row_floats;
  }
  return x;
}

size_t PackedBytes(const GemmKernels& kernels, int64_t k, int64_t n, Precision precision) {
  if (n <= kNarrow) {
    const int64_t stride = Groups(k, kNarrowUnit) * kNarrowUnit;
    return static_cast<size_t>(stride * n) * sizeof(float);
  }
  return LayoutOf(*KernelFor(kernels, k, n, precision), k, n).bytes;
}

PackedWeights PackWeights(const GemmKernels& kernels, const float* w, int64_t k, int64_t n,
                          Precision precision, std::byte* memory, const float* x_scale) {
  const GemmKernel* const kernel = KernelFor(kernels, k, n, precision);
  std::memset(memory, 0, PackedBytes(kernels, k, n, precision));
  PackedWeights packed{k, n, kernel, memory, nullptr};
  if (n <= kNarrow) {
    PackNarrow(w, k, n, memory);
    return packed;
  }
  const WeightLayout layout = LayoutOf(*kernel, k, n);
  if (kernel->weight != WeightElement::kInt8) {
    PackPanels(*kernel, layout, w, k, n, memory);
    if (kernel->tiles == Tiles::kParts) {
      if (std::all_of(w, w + k * n, HasParts)) {
        PackParts(*kernel, layout, w, k, n, memory);
      } else {
        packed.kernel = kernel->plain;
      }
    }
    return packed;
  }
  if (kernel->x != XElement::kUint8) x_scale = nullptr;
  PackInt8(*kernel, layout, w, k, n, x_scale, memory);
  if (x_scale != nullptr) {
    auto* const inverse = reinterpret_cast<float*>(memory + layout.inverse_offset);
    for (int64_t i = 0; i < k; ++i) inverse[i] = 1.0f / x_scale[i];
    packed.x_inverse = inverse;
  }
  return packed;
}

size_t GemmScratchBytes(const PackedWeights& weights, int64_t m) {
  if (weights.n <= kNarrow) return 0;
  const GemmKernel& kernel = *weights.kernel;
  if (kernel.tiles == Tiles::kNone) return XLayoutOf(kernel, weights.k, m).bytes;
  return XTilesOf(kernel, weights.k, std::clamp<int64_t>(m, 1, kTileBlockRows)).bytes;
}

int64_t EndColumn(const GemmArgs& args) {
  return args.columns == 0 ? args.weights->n : args.first_column + args.columns;
}

bool HasParts(float x) { return x > -0x1p127f && x < 0x1p127f; }

size_t WeightBytes(const PackedWeights& weights) {
  return static_cast<size_t>(weights.k * weights.n) * BytesOf(weights.kernel->weight);
}

int64_t LeastBlockRows(const PackedWeights& weights) {
  return weights.kernel->tiles == Tiles::kPanels ? kTileRows : 1;
}

void RunGemm(const GemmArgs& args) {
  if (args.m > 0) args.weights->kernel->run(args);
}

std::string_view GemmKernelName(const PackedWeights& weights) { return weights.kernel->name; }

std::vector<GemmKernels> ChooseGemmKernels([[maybe_unused]] const CpuFeatures& cpu) {
  std::vector<GemmKernels> all;
#if defined(__x86_64__)
  const bool avx2 = cpu.avx2 && cpu.fma && cpu.f16c && cpu.os_ymm;
  if (avx2 && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512dq && cpu.os_zmm) {
    if (cpu.amx_bf16 && cpu.amx_int8 && cpu.os_tiles && cpu.avx512_bf16 && cpu.avx512_vnni) {
      all.push_back({"amx", &kAmxF32, &kAmxBf16, &kAmxInt8});
    }
    all.push_back({"avx512", &kAvx512F32, cpu.avx512_bf16 ? &kAvx512Bf16Dot : &kAvx512Bf16,
                   cpu.avx512_vnni ? &kAvx512Int8Dot : &kAvx512Int8});
  }
  if (avx2) all.push_back({"avx2", &kAvx2F32, &kAvx2Bf16, &kAvx2Int8});
#elif defined(__aarch64__)
  all.push_back({"neon", &kNeonF32, &kNeonBf16, &kNeonInt8});
#endif
  all.push_back({"portable", &kPortableF32, &kPortableBf16, &kPortableInt8});
  all.push_back({"reference", &kReferenceF32, &kReferenceBf16, &kReferenceInt8});
  return all;
}

const std::vector<GemmKernels>& AvailableGemmKernels() {
  // Never destroyed: a worker may still score while the process runs its exit handlers.
  static const auto* const all = [] {
    CpuFeatures cpu = DetectCpu();
    // Who forces another instruction set gets a process that has not asked.
    const char* const forced = std::getenv("GYRFALCON_CPU_ISA");
    const bool wanted = forced == nullptr || *forced == '\0' || std::string_view(forced) == "amx";
    cpu.os_tiles = cpu.os_tiles && wanted && AllowTiles();
    return new std::vector<GemmKernels>(ChooseGemmKernels(cpu));
  }();
  return *all;
}

const GemmKernels* ActiveGemmKernels() {
  static const GemmKernels* const active = []() -> const GemmKernels* {
    const char* const forced = std::getenv("GYRFALCON_CPU_ISA");
    const std::vector<GemmKernels>& all = AvailableGemmKernels();
    if (forced == nullptr || *forced == '\0') return &all.front();
    const std::string_view name = std::string_view(forced) == "scalar" ? "portable" : forced;
    for (const GemmKernels& kernels : all) {
      if (kernels.name == name) return &kernels;
    }
    return nullptr;
  }();
  return active;
}

}  // namespace gyrfalcon::fused
