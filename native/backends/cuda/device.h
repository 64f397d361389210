// One CUDA device in use: its primary context, with our kernels loaded. Whoever has memory, streams
// or graphs on it holds a reference; the last one to go unloads the kernels.
#ifndef GYRFALCON_BACKENDS_CUDA_DEVICE_H_
#define GYRFALCON_BACKENDS_CUDA_DEVICE_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "backends/cuda/driver.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

class Device {
 public:
  struct Memory {
    size_t free = 0;
    size_t total = 0;
  };

  // The device of that number, shared by all that use it at one time. kDeviceUnavailable: no
  // driver, no such device, or one that our kernels do not run on.
  static Result<std::shared_ptr<Device>> Open(int ordinal);

  // Of a given driver, not shared: for tests.
  static Result<std::shared_ptr<Device>> OpenOf(const Driver& driver, int ordinal);

  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DriverApi& api() const { return driver_->api(); }
  const Driver& driver() const { return *driver_; }
  const DeviceInfo& info() const { return info_; }
  std::string name() const { return "cuda:" + std::to_string(info_.ordinal); }
  CuFunction lookup() const { return lookup_; }
  CuFunction finish() const { return finish_; }

  Status Check(CuResult result, std::string_view doing) const {
    return driver_->Check(result, std::string(doing) + " on " + name());
  }

  Result<Memory> ReadMemory() const;

  // What this process has on the device and pinned for it, in bytes.
  size_t device_bytes() const { return device_bytes_.load(std::memory_order_relaxed); }
  size_t pinned_bytes() const { return pinned_bytes_.load(std::memory_order_relaxed); }
  void CountDeviceBytes(size_t bytes) { device_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void CountPinnedBytes(size_t bytes) { pinned_bytes_.fetch_add(bytes, std::memory_order_relaxed); }

  // Runs `release`, which gives a handle back, in the device's context. What it returns is not
  // reported: there is nobody left to act on it. One that fails is tried once more, because these
  // functions also return errors of earlier work.
  void Release(const std::function<CuResult(const DriverApi&)>& release) const noexcept;

 private:
  friend class CurrentDevice;

  Device(const Driver* driver, DeviceInfo info) : driver_(driver), info_(std::move(info)) {}

  Status Start();
  Status LoadKernels();

  const Driver* driver_;
  DeviceInfo info_;
  CuDevice device_ = 0;
  CuContext context_ = nullptr;
  CuModule module_ = nullptr;
  CuFunction lookup_ = nullptr;
  CuFunction finish_ = nullptr;
  std::atomic<size_t> device_bytes_{0};
  std::atomic<size_t> pinned_bytes_{0};
};

// Makes a device's context this thread's while it lives, and then what was before: other users of
// CUDA in this process have contexts of their own.
class CurrentDevice {
 public:
  explicit CurrentDevice(const Device& device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

  const Status& status() const { return status_; }

 private:
  const DriverApi& api_;
  Status status_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_DEVICE_H_
