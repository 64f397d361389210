// One bag, served by a group of 1 ... 32 neighbouring lanes of a warp.
//
// Each lane keeps the sums of 16 bytes of the row: the values of its chunk. Positions are read
// coalesced, one per lane, checked there, and handed round by shuffles; kInFlight rows are loaded
// before the first of them is used. Rows of more chunks than 32 lanes take more than one pass.
#ifndef GYRFALCON_BACKENDS_CUDA_KERNELS_BAG_CUH_
#define GYRFALCON_BACKENDS_CUDA_KERNELS_BAG_CUH_

#include <cstdint>

#include "backends/cuda/kernels/locate.cuh"
#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/lookup_args.h"

namespace gyrfalcon::cuda {

// Addresses are integers, and the compiler cannot see that they are of global memory: by a pointer
// it would load and store generically, which is slower.
__device__ __forceinline__ int64_t LoadInt64(uint64_t base, int64_t at) {
  int64_t value;
  asm volatile("ld.global.s64 %0, [%1];" : "=l"(value) : "l"(base + 8 * at));
  return value;
}

__device__ __forceinline__ int64_t IntegerAt(uint64_t base, bool are_64, int64_t at) {
  if (are_64) return LoadInt64(base, at);
  int32_t value;
  asm volatile("ld.global.s32 %0, [%1];" : "=r"(value) : "l"(base + 4 * at));
  return value;
}

__device__ __forceinline__ float LoadFloat(uint64_t base, int64_t at) {
  float value;
  asm volatile("ld.global.f32 %0, [%1];" : "=f"(value) : "l"(base + 4 * at));
  return value;
}

// The lanes that serve one bag.
struct Team {
  unsigned mask;  // of the warp
  int size;
  int rank;

  template <class T>
  __device__ __forceinline__ T From(T value, int rank_of) const {
    return __shfl_sync(mask, value, rank_of, size);
  }
};

// A warp's group, in shared memory: registers are for rows.
struct WarpGroup {
  GroupArgs args;
  CacheArgs cache;  // where the group has one
  uint32_t number;
  uint32_t batch_rows;
};

struct Bag {
  uint64_t indices;  // of position 0
  uint64_t weights;  // of position 0, or 0
  uint32_t row;      // of the batch
  int length;
};

struct Position {
  uint64_t row;  // its address, or 0
  float weight;  // 0 without a row: zeros times it add nothing, whatever the caller's weight is
  bool counts;
};

// Stops the compiler from keeping what it read from shared memory in registers.
__device__ __forceinline__ void Forget() { asm volatile("" ::: "memory"); }

__device__ __forceinline__ void ReportOutOfRange(const WarpGroup& group, uint32_t row, int i,
                                                 DeviceReport* report) {
  if ((group.args.flags & kZeroOutOfRange) != 0) {
    atomicAdd(&report->zeroed, 1ull);
    return;
  }
  constexpr int kLast = (1 << kPositionBits) - 1;
  const uint64_t bag = static_cast<uint64_t>(group.number) * group.batch_rows + row;
  atomicMin(&report->first_bad,
            bag << kPositionBits | static_cast<unsigned>(i < kLast ? i : kLast));
}

// Position i of the bag. `first_pass`: what is out of range is reported.
__device__ __forceinline__ Position ReadPosition(const WarpGroup& warp_group, const Bag& bag, int i,
                                                 bool first_pass, DeviceReport* report) {
  const GroupArgs& group = warp_group.args;
  Position position{0, 0.0f, true};
  const bool ragged = group.offsets != 0;
  const int64_t id = IntegerAt(bag.indices, (group.flags & kIndices64) != 0,
                               ragged ? i : i * group.index_step);
  if ((group.flags & kHasPadding) != 0 && id == group.padding) {
    position.counts = false;
    return position;
  }
  uint64_t row = static_cast<uint64_t>(id);
  if (group.add != 0) {
    row += static_cast<uint64_t>(LoadInt64(group.add, group.add_count == 1 ? 0 : i));
  }
  if (row < group.rows) {
    position.weight = 1.0f;
    if (bag.weights != 0) {
      position.weight = LoadFloat(bag.weights, ragged ? i : i * group.weight_step);
    }
    const uint32_t place = (warp_group.number * 0x85ebca6bu) ^ (bag.row * 0x9e3779b1u + i);
    position.row = LocateRow(group, warp_group.cache, static_cast<uint32_t>(row), place, first_pass);
  } else if (first_pass) {
    ReportOutOfRange(warp_group, bag.row, i, report);
  }
  return position;
}

// Writes the first `count` of n values, n being 4, 8, 16 or 32.
template <int n>
__device__ __forceinline__ void Store(const GroupArgs& group, int64_t at, const float* v,
                                      int count) {
  const bool vectors = (group.flags & kVectorOut) != 0;
  if ((group.flags & kOutHalf) != 0) {
    const uint64_t out = group.out + 2 * static_cast<uint64_t>(at);
    if (vectors) {
#pragma unroll
      for (int e = 0; e < n; e += 4) {
        if (e >= count) break;
        const __half2 low = __floats2half2_rn(v[e], v[e + 1]);
        const __half2 high = __floats2half2_rn(v[e + 2], v[e + 3]);
        asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(out + 2 * e),
                     "r"(*reinterpret_cast<const uint32_t*>(&low)),
                     "r"(*reinterpret_cast<const uint32_t*>(&high))
                     : "memory");
      }
    } else {
#pragma unroll
      for (int e = 0; e < n; ++e) {
        if (e >= count) break;
        asm volatile("st.global.b16 [%0], %1;" ::"l"(out + 2 * e),
                     "h"(__half_as_ushort(__float2half_rn(v[e])))
                     : "memory");
      }
    }
    return;
  }
  const uint64_t out = group.out + 4 * static_cast<uint64_t>(at);
  if (vectors) {
#pragma unroll
    for (int e = 0; e < n; e += 4) {
      if (e >= count) break;
      asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(out + 4 * e), "f"(v[e]),
                   "f"(v[e + 1]), "f"(v[e + 2]), "f"(v[e + 3])
                   : "memory");
    }
  } else {
#pragma unroll
    for (int e = 0; e < n; ++e) {
      if (e >= count) break;
      asm volatile("st.global.f32 [%0], %1;" ::"l"(out + 4 * e), "f"(v[e]) : "memory");
    }
  }
}

// What a lane holds of one row that is on its way.
template <class Rows>
struct InFlight {
  uint4 chunk;  // zeros without a row, as is the scale
  typename Rows::Scale scale;
};

// Where a lane's values are in every row of the table.
struct Column {
  uint32_t chunk;  // bytes from the row's start
  uint32_t scale;  // so too
  int first;       // of its values
  bool inside;     // the row has values there
};

// Starts reading the row of position `rank` of the team's.
template <class Rows>
__device__ __forceinline__ InFlight<Rows> Fetch(const Team& team, const Column& column,
                                                const Position& mine, int rank, int count) {
  InFlight<Rows> flight{};
  const uint64_t row = team.From(mine.row, rank);
  if (rank < count && row != 0 && column.inside) {
    flight.chunk = LoadChunk<Rows::kHasScale>(row + column.chunk);
    flight.scale = Rows::ReadScale(row + column.scale);
  }
  return flight;
}

// a / b for b >= 1, rounded as a division is (denormal quotients aside), without its registers.
__device__ __forceinline__ float Divide(float a, float b, float reciprocal) {
  const float q = a * reciprocal;
  const float rounded = fmaf(fmaf(-q, b, a), reciprocal, q);
  return isfinite(rounded) ? rounded : q;
}

// Sum and mean of a lane's column.
template <class Rows, int kInFlight>
__device__ __forceinline__ void PoolColumn(const WarpGroup& group, const Team& team, const Bag& bag,
                                           const Column& column, bool first_pass,
                                           DeviceReport* report) {
  float acc[Rows::kElements];
#pragma unroll
  for (int e = 0; e < Rows::kElements; ++e) acc[e] = 0.0f;
  float bias = 0.0f;
  int counted = 0;
  for (int base = 0; base < bag.length; base += team.size) {
    Forget();
    Position mine{0, 0.0f, false};
    if (base + team.rank < bag.length) {
      mine = ReadPosition(group, bag, base + team.rank, first_pass, report);
    }
    counted += __popc(__ballot_sync(team.mask, mine.counts) & team.mask);
    const int count = min(team.size, bag.length - base);
    for (int first = 0; first < count; first += kInFlight) {
      InFlight<Rows> flight[kInFlight];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        flight[u] = Fetch<Rows>(team, column, mine, first + u, count);
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const float weight = team.From(mine.weight, first + u);
        bias += Accumulate<Rows>(flight[u].chunk, flight[u].scale,
                                 first + u < count ? weight : 0.0f, acc);
      }
    }
  }
  if (!column.inside) return;
  Forget();
  const bool mean = group.args.pooling == DevicePooling::kMean && counted > 0;
  const float divisor = mean ? static_cast<float>(counted) : 1.0f;
  const float reciprocal = __frcp_rn(divisor);
#pragma unroll
  for (int e = 0; e < Rows::kElements; ++e) acc[e] = Divide(acc[e] + bias, divisor, reciprocal);
  Store<Rows::kElements>(group.args, bag.row * group.args.out_row_stride + column.first, acc,
                         static_cast<int>(group.args.dim) - column.first);
}

// Every position's values by themselves; zeros where it has no row. The mean of one row is the row.
template <class Rows, int kInFlight>
__device__ __forceinline__ void CopyColumn(const WarpGroup& group, const Team& team, const Bag& bag,
                                           const Column& column, bool first_pass,
                                           DeviceReport* report) {
  for (int base = 0; base < bag.length; base += team.size) {
    Forget();
    Position mine{0, 0.0f, false};
    if (base + team.rank < bag.length) {
      mine = ReadPosition(group, bag, base + team.rank, first_pass, report);
    }
    const int count = min(team.size, bag.length - base);
    for (int first = 0; first < count; first += kInFlight) {
      InFlight<Rows> flight[kInFlight];
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        flight[u] = Fetch<Rows>(team, column, mine, first + u, count);
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const float weight = team.From(mine.weight, first + u);
        if (first + u >= count || !column.inside) continue;
        float v[Rows::kElements];
        Rows::Decode(flight[u].chunk, flight[u].scale, v);
#pragma unroll
        for (int e = 0; e < Rows::kElements; ++e) v[e] *= weight;
        Forget();
        const int64_t position = base + first + u;
        Store<Rows::kElements>(
            group.args, bag.row * group.args.out_row_stride + position * group.args.dim + column.first, v,
            static_cast<int>(group.args.dim) - column.first);
      }
    }
  }
}

template <class Rows, int kInFlight>
__device__ __forceinline__ void ServeBag(const WarpGroup& group, const Team& team, const Bag& bag,
                                         DeviceReport* report) {
  for (int pass = 0; pass < static_cast<int>(group.args.dim); pass += team.size * Rows::kElements) {
    Column column;
    column.first = pass + team.rank * Rows::kElements;
    column.inside = column.first < static_cast<int>(group.args.dim);
    column.chunk = static_cast<uint32_t>(column.first / Rows::kElements * kChunkBytes);
    column.scale = group.args.scale_offset;
    // One row by itself is as it would be unpooled, to the last bit.
    if (group.args.pooling == DevicePooling::kNone || bag.length == 1) {
      CopyColumn<Rows, Rows::kElements == 32 ? 1 : 2>(group, team, bag, column, pass == 0, report);
    } else {
      PoolColumn<Rows, kInFlight>(group, team, bag, column, pass == 0, report);
    }
  }
}

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_KERNELS_BAG_CUH_
