// What the host and the lookup kernel share about a table's row cache. Compiled by nvcc too.
//
// The cache has `sets` sets of 8 slots. A set's 8 tags are 16 bytes: one load. Where a row may be:
//   x = PermuteRow(row)      a permutation of [0, 2^bits), bits being enough for the table's rows
//   set = x mod sets, tag = x div sets
// Quotient and remainder together give x back, and x gives the row: a tag stands in a set for one
// row of the table and no other, so a hit needs no second look. Tags have to stay below kNoTag,
// which limits the numbers that are permuted: 2^bits <= 65535 * sets.
#ifndef GYRFALCON_BACKENDS_CUDA_CACHE_ARGS_H_
#define GYRFALCON_BACKENDS_CUDA_CACHE_ARGS_H_

#include <cstdint>

#ifdef __CUDACC__
#define GYRFALCON_HOST_DEVICE __host__ __device__
#else
#define GYRFALCON_HOST_DEVICE
#endif

namespace gyrfalcon::cuda {

inline constexpr uint32_t kCacheWays = 8;
inline constexpr uint32_t kNoTag = 0xffff;

// In device memory, one for each cached table. The host writes `seed` and `sample_mask` while
// kernels run; nothing else changes but `head`.
struct CacheArgs {
  uint64_t rows;         // [sets * 8] slots, the table's row_stride apart
  uint64_t tags;         // [sets][8] uint16
  uint64_t reciprocal;   // floor((2^64 - 1) / sets) + 1
  uint64_t ring;         // [ring_mask + 1] uint32, host memory: sampled touches
  uint32_t sets;         // 2 ... 2^28
  uint32_t mask;         // 2^bits - 1
  uint32_t shift;        // at least half of bits
  uint32_t sample_mask;  // of 2^k touches one is recorded: 2^k - 1
  uint32_t seed;         // of the choice which
  uint32_t head;         // touches recorded until now, modulo 2^32
  uint32_t ring_mask;
  uint32_t unused;
};

// A touch in the ring: the row, and whether it was found. All ones: nothing.
inline constexpr uint32_t kTouchHit = 0x80000000u;
inline constexpr uint32_t kNoTouch = 0xffffffffu;

// A permutation of [0, mask]: a shifted copy of a number xored to it leaves its upper bits, from
// which the lower ones can be had again; and an odd factor has an inverse modulo 2^bits.
GYRFALCON_HOST_DEVICE inline uint32_t PermuteRow(uint32_t row, uint32_t mask, uint32_t shift) {
  uint32_t x = row;
  x ^= x >> shift;
  x = (x * 0x7feb352du) & mask;
  x ^= x >> shift;
  x = (x * 0x846ca68bu) & mask;
  return x ^ (x >> shift);
}

static_assert(sizeof(CacheArgs) == 64, "the kernels are compiled apart from the host");

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_CACHE_ARGS_H_
