#include "backends/cuda/lookup_request.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "backends/cuda/device_rows.h"

namespace gyrfalcon::cuda {
namespace {

static_assert(static_cast<int>(DeviceStorage::kInt4) == static_cast<int>(Storage::kInt4));
static_assert(static_cast<int>(DevicePooling::kSum) == static_cast<int>(Pooling::kSum) &&
              static_cast<int>(DevicePooling::kMean) == static_cast<int>(Pooling::kMean) &&
              static_cast<int>(DevicePooling::kNone) == static_cast<int>(Pooling::kNone));

constexpr uint32_t kMaxWarps = uint32_t{1} << 31;
// A store writes four elements at once.
constexpr int64_t kStoreElements = 4;

Status OverLimit(const std::string& what, int64_t most, int64_t received) {
  return {ErrorCode::kLimitExceeded, "expected at most " + std::to_string(most) + " " + what +
                                         " on a CUDA device but received " +
                                         std::to_string(received)};
}

// As many lanes as a row has chunks of 16 bytes, in powers of two up to a warp.
uint8_t LaneBits(uint32_t value_bytes) {
  const uint32_t chunks = (value_bytes + kChunkBytes - 1) / kChunkBytes;
  return static_cast<uint8_t>(std::countr_zero(std::bit_ceil(std::min(chunks, 32u))));
}

}  // namespace

Result<GroupArgs> MakeGroupArgs(const BagGroup& group, const GroupAddresses& addresses,
                                OutOfRange policy, OutputType output) {
  constexpr int64_t kMaxRows = int64_t{std::numeric_limits<uint32_t>::max()} - 1;
  constexpr int64_t kMaxIds = std::numeric_limits<int32_t>::max();
  if (group.table.rows > kMaxRows) return OverLimit("rows of a table", kMaxRows, group.table.rows);
  if (group.count > kMaxIds) return OverLimit("ids of a bag", kMaxIds, group.count);
  const DeviceRowLayout layout = LayoutOf(group.table.storage, group.table.dim);
  GroupArgs args{};
  args.table = addresses.table;
  args.rows = static_cast<uint64_t>(group.table.rows);
  args.indices = addresses.indices;
  args.offsets = addresses.offsets;
  args.weights = addresses.weights;
  args.add = group.add_count > 0 ? addresses.add : 0;
  args.out = addresses.out;
  args.cache = addresses.cache;
  args.index_row_stride = group.index_row_stride;
  args.index_step = group.index_step;
  args.weight_row_stride = group.weight_row_stride;
  args.weight_step = group.weight_step;
  args.out_row_stride = group.out_row_stride;
  args.count = group.count;
  args.padding = group.padding;
  args.add_count = static_cast<uint32_t>(group.add_count);
  args.dim = static_cast<uint32_t>(group.table.dim);
  args.row_stride = layout.stride;
  args.scale_offset = layout.scale;
  args.storage = static_cast<DeviceStorage>(group.table.storage);
  args.pooling = static_cast<DevicePooling>(group.pooling);
  args.lane_bits = LaneBits(layout.values);
  const uint64_t store = kStoreElements * (output == OutputType::kF16 ? 2 : 4);
  const bool vectors = args.out % store == 0 && group.out_row_stride % kStoreElements == 0 &&
                       group.table.dim % kStoreElements == 0;
  args.flags = static_cast<uint8_t>(
      (group.indices_are_64 ? kIndices64 : 0) | (group.offsets_are_64 ? kOffsets64 : 0) |
      (group.has_padding ? kHasPadding : 0) | (output == OutputType::kF16 ? kOutHalf : 0) |
      (vectors ? kVectorOut : 0) | (policy == OutOfRange::kZero ? kZeroOutOfRange : 0));
  return args;
}

Result<std::vector<uint32_t>> DivideIntoWarps(const std::vector<GroupArgs>& groups, int64_t rows) {
  std::vector<uint32_t> first;
  first.reserve(groups.size() + 1);
  int64_t warps = 0;
  for (const GroupArgs& group : groups) {
    first.push_back(static_cast<uint32_t>(warps));
    const int64_t bags = 32 >> group.lane_bits;
    warps += (rows + bags - 1) / bags;
    if (warps >= kMaxWarps) return OverLimit("warps of one request", kMaxWarps - 1, warps);
  }
  first.push_back(static_cast<uint32_t>(warps));
  return first;
}

uint32_t BlocksFor(uint32_t warps) {
  return std::max<uint32_t>((warps + kWarpsPerBlock - 1) / kWarpsPerBlock, 1);
}

void AddReport(const DeviceReport& from, int64_t row_begin, int64_t rows, LookupReport* report) {
  report->zeroed += static_cast<int64_t>(from.zeroed);
  if (from.first_bad == kNoBadPosition) return;
  const auto bag = static_cast<int64_t>(from.first_bad >> kPositionBits);
  report->failed = true;
  report->group = static_cast<size_t>(bag / rows);
  report->row = row_begin + bag % rows;
  report->position = static_cast<int64_t>(from.first_bad & ((uint64_t{1} << kPositionBits) - 1));
}

}  // namespace gyrfalcon::cuda
