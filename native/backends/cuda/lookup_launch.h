// The launch of one lookup kernel: groups in the kernel's parameters, or in device memory when they
// are too many.
#ifndef GYRFALCON_BACKENDS_CUDA_LOOKUP_LAUNCH_H_
#define GYRFALCON_BACKENDS_CUDA_LOOKUP_LAUNCH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cuda/lookup_args.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/request_port.h"

namespace gyrfalcon::cuda {

class LookupLaunch {
 public:
  // For up to `rows` batch rows. Copies by the port's stream, and waits for that.
  // Precondition: the port's device is current.
  static Result<LookupLaunch> Make(const std::shared_ptr<Device>& device, RequestPort& port,
                                   const std::vector<GroupArgs>& groups, int64_t rows);

  // Into the port's stream, or the graph that it is being captured into.
  Status Enqueue(RequestPort& port) const;

 private:
  std::unique_ptr<InlineGroups> inline_ = std::make_unique<InlineGroups>();
  DeviceMemory more_;  // GroupArgs[groups], uint32_t[groups + 1]
  uint32_t num_groups_ = 0;
  uint32_t blocks_ = 1;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_LOOKUP_LAUNCH_H_
