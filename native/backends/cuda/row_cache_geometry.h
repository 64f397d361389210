// Where rows of a table may be in its cache: cache_args.h, for the host.
#ifndef GYRFALCON_BACKENDS_CUDA_ROW_CACHE_GEOMETRY_H_
#define GYRFALCON_BACKENDS_CUDA_ROW_CACHE_GEOMETRY_H_

#include <cstdint>

#include "backends/cuda/cache_args.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

inline constexpr int64_t kMaxCachedTableRows = (int64_t{1} << 31) - 1;
inline constexpr int64_t kMaxCacheRows = int64_t{1} << 31;

struct CachePlace {
  uint32_t set = 0;
  uint32_t tag = 0;  // below kNoTag
};

struct CacheGeometry {
  uint32_t sets = 0;
  uint32_t mask = 0;
  uint32_t shift = 0;

  // For at least `cache_rows` slots: whole sets, and two of them at least. kLimitExceeded: tables
  // of more than kMaxCachedTableRows, caches of more than kMaxCacheRows, and caches so small that
  // their tags cannot tell the table's rows apart (LeastCacheRows).
  static Result<CacheGeometry> Make(int64_t table_rows, int64_t cache_rows);

  // The smallest cache of a table: one slot for some 4096 to 8192 rows.
  static int64_t LeastCacheRows(int64_t table_rows);

  int64_t slots() const { return int64_t{sets} * kCacheWays; }
  uint64_t reciprocal() const { return ~uint64_t{0} / sets + 1; }
  CachePlace PlaceOf(uint32_t row) const {
    const uint32_t x = PermuteRow(row, mask, shift);
    return {x % sets, x / sets};
  }
  // The one row that has this place.
  uint32_t RowAt(CachePlace place) const;
};

// Bytes of device memory for each slot: the row and its tag.
constexpr int64_t CacheSlotBytes(uint32_t row_stride) {
  return int64_t{row_stride} + static_cast<int64_t>(sizeof(uint16_t));
}

// The most slots, in whole sets, that `bytes` of device memory hold.
constexpr int64_t CacheRowsIn(int64_t bytes, uint32_t row_stride) {
  return bytes / (CacheSlotBytes(row_stride) * kCacheWays) * kCacheWays;
}

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_ROW_CACHE_GEOMETRY_H_
