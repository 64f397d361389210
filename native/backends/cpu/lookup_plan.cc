#include "backends/cpu/lookup_plan.h"

#include <algorithm>
#include <atomic>

#include "backends/cpu/dispatch.h"

namespace gyrfalcon {
namespace {

// One word, so that it is read as a whole; negative: kUsualPrefetch.
std::atomic<int64_t> g_prefetching{-1};

int64_t Pack(Prefetching prefetch) {
  if (prefetch.lines < 0) return -1;
  return prefetch.lines * 4 + static_cast<int64_t>(prefetch.order);
}

Prefetching SetPrefetch() {
  const int64_t set = g_prefetching.load(std::memory_order_relaxed);
  if (set < 0) return kUsualPrefetch;
  return {set / 4, static_cast<PrefetchOrder>(set % 4)};
}

constexpr int64_t kLine = 64;
constexpr int64_t kChunkLines = 192;
constexpr int64_t kZeroAdd = 0;

// Emerald Rapids, bags of 20, nanoseconds a row of 72, 136, 256 and 512 bytes from memory (int8 and
// f32 of 64 and 128 numbers, huge pages): in bursts 28, 40, 26 and 44, whatever the distance; row
// by row 23, 36, 22 and 36 at 400 lines, and 49 for the last at 192. Under Zipf 1.05 that one takes
// 24 at 192 and 384 lines and 17.5 at 768, which costs rows of 72 bytes a twentieth.
constexpr int64_t kIntelLines = 768;

// Zen 5 beside a busy neighbour, bags of 20, nanoseconds a row of 256 and 512 bytes (f32): 33 and
// 52 in bursts, 27 and 44 steadily, 26 and 34 near; under Zipf 1.05 18 and 26, 12 and 22, 11
// and 18.
constexpr int kZen5Family = 0x1a;
constexpr int64_t kZen5Lines = 128;

// Zen 4, bags of 40 pooled straight from ids, nanoseconds a row of 256 and 512 bytes (f32): 12.5
// and 27 in bursts, 19.5 and 37 steadily; of 36, 72, 68 and 136 bytes (int4 and int8 of 64 and
// 128): 10.0, 9.0, 12.9 and 11.8 in bursts, 6.8, 7.5, 8.3 and 11.0 steadily. Written out one by
// one, rows of 136 bytes take 15.8 in bursts and 19.6 steadily.
constexpr int kZen4Family = 0x19;  // and Zen 3's
constexpr int64_t kShortLines = 2;
constexpr int64_t kShortPooledLines = 3;

constexpr int64_t kLeastLines = 128;  // kernels whose own distance is less take longer a row

}  // namespace

int64_t RaggedOffset(const BagGroup& group, int64_t row) {
  if (group.offsets_are_64) return static_cast<const int64_t*>(group.offsets)[row];
  return static_cast<const int32_t*>(group.offsets)[row];
}

RowRange GroupRows(const LookupRequest& request, size_t group) {
  RowRange rows{request.row_begin, request.row_end};
  if (group == 0) rows.begin += request.late_rows;
  if (group + 1 == request.num_groups) rows.end -= request.early_rows;
  return rows;
}

GroupPlan PlanGroup(const BagGroup& group, RowRange range) {
  GroupPlan plan{};
  plan.row_bytes = RowBytes(group.table.storage, group.table.dim);
  const auto bytes = static_cast<int64_t>(plan.row_bytes);
  // Rows begin at multiples of the largest power of two that divides their size (tables are 64-byte
  // aligned), which bounds how many lines they straddle. No division here: this runs twice per
  // group and request.
  const int64_t step = bytes & -bytes;
  plan.lines = (bytes + 2 * kLine - 1 - (step < kLine ? step : kLine)) >> 6;
  // No more than are usually prefetched before: those of a chunk that are not miss one by one. But
  // the sums of a bag go through memory between chunks: f32 rows of 512 bytes under Zipf 1.05 took
  // 28 ns in chunks of 8 (bags of 20), 22 in chunks of 16 and 18 in one. It must not depend on the
  // distance in use, or the last bits of sums would.
  plan.chunk = plan.lines * kMaxChunk <= kChunkLines
                   ? kMaxChunk
                   : std::max<int64_t>(kChunkLines / plan.lines, 2);
  const int64_t dim = group.table.dim;
  plan.params_offset = group.table.storage == Storage::kInt4 ? (dim + 1) / 2 : dim;

  IdStream& stream = plan.stream;
  const int64_t id_bytes = group.indices_are_64 ? 8 : 4;
  const bool adds = group.add != nullptr && group.add_count > 0;
  stream.add = adds ? group.add : &kZeroAdd;
  stream.add_step = adds && group.add_count > 1 ? 1 : 0;
  const auto* ids = static_cast<const std::byte*>(group.indices);
  const int64_t rows = range.end - range.begin;
  if (group.offsets != nullptr) {
    const int64_t first = RaggedOffset(group, range.begin);
    stream.runs = 1;
    stream.run_length = RaggedOffset(group, range.end) - first;
    stream.step = id_bytes;
    stream.ids = stream.run_length > 0 ? ids + first * id_bytes : nullptr;
  } else {
    stream.ids = group.count > 0 ? ids + range.begin * group.index_row_stride * id_bytes : nullptr;
    stream.runs = group.count > 0 ? rows : 0;
    stream.run_length = group.count;
    stream.run_stride = group.index_row_stride * id_bytes;
    stream.step = group.index_step * id_bytes;
    if (group.count == 1) {
      stream.runs = 1;
      stream.run_length = rows;
      stream.step = stream.run_stride;
    } else if (stream.add_step == 0 && stream.run_stride == group.count * stream.step) {
      stream.runs = 1;
      stream.run_length = rows * group.count;
    }
  }
  return plan;
}

PrefetchOrder OrderOf(PrefetchOrder order, const BagGroup& group, const GroupPlan& plan) {
  if (order != PrefetchOrder::kMixed) return order;
  const bool pooled =
      group.pooling != Pooling::kNone && (group.offsets != nullptr || group.count > 1);
  const int64_t most = pooled ? kShortPooledLines : kShortLines;
  return plan.lines <= most ? PrefetchOrder::kSteady : PrefetchOrder::kBursts;
}

Prefetching OwnPrefetching(const CpuFeatures& cpu, int64_t lines) {
  if (lines < kLeastLines) return {lines};
  if (cpu.intel) return {kIntelLines, PrefetchOrder::kSteady};
  if (cpu.amd_family >= kZen5Family) return {kZen5Lines, PrefetchOrder::kNear};
  if (cpu.amd_family == kZen4Family) return {lines, PrefetchOrder::kMixed};
  return {lines};
}

Prefetching PrefetchTarget(Prefetching requested, int64_t own) {
  if (requested.lines < 0) requested = SetPrefetch();
  static const CpuFeatures cpu = DetectCpu();
  if (requested.lines < 0) requested = OwnPrefetching(cpu, own);
  if (requested.lines == 0) requested.lines = INT64_MIN;
  return requested;
}

void SetPrefetching(Prefetching prefetch) {
  g_prefetching.store(Pack(prefetch), std::memory_order_relaxed);
}

Prefetching CurrentPrefetching(const LookupBackend& backend) {
  if (backend.prefetch.lines == 0) return {0};  // it cannot
  const Prefetching set = SetPrefetch();
  return set.lines < 0 ? backend.prefetch : set;
}

}  // namespace gyrfalcon
