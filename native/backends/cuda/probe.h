// Whether CUDA works here: what a child process finds out before a service relies on it.
#ifndef GYRFALCON_BACKENDS_CUDA_PROBE_H_
#define GYRFALCON_BACKENDS_CUDA_PROBE_H_

#include <vector>

#include "backends/cuda/driver.h"

namespace gyrfalcon::cuda {

struct DeviceProbe {
  DeviceInfo info;
  Status status;  // of running our kernels on it
};

struct Probe {
  Status status;  // of the driver
  int driver_version = 0;
  std::vector<DeviceProbe> devices;
};

// Opens the driver and runs a kernel on device `ordinal`, or on every one when that is negative. A
// broken driver may end the process or never return.
Probe ProbeDevices(int ordinal);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_PROBE_H_
