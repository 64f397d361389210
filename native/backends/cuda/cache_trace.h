// What a row cache would find of a recorded sequence of ids: the policy of RowCache itself, without
// a device.
#ifndef GYRFALCON_BACKENDS_CUDA_CACHE_TRACE_H_
#define GYRFALCON_BACKENDS_CUDA_CACHE_TRACE_H_

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace gyrfalcon::cuda {

struct CacheTraceResult {
  int64_t slots = 0;
  int64_t counted = 0;   // ids from `warm_up` on
  int64_t hits = 0;      // of these, by the cache
  int64_t lru_hits = 0;  // by the least recently used rule, exact, over as many slots in one set
  int64_t top_hits = 0;  // by the rows that are the most frequent of all ids, never changed
  int64_t insertions = 0;
  int64_t evictions = 0;
};

// Precondition: warm_up >= 0. kIndexOutOfRange: an id outside the table; CacheGeometry's errors.
Result<CacheTraceResult> TraceCache(const std::vector<int32_t>& ids, int64_t table_rows,
                                    int64_t cache_rows, int64_t warm_up);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_CACHE_TRACE_H_
