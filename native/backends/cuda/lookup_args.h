// What the host and the CUDA lookup kernels share: the description of a request, and of how it is
// divided into warps. Device addresses are 64-bit integers; nothing here is dereferenced on the
// host. Compiled by nvcc too: plain C++17 data.
#ifndef GYRFALCON_BACKENDS_CUDA_LOOKUP_ARGS_H_
#define GYRFALCON_BACKENDS_CUDA_LOOKUP_ARGS_H_

#include <cstddef>
#include <cstdint>

namespace gyrfalcon::cuda {

// Rows of a table on the device lie `row_stride` bytes apart, a multiple of 16, from a 256-byte
// aligned base: values first, then (int8: aligned to 8, f32 scale, f32 bias; int4: aligned to 4,
// f16 scale, f16 bias), then zeros. A lane reads 16 bytes of values at a time.
inline constexpr int kChunkBytes = 16;

enum class DeviceStorage : uint8_t { kF32, kF16, kBF16, kInt8, kInt4 };
enum class DevicePooling : uint8_t { kSum, kMean, kNone };

// One bag per batch row: BagGroup of backends/lookup.h, with device addresses.
struct GroupArgs {
  uint64_t table;    // [rows, row_stride]
  uint64_t rows;     // of the table
  uint64_t indices;  // int32 or int64
  uint64_t offsets;  // ragged only: [batch rows + 1], int32 or int64; else 0
  uint64_t weights;  // f32, or 0
  uint64_t add;      // int64[add_count], or 0
  uint64_t out;      // f32 or f16
  int64_t index_row_stride;
  int64_t index_step;
  int64_t weight_row_stride;
  int64_t weight_step;
  int64_t out_row_stride;  // elements
  int64_t count;           // fixed hotness
  int64_t padding;
  uint32_t add_count;
  uint32_t dim;
  uint32_t row_stride;    // bytes
  uint32_t scale_offset;  // bytes from the row's start to its scale; int8 and int4
  DeviceStorage storage;
  DevicePooling pooling;
  uint8_t lane_bits;  // log2 of the lanes that share a bag, 0 ... 5
  uint8_t flags;
  uint64_t cache;  // CacheArgs of a table that lies in host memory, or 0
};

inline constexpr uint8_t kIndices64 = 1;
inline constexpr uint8_t kOffsets64 = 2;
inline constexpr uint8_t kHasPadding = 4;
inline constexpr uint8_t kOutHalf = 8;
// `out` and every row and position of it is aligned for 16-byte stores, and dim is a multiple of
// the elements of such a store.
inline constexpr uint8_t kVectorOut = 16;
// Out-of-range positions give zeros and are counted, instead of failing the request.
inline constexpr uint8_t kZeroOutOfRange = 32;

// Of one request, in device memory. `first_bad` is all ones until a position is out of range; then
// its bag's number (group * batch rows + row) shifted left by kPositionBits, and its position.
struct DeviceReport {
  unsigned long long first_bad;
  unsigned long long zeroed;
};

inline constexpr int kPositionBits = 24;
inline constexpr unsigned long long kNoBadPosition = ~0ull;

// What host and device tell each other about a request, in pinned memory that both see.
struct RequestHeader {
  uint32_t batch_rows;  // from the host, before the launch
  uint32_t token;       // too: another one for each request
  uint32_t done;        // from the device: `token`, once outputs and report are there
  uint32_t unused;
  DeviceReport report;  // from the device
};

// Warps are numbered through all groups: those of group g are [first_warp[g], first_warp[g + 1]).
// A warp serves 32 >> lane_bits consecutive batch rows.
inline constexpr int kWarpsPerBlock = 8;
inline constexpr int kInlineGroups = 27;

// By value in the kernel's parameters (4352 bytes at most): the models that most people serve.
struct InlineGroups {
  GroupArgs group[kInlineGroups];
  uint32_t first_warp[kInlineGroups + 1];
};

static_assert(sizeof(GroupArgs) == 144, "the kernels are compiled apart from the host");
static_assert(sizeof(RequestHeader) == 32, "the kernels are compiled apart from the host");
static_assert(sizeof(InlineGroups) + 64 <= 4352, "the limit of kernel parameters");

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_LOOKUP_ARGS_H_
