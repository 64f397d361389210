#include "backends/cuda/device.h"

#include <map>
#include <mutex>
#include <utility>

#include "backends/cuda/fatbin.h"

namespace gyrfalcon::cuda {
namespace {

// The oldest architecture that kernels are compiled for.
constexpr int kMinMajor = 7;
constexpr int kMinMinor = 5;

Status Unusable(const DeviceInfo& info, const std::string& reason) {
  return {ErrorCode::kDeviceUnavailable,
          "cuda:" + std::to_string(info.ordinal) + " (" + info.name + ") " + reason};
}

// Devices in use, by number. Leaked on purpose: what is freed while statics are destroyed may still
// look here.
struct OpenDevices {
  std::mutex mutex;
  std::map<int, std::weak_ptr<Device>> devices;

  static OpenDevices& Shared() {
    static auto* const shared = new OpenDevices;
    return *shared;
  }
};

}  // namespace

CurrentDevice::CurrentDevice(const Device& device)
    : api_(device.api()),
      status_(device.Check(api_.ctx_push_current(device.context_), "entering the context")) {}

CurrentDevice::~CurrentDevice() {
  CuContext popped = nullptr;
  if (status_.ok() && api_.ctx_pop_current(&popped) != kCuSuccess) api_.ctx_pop_current(&popped);
}

Result<std::shared_ptr<Device>> Device::Open(int ordinal) {
  Result<const Driver*> driver = Driver::Get();
  if (!driver.ok()) return driver.status();
  OpenDevices& open = OpenDevices::Shared();
  const std::lock_guard lock(open.mutex);
  std::weak_ptr<Device>& known = open.devices[ordinal];
  if (std::shared_ptr<Device> device = known.lock()) return device;
  Result<std::shared_ptr<Device>> device = OpenOf(**driver, ordinal);
  if (device.ok()) known = *device;
  return device;
}

Result<std::shared_ptr<Device>> Device::OpenOf(const Driver& driver, int ordinal) {
  const auto count = static_cast<int>(driver.devices().size());
  if (ordinal < 0 || ordinal >= count) {
    return {ErrorCode::kDeviceUnavailable, "expected cuda:0 to cuda:" + std::to_string(count - 1) +
                                               " but received cuda:" + std::to_string(ordinal)};
  }
  const DeviceInfo& info = driver.devices()[static_cast<size_t>(ordinal)];
  if (std::pair(info.major, info.minor) < std::pair(kMinMajor, kMinMinor)) {
    return Unusable(info,
                    "has compute capability " + info.capability() + ", expected at least 7.5");
  }
  if (!info.maps_host_memory) return Unusable(info, "cannot map memory of the host");
  std::shared_ptr<Device> device(new Device(&driver, info));
  GYR_RETURN_IF_ERROR(device->Start());
  return device;
}

Status Device::Start() {
  GYR_RETURN_IF_ERROR(Check(api().device_get(&device_, info_.ordinal), "finding the device"));
  CuContext context = nullptr;
  GYR_RETURN_IF_ERROR(Check(api().primary_ctx_retain(&context, device_), "making a context"));
  context_ = context;
  const CurrentDevice current(*this);
  GYR_RETURN_IF_ERROR(current.status());
  return LoadKernels();
}

Status Device::LoadKernels() {
  const CuResult loaded = api().module_load_data(&module_, Fatbin().data());
  if (loaded != kCuSuccess) module_ = nullptr;
  if (loaded == kCuNoBinaryForGpu) return Unusable(info_, "runs none of the kernels in this build");
  GYR_RETURN_IF_ERROR(Check(loaded, "loading kernels"));
  GYR_RETURN_IF_ERROR(Check(api().module_get_function(&lookup_, module_, "gyrfalcon_lookup"),
                            "finding the lookup kernel"));
  return Check(api().module_get_function(&finish_, module_, "gyrfalcon_finish"),
               "finding the kernel that ends a request");
}

Device::~Device() {
  if (module_ != nullptr) Release([&](const DriverApi& api) { return api.module_unload(module_); });
  if (context_ == nullptr) return;
  if (api().primary_ctx_release(device_) != kCuSuccess) api().primary_ctx_release(device_);
}

Result<Device::Memory> Device::ReadMemory() const {
  const CurrentDevice current(*this);
  GYR_RETURN_IF_ERROR(current.status());
  Memory memory;
  GYR_RETURN_IF_ERROR(
      Check(api().mem_get_info(&memory.free, &memory.total), "reading how much memory is free"));
  return memory;
}

void Device::Release(const std::function<CuResult(const DriverApi&)>& release) const noexcept {
  CuContext popped = nullptr;
  bool entered = api().ctx_push_current(context_) == kCuSuccess;
  if (!entered) entered = api().ctx_push_current(context_) == kCuSuccess;
  if (!entered) return;
  if (release(api()) != kCuSuccess) release(api());
  if (api().ctx_pop_current(&popped) != kCuSuccess) api().ctx_pop_current(&popped);
}

}  // namespace gyrfalcon::cuda
