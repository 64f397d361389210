#include "backends/cuda/lookup_launch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cuda/lookup_request.h"

namespace gyrfalcon::cuda {

Result<LookupLaunch> LookupLaunch::Make(const std::shared_ptr<Device>& device, RequestPort& port,
                                        const std::vector<GroupArgs>& groups, int64_t rows) {
  Result<std::vector<uint32_t>> first = DivideIntoWarps(groups, rows);
  if (!first.ok()) return first.status();
  LookupLaunch launch;
  launch.num_groups_ = static_cast<uint32_t>(groups.size());
  launch.blocks_ = BlocksFor(first->back());
  if (groups.size() <= kInlineGroups) {
    std::copy(groups.begin(), groups.end(), launch.inline_->group);
    std::copy(first->begin(), first->end(), launch.inline_->first_warp);
    return launch;
  }
  const size_t group_bytes = groups.size() * sizeof(GroupArgs);
  const size_t bytes = group_bytes + first->size() * sizeof(uint32_t);
  Result<PinnedMemory> staging = PinnedMemory::Allocate(device, bytes);
  if (!staging.ok()) return staging.status();
  std::memcpy(staging->data(), groups.data(), group_bytes);
  std::memcpy(staging->data() + group_bytes, first->data(), bytes - group_bytes);
  Result<DeviceMemory> more = DeviceMemory::Allocate(device, bytes);
  if (!more.ok()) return more.status();
  launch.more_ = std::move(*more);
  const Status copied = port.EnqueueCopy(launch.more_.address(), staging->data(), bytes);
  const Status drained = port.Drain();  // before the memory that is copied from is freed
  GYR_RETURN_IF_ERROR(copied);
  GYR_RETURN_IF_ERROR(drained);
  return launch;
}

Status LookupLaunch::Enqueue(RequestPort& port) const {
  uint64_t more = more_.address();
  uint64_t more_first = more == 0 ? 0 : more + num_groups_ * sizeof(GroupArgs);
  uint32_t num_groups = num_groups_;
  uint64_t rows = port.rows_address();
  uint64_t report = port.report_address();
  void* arguments[] = {inline_.get(), &more, &more_first, &num_groups, &rows, &report};
  const Device& device = port.device();
  return device.Check(
      device.api().launch_kernel(device.lookup(), blocks_, 1, 1, 32 * kWarpsPerBlock, 1, 1, 0,
                                 port.stream(), arguments, nullptr),
      "launching a lookup");
}

}  // namespace gyrfalcon::cuda
