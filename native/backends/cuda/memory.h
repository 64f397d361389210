// Memory of a device, and memory of the host that a device reads and writes. Move-only owners.
#ifndef GYRFALCON_BACKENDS_CUDA_MEMORY_H_
#define GYRFALCON_BACKENDS_CUDA_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "backends/cuda/device.h"

namespace gyrfalcon::cuda {

class DeviceMemory {
 public:
  // At least 256-byte aligned. kOutOfMemory says how much was free.
  static Result<DeviceMemory> Allocate(const std::shared_ptr<Device>& device, size_t bytes);

  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept { Swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    Swap(other);
    return *this;
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory();

  uint64_t address() const { return address_; }
  size_t bytes() const { return bytes_; }

 private:
  void Swap(DeviceMemory& other) {
    std::swap(device_, other.device_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
  }

  std::shared_ptr<Device> device_;
  uint64_t address_ = 0;
  size_t bytes_ = 0;
};

// Pinned, zeroed, and mapped into the device's addresses.
class PinnedMemory {
 public:
  static Result<PinnedMemory> Allocate(const std::shared_ptr<Device>& device, size_t bytes);

  PinnedMemory() = default;
  PinnedMemory(PinnedMemory&& other) noexcept { Swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    Swap(other);
    return *this;
  }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory();

  std::byte* data() const { return data_; }
  uint64_t address() const { return address_; }  // of `data`, on the device
  size_t bytes() const { return bytes_; }

  // Where the device finds what lies at `in` of the host. Precondition: inside this memory.
  uint64_t AddressOf(const void* in) const {
    return address_ + static_cast<uint64_t>(static_cast<const std::byte*>(in) - data_);
  }
  bool Holds(const void* in) const {
    const auto* const at = static_cast<const std::byte*>(in);
    return at >= data_ && at < data_ + bytes_;
  }

 private:
  void Swap(PinnedMemory& other) {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
  }

  std::shared_ptr<Device> device_;
  std::byte* data_ = nullptr;
  uint64_t address_ = 0;
  size_t bytes_ = 0;
};

// 1536 as "1.5 KiB".
std::string ByteText(size_t bytes);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_MEMORY_H_
