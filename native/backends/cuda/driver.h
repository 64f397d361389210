// The CUDA driver of this machine: opened at run time, never linked, never closed.
#ifndef GYRFALCON_BACKENDS_CUDA_DRIVER_H_
#define GYRFALCON_BACKENDS_CUDA_DRIVER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/driver_api.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

struct DeviceInfo {
  int ordinal = 0;
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  bool maps_host_memory = false;

  std::string capability() const { return std::to_string(major) + "." + std::to_string(minor); }
};

class Driver {
 public:
  // The one driver of this process: libcuda.so.1, or what GYRFALCON_CUDA_DRIVER names. The first
  // call opens it; a failure stays. kDeviceUnavailable, with the reason: not built in, forbidden by
  // GYRFALCON_CUDA=off, no driver, driver too old, no device.
  static Result<const Driver*> Get();

  // Opens a driver by path, past the one of this process: for tests.
  static Result<const Driver*> Open(const std::string& path);

  const DriverApi& api() const { return api_; }
  int version() const { return version_; }  // 1000 * major + 10 * minor
  const std::vector<DeviceInfo>& devices() const { return devices_; }

  // OK, kOutOfMemory, or `code`: "<doing> failed: <name>: <text>".
  Status Check(CuResult result, std::string_view doing,
               ErrorCode code = ErrorCode::kDeviceFailed) const;

 private:
  Driver() = default;

  DriverApi api_;
  int version_ = 0;
  std::vector<DeviceInfo> devices_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_DRIVER_H_
