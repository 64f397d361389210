// Where a row is to be read: in the table, or, of a table with a cache, in the cache if it is there.
//
// A lookup in the cache takes one 16-byte load of tags, which passes the first-level cache by: the
// host changes tags while kernels run. No lock and no write, but for one touch of some, chosen by a
// hash of its position and recorded for the host. The bytes of a row that is found do not change
// while any lookup runs that may have found it; seeing to that is the host's (row_cache.h).
#ifndef GYRFALCON_BACKENDS_CUDA_KERNELS_LOCATE_CUH_
#define GYRFALCON_BACKENDS_CUDA_KERNELS_LOCATE_CUH_

#include <cstddef>
#include <cstdint>

#include "backends/cuda/cache_args.h"
#include "backends/cuda/lookup_args.h"

namespace gyrfalcon::cuda {

// The set's 8 tags. Each is read whole: 2 aligned bytes.
__device__ __forceinline__ uint4 LoadTags(uint64_t address) {
  uint4 v;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(address));
  return v;
}

// The slot that has the row, or kNoSlot.
constexpr uint32_t kNoSlot = 0xffffffffu;

__device__ __forceinline__ uint32_t FindSlot(const CacheArgs& cache, uint32_t row) {
  const uint32_t x = PermuteRow(row, cache.mask, cache.shift);
  // x / sets, exactly: the reciprocal is too large by less than 2^-32 of a unit.
  const auto tag = static_cast<uint32_t>(__umul64hi(cache.reciprocal, x));
  const uint32_t set = x - tag * cache.sets;
  const uint4 tags = LoadTags(cache.tags + 2ull * kCacheWays * set);
  const uint32_t words[4] = {tags.x, tags.y, tags.z, tags.w};
  uint32_t slot = kNoSlot;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if ((words[i] & 0xffffu) == tag) slot = set * kCacheWays + 2 * i;
    if ((words[i] >> 16) == tag) slot = set * kCacheWays + 2 * i + 1;
  }
  return slot;
}

// Records one touch of sample_mask + 1: the host learns what is asked for, and how often in vain.
__device__ __forceinline__ void RecordTouch(const CacheArgs& cache, uint64_t at_device,
                                            uint32_t row, bool hit, uint32_t position) {
  uint32_t hash = (position ^ cache.seed) * 0x7feb352du;
  hash = (hash ^ (hash >> 15)) * 0x846ca68bu;
  if (((hash ^ (hash >> 16)) & cache.sample_mask) != 0) return;
  uint32_t at;
  asm volatile("atom.global.add.u32 %0, [%1], 1;"
               : "=r"(at)
               : "l"(at_device + offsetof(CacheArgs, head))
               : "memory");
  asm volatile("st.global.u32 [%0], %1;" ::"l"(cache.ring + 4ull * (at & cache.ring_mask)),
               "r"(row | (hit ? kTouchHit : 0u))
               : "memory");
}

// The address of the row's first byte. `position` names where in the request it is asked for;
// `record`: this is to be recorded, if it is its turn.
__device__ __forceinline__ uint64_t LocateRow(const GroupArgs& group, const CacheArgs& cache,
                                              uint32_t row, uint32_t position, bool record) {
  uint64_t base = group.table;
  uint32_t at = row;
  if (group.cache != 0) {
    const uint32_t slot = FindSlot(cache, row);
    if (record) RecordTouch(cache, group.cache, row, slot != kNoSlot, position);
    if (slot != kNoSlot) {
      base = cache.rows;
      at = slot;
    }
  }
  return base + static_cast<uint64_t>(at) * group.row_stride;
}

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_KERNELS_LOCATE_CUH_
