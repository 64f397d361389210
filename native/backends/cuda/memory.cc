#include "backends/cuda/memory.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>

namespace gyrfalcon::cuda {

std::string ByteText(size_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

Result<DeviceMemory> DeviceMemory::Allocate(const std::shared_ptr<Device>& device, size_t bytes) {
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  const size_t size = std::max<size_t>(bytes, 1);
  CuDevicePtr address = 0;
  const CuResult made = device->api().mem_alloc(&address, size);
  if (made == kCuOutOfMemory) {
    Result<Device::Memory> memory = device->ReadMemory();
    return {ErrorCode::kOutOfMemory, "expected " + ByteText(size) + " of memory on " +
                                         device->name() +
                                         (memory.ok() ? " but " + ByteText(memory->free) + " of " +
                                                            ByteText(memory->total) + " are free"
                                                      : std::string(" but it has less"))};
  }
  GYR_RETURN_IF_ERROR(device->Check(made, "allocating memory"));
  DeviceMemory result;
  result.device_ = device;
  result.address_ = address;
  result.bytes_ = size;
  device->CountDeviceBytes(size);
  return result;
}

DeviceMemory::~DeviceMemory() {
  if (device_ == nullptr) return;
  device_->Release([&](const DriverApi& api) { return api.mem_free(address_); });
  device_->CountDeviceBytes(size_t{0} - bytes_);
}

Result<PinnedMemory> PinnedMemory::Allocate(const std::shared_ptr<Device>& device, size_t bytes) {
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  const size_t size = std::max<size_t>(bytes, 1);
  void* data = nullptr;
  const CuResult made =
      device->api().mem_host_alloc(&data, size, kCuHostPortable | kCuHostDeviceMap);
  if (made == kCuOutOfMemory) {
    return {ErrorCode::kOutOfMemory,
            "could not allocate " + ByteText(size) + " of pinned memory for " + device->name()};
  }
  GYR_RETURN_IF_ERROR(device->Check(made, "allocating pinned memory"));
  PinnedMemory result;  // owns it from here on
  result.device_ = device;
  result.data_ = static_cast<std::byte*>(data);
  result.bytes_ = size;
  device->CountPinnedBytes(size);
  CuDevicePtr address = 0;
  GYR_RETURN_IF_ERROR(device->Check(device->api().mem_host_get_device_pointer(&address, data, 0),
                                    "mapping memory"));
  result.address_ = address;
  std::memset(data, 0, size);
  return result;
}

PinnedMemory::~PinnedMemory() {
  if (device_ == nullptr) return;
  device_->Release([&](const DriverApi& api) { return api.mem_free_host(data_); });
  device_->CountPinnedBytes(size_t{0} - bytes_);
}

}  // namespace gyrfalcon::cuda
