// The cache of one table: keeps in device memory those rows of a table in host memory that are
// asked for most, while lookups run.
//
// Lookups read tags and rows without a lock (kernels/locate.cuh). What keeps them right is the
// order in which a replacement is published:
//   1. tags of what goes are taken away         nobody finds the slot any more
//   2. lookups that may have found it end       nobody reads the slot any more
//   3. the rows are copied into their slots
//   4. lookups that began before that end       a multiprocessor may have kept bytes of the slot
//                                               that it read along with a neighbour's
//   5. tags of the new rows are set
// Rows are updated behind closed doors: their tags are taken away, lookups end and none begins, the
// table's rows are written and copied to their slots, tags come back.
#ifndef GYRFALCON_BACKENDS_CUDA_ROW_CACHE_H_
#define GYRFALCON_BACKENDS_CUDA_ROW_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/cuda/cache_args.h"
#include "backends/cuda/lookup_gate.h"
#include "backends/cuda/row_cache_policy.h"
#include "core/dtype.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

// What the cache needs of a device. One caller at a time.
class CacheDevice {
 public:
  virtual ~CacheDevice() = default;
  // Begins to copy into device memory. `from` is left as it is until Finish returns; copies between
  // two calls of Finish may be done in any order.
  virtual Status Write(uint64_t to, const void* from, size_t bytes) = 0;
  // Returns when all that was begun is done, for every kernel that begins afterwards.
  virtual Status Finish() = 0;
};

// The table, and memory for its cache; all of it outlives the cache.
struct CacheMemory {
  std::byte* table = nullptr;  // [rows, row_stride], device rows in pinned host memory
  uint64_t table_address = 0;  // of it, on the device
  uint32_t* ring = nullptr;    // [kTouchRing], pinned host memory
  uint64_t ring_address = 0;
  uint64_t args_address = 0;  // device memory: CacheArgs
  uint64_t tags_address = 0;  // device memory: [sets * 16] bytes, 16-byte aligned
  uint64_t rows_address = 0;  // device memory: [slots, row_stride], 256-byte aligned
};

struct CachedShape {
  int64_t rows = 0;
  int64_t dim = 0;
  Storage storage = Storage::kF32;
};

struct CacheStats {
  int64_t slots = 0;
  int64_t occupied = 0;
  int64_t touches = 0;  // that were sampled: one of RowCachePolicy::sampled()
  int64_t hits = 0;     // of these
  int64_t insertions = 0;
  int64_t evictions = 0;
  int64_t updated = 0;  // rows

  int64_t misses() const { return touches - hits; }
  double hit_rate() const {
    return touches == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(touches);
  }
};

class RowCache {
 public:
  static constexpr uint32_t kTouchRing = 8192;
  // Lookups between two calls of Maintain: what is sampled of them fits into the ring.
  static constexpr int64_t kRoundLookups = 16384;
  static constexpr size_t kRoundRows = 4096;   // replaced in a round
  static constexpr size_t kUpdateRows = 1024;  // updated at a time, behind closed doors

  // Writes an empty cache. The device's failures.
  static Result<std::unique_ptr<RowCache>> Make(const CachedShape& table,
                                                const CacheGeometry& geometry,
                                                const CacheMemory& memory, CacheDevice* device,
                                                LookupFence* fence);

  // Takes touches from the ring and replaces up to kRoundRows rows. After a failure of the device
  // lookups stay right, and this returns that failure ever after.
  Status Maintain();

  // Puts rows into the cache, the first of them with preference, where their sets have room, as if
  // they had been asked for some times. kIndexOutOfRange, before anything is done.
  Status Warm(const std::vector<int64_t>& ids);

  // Writes rows, as they lie on the host, over those of `ids`; of equal ids the last one stays. A
  // lookup sees a row as it was or as it is, all of it. The caller is not inside the fence.
  // Precondition: ids are rows of the table. The device's failures: rows before the failing
  // kUpdateRows are updated, others are as they were.
  Status Update(const std::vector<int64_t>& ids, const std::byte* rows);

  CacheStats stats() const;
  uint64_t args_address() const { return memory_.args_address; }

 private:
  RowCache(const CachedShape& table, const CacheGeometry& geometry, const CacheMemory& memory,
           CacheDevice* device, LookupFence* fence);

  Status Start();
  void TakeTouches();
  // Each does one step of what the head of this file says, to its end.
  Status WriteTags(const std::vector<uint32_t>& slots);
  Status CopyRows(const std::vector<CacheReplacement>& rows);
  Status Replace(const std::vector<CacheReplacement>& plan);
  Status UpdateSome(const int64_t* ids, size_t count, const std::byte* rows);
  std::byte* RowOf(uint32_t row) const;

  CachedShape table_;
  CacheMemory memory_;
  CacheDevice* device_;
  LookupFence* fence_;
  uint32_t stride_;
  CacheArgs args_{};
  mutable std::mutex mutex_;
  RowCachePolicy policy_;
  CacheStats stats_;
  Status failure_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_ROW_CACHE_H_
