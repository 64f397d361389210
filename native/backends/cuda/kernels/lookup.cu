// The lookup of one request: all tables, storages and dims of a model in one launch.
//
//   grid       ceil(warps / 8) blocks, warps = first_warp[num_groups]
//   block      256 threads: 8 warps that know nothing of each other
//   ownership  warp w serves 32 >> lane_bits bags of one group; a team of 1 << lane_bits lanes
//              owns a bag and the output it writes
//   registers  at most 80: 24 warps on a multiprocessor of 64 K registers, without spills
//   bytes      per id its 4 or 8, and per row its values and scale, in 32-byte sectors; per bag
//              the output. Of a cached table 16 bytes of tags per id besides, and what is not in
//              the cache comes from host memory. Nothing is read twice but the ids (and tags) of
//              rows over 512 bytes.
#include "backends/cuda/kernels/bag.cuh"

namespace gyrfalcon::cuda {
namespace {

// Serves the bags of warp `warp` of the group.
__device__ __forceinline__ void ServeGroup(const WarpGroup& warp_group, uint32_t warp,
                                           DeviceReport* report) {
  const GroupArgs& group = warp_group.args;
  const int lane = static_cast<int>(threadIdx.x) & 31;
  const int bits = group.lane_bits;
  Team team;
  team.size = 1 << bits;
  team.rank = lane & (team.size - 1);
  team.mask = (team.size == 32 ? ~0u : (1u << team.size) - 1u) << (lane - team.rank);
  Bag bag;
  bag.row = warp * (32u >> bits) + static_cast<uint32_t>(lane >> bits);
  if (bag.row >= warp_group.batch_rows) return;
  int64_t begin;
  int64_t weights_begin;
  if (group.offsets != 0) {
    const bool are_64 = (group.flags & kOffsets64) != 0;
    begin = IntegerAt(group.offsets, are_64, bag.row);
    weights_begin = begin;
    bag.length = static_cast<int>(IntegerAt(group.offsets, are_64, bag.row + 1) - begin);
  } else {
    begin = bag.row * group.index_row_stride;
    weights_begin = bag.row * group.weight_row_stride;
    bag.length = static_cast<int>(group.count);
  }
  bag.indices = group.indices + begin * ((group.flags & kIndices64) != 0 ? 8 : 4);
  bag.weights = group.weights == 0 ? 0 : group.weights + weights_begin * 4;
  switch (group.storage) {
    case DeviceStorage::kF32:
      return ServeBag<F32Rows, 8>(warp_group, team, bag, report);
    case DeviceStorage::kF16:
      return ServeBag<F16Rows, 4>(warp_group, team, bag, report);
    case DeviceStorage::kBF16:
      return ServeBag<BF16Rows, 4>(warp_group, team, bag, report);
    case DeviceStorage::kInt8:
      return ServeBag<Int8Rows, 4>(warp_group, team, bag, report);
    case DeviceStorage::kInt4:
      return ServeBag<Int4Rows, 2>(warp_group, team, bag, report);
  }
}

__device__ __forceinline__ uint32_t WarpNumber() {
  return blockIdx.x * kWarpsPerBlock + (threadIdx.x >> 5);
}

// The group that warp `warp` belongs to: first[g] <= warp < first[g + 1].
template <class First>
__device__ __forceinline__ uint32_t GroupOf(uint32_t warp, uint32_t num_groups, First first) {
  uint32_t low = 0;
  uint32_t high = num_groups;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    if (first(middle) <= warp) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// By one warp. The host writes to it meanwhile: each word is read from memory.
__device__ __forceinline__ void StageCache(uint64_t from, CacheArgs* to) {
  const int lane = static_cast<int>(threadIdx.x) & 31;
  if (lane >= static_cast<int>(sizeof(CacheArgs) / 4)) return;
  uint32_t word;
  asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(word) : "l"(from + 4ull * lane));
  reinterpret_cast<uint32_t*>(to)[lane] = word;
}

}  // namespace

// Up to kInlineGroups groups by value, or any number of them at `more` with `more_first`. Each warp
// keeps its own group in shared memory.
extern "C" __global__ void __launch_bounds__(32 * kWarpsPerBlock, 3)
    gyrfalcon_lookup(const InlineGroups groups, const GroupArgs* more, const uint32_t* more_first,
                     uint32_t num_groups, const uint32_t* batch_rows, DeviceReport* report) {
  __shared__ WarpGroup staged[kWarpsPerBlock];
  const bool by_value = more == nullptr;
  const auto first = [&](uint32_t i) { return by_value ? groups.first_warp[i] : more_first[i]; };
  const uint32_t warp = WarpNumber();
  if (warp >= first(num_groups)) return;
  const uint32_t g = GroupOf(warp, num_groups, first);
  WarpGroup& group = staged[threadIdx.x >> 5];
  auto* const to = reinterpret_cast<uint32_t*>(&group.args);
  const auto* const from = reinterpret_cast<const uint32_t*>(more + g);
  const auto* const inline_from = reinterpret_cast<const uint32_t*>(&groups.group[g]);
  for (int i = static_cast<int>(threadIdx.x) & 31; i < static_cast<int>(sizeof(GroupArgs) / 4);
       i += 32) {
    to[i] = by_value ? inline_from[i] : from[i];
  }
  group.number = g;
  group.batch_rows = *batch_rows;
  __syncwarp();
  if (group.args.cache != 0) {
    StageCache(group.args.cache, &group.cache);
    __syncwarp();
  }
  ServeGroup(group, warp - first(g), report);
}

// Ends a request, one thread in one block behind the lookup on its stream: hands the report to the
// host, makes the device's blank for the next request, and says done. The fence is between them:
// who sees `done` sees the outputs of the lookup and the report.
extern "C" __global__ void __launch_bounds__(32)
    gyrfalcon_finish(DeviceReport* report, RequestHeader* header) {
  if (threadIdx.x != 0) return;
  header->report.first_bad = report->first_bad;
  header->report.zeroed = report->zeroed;
  report->first_bad = kNoBadPosition;
  report->zeroed = 0;
  __threadfence_system();
  *static_cast<volatile uint32_t*>(&header->done) = header->token;
}

}  // namespace gyrfalcon::cuda
