// Embedding lookup: the contract between a resolved batch and a backend's kernels.
//
// The specification, for batch row r of group g, with output row y = out + r * out_row_stride:
//
//   ids: fixed hotness: id_i = indices[r * index_row_stride + i * index_step], i in [0, count)
//        ragged:        id_i = indices[offsets[r] + i], i in [0, offsets[r+1] - offsets[r])
//   an id equal to `padding` (when has_padding) contributes nothing and is not counted
//   row index k_i = id_i + add_i; k_i outside [0, table.rows) is out of range:
//        policy kError: the request fails and the report names the first such position
//        policy kZero:  the position contributes nothing, stays counted, and report.zeroed grows
//   v_i[d] = fma(q, scale, bias) for int8 / int4 rows, the stored value otherwise
//   kSum:  y[d] = sum_i w_i * v_i[d]          (f32; w_i = 1 without weights)
//   kMean: y[d] = kSum / (number of counted ids), also when weighted (FBGEMM's rule)
//   kNone: y[i * dim + d] = w_i * v_i[d], a padding or out-of-range position gives zeros
//   an empty bag gives zeros
//
// Per-sample weights are read at the same positions as ids: weights[r * weight_row_stride +
// i * weight_step], or weights[offsets[r] + i] for ragged groups.
#ifndef GYRFALCON_BACKENDS_LOOKUP_H_
#define GYRFALCON_BACKENDS_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace gyrfalcon {

// A table's rows in memory; owns nothing. Rows lie back to back, RowBytes(storage, dim) apart;
// base alignment 64 bytes, row alignment whatever that stride gives.
struct TableView {
  const std::byte* data = nullptr;  // [rows, RowBytes(storage, dim)]
  int64_t rows = 0;
  int64_t dim = 0;
  Storage storage = Storage::kF32;
};

// One bag per batch row, for all rows of a batch. Pointers stay valid while a batch lives.
struct BagGroup {
  TableView table;
  const void* indices = nullptr;   // int32 or int64; already advanced by the bag's start
  const void* offsets = nullptr;   // ragged only: [rows + 1], int32 or int64; else null
  const float* weights = nullptr;  // or null
  const int64_t* add = nullptr;    // null: 0; else `add_count` values
  float* out = nullptr;            // already advanced by the slot offset
  int64_t index_row_stride = 0;    // elements
  int64_t index_step = 1;          // elements
  int64_t count = 0;               // fixed hotness
  int64_t weight_row_stride = 0;   // elements
  int64_t weight_step = 1;         // elements
  int64_t add_count = 0;           // 1: one value for all positions; else == count
  int64_t out_row_stride = 0;      // floats
  int64_t padding = 0;
  int64_t ragged_room = 0;  // ragged: ids (and weights) that there is memory for, or 0: not known
  bool has_padding = false;
  bool indices_are_64 = false;
  bool offsets_are_64 = false;
  Pooling pooling = Pooling::kSum;
};

enum class OutOfRange : uint8_t { kError, kZero };

enum class PrefetchOrder : uint8_t {
  kBursts,  // many rows at a time, into the second-level cache
  kSteady,  // a row with each row that is read, into the second-level cache
  kNear,    // as many rows as are read next before they are, into the first-level cache
  kMixed,   // rows of few lines as kSteady, the others as kBursts
};

// How rows are prefetched. Which is better depends on the CPU; results do not.
struct Prefetching {
  int64_t lines = -1;  // how far ahead, in 64-byte lines; 0: not at all
  PrefetchOrder order = PrefetchOrder::kBursts;
  bool operator==(const Prefetching&) const = default;
};

// As SetPrefetching says, or else the backend's own choice.
inline constexpr Prefetching kUsualPrefetch{};

struct LookupRequest {
  const BagGroup* groups = nullptr;
  size_t num_groups = 0;
  int64_t row_begin = 0;  // batch rows [row_begin, row_end)
  int64_t row_end = 0;
  OutOfRange policy = OutOfRange::kError;
  // A part of a larger request (lookup_parts.h): the first group begins this many rows late, the
  // last one ends this many rows early. Only the backends of LookupBackends() are run in parts.
  int64_t late_rows = 0;
  int64_t early_rows = 0;
  Prefetching prefetch = kUsualPrefetch;
};

struct LookupReport {
  int64_t zeroed = 0;  // out-of-range positions under kZero
  bool failed = false;
  size_t group = 0;      // the rest describes the first bad position in walk order
  int64_t row = 0;       // batch row
  int64_t position = 0;  // i within the bag
  int64_t value = 0;     // the id as given, before `add`
};

// One implementation (an instruction set). All pointers in a request are valid for the request;
// ragged offsets have been validated by the caller (monotonic, inside capacity), ids have not:
// every kernel checks the id value that it loaded, once, before it forms an address.
struct LookupBackend {
  std::string_view name;  // "reference", "scalar", "avx2", "avx512", "neon"
  void (*run)(const LookupRequest& request, LookupReport* report);
  Prefetching prefetch = {0};  // by its own choice
};

// How every backend prefetches from its next run on; kUsualPrefetch: as each chooses. Any thread.
void SetPrefetching(Prefetching prefetch);
Prefetching CurrentPrefetching(const LookupBackend& backend);

// The backends compiled into this build that this CPU can run, best first; "scalar" and
// "reference" are always last.
const std::vector<LookupBackend>& LookupBackends();

// Why a compiled or known backend cannot run here; empty when it can. For capabilities().
struct BackendReason {
  std::string_view name;
  std::string_view reason;
};
const std::vector<BackendReason>& UnavailableLookupBackends();

// The backend in use: the best one, or what GYRFALCON_CPU_ISA names (read once, at first use). A
// name that cannot run here gives nullptr: callers report kDeviceUnavailable.
const LookupBackend* ActiveLookupBackend();

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_LOOKUP_H_
