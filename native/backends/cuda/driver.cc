#include "backends/cuda/driver.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "backends/cuda/fatbin.h"

namespace gyrfalcon::cuda {
namespace {

using GetProcAddress = CuResult (*)(const char* symbol, void** function, int version,
                                    uint64_t flags);

constexpr const char* kLibrary = "libcuda.so.1";
constexpr ErrorCode kUnavailable = ErrorCode::kDeviceUnavailable;

Status Unavailable(std::string reason) { return {kUnavailable, std::move(reason)}; }

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Status FindFunctions(GetProcAddress find, DriverApi* api) {
#define GYR_CUDA_FIND(name, symbol, parameters)                                         \
  {                                                                                     \
    void* found = nullptr;                                                              \
    if (find(symbol, &found, kMinDriverVersion, 0) != kCuSuccess || found == nullptr) { \
      return Unavailable(std::string("the CUDA driver has no ") + symbol);              \
    }                                                                                   \
    api->name = reinterpret_cast<CuResult(*) parameters>(found);                        \
  }
  GYR_CUDA_FUNCTIONS(GYR_CUDA_FIND)
#undef GYR_CUDA_FIND
  return Status::Ok();
}

Result<DeviceInfo> Describe(const Driver& driver, int ordinal) {
  const DriverApi& api = driver.api();
  DeviceInfo info;
  info.ordinal = ordinal;
  CuDevice device = 0;
  GYR_RETURN_IF_ERROR(
      driver.Check(api.device_get(&device, ordinal), "finding a CUDA device", kUnavailable));
  std::array<char, 256> name{};
  GYR_RETURN_IF_ERROR(
      driver.Check(api.device_get_name(name.data(), static_cast<int>(name.size()) - 1, device),
                   "reading a CUDA device's name", kUnavailable));
  info.name = name.data();
  GYR_RETURN_IF_ERROR(driver.Check(api.device_total_mem(&info.memory_bytes, device),
                                   "reading a CUDA device's memory", kUnavailable));
  int maps = 0;
  const std::pair<int, int*> attributes[] = {{kCuAttributeMajor, &info.major},
                                             {kCuAttributeMinor, &info.minor},
                                             {kCuAttributeMultiprocessors, &info.multiprocessors},
                                             {kCuAttributeCanMapHostMemory, &maps}};
  for (const auto& [attribute, value] : attributes) {
    GYR_RETURN_IF_ERROR(driver.Check(api.device_get_attribute(value, attribute, device),
                                     "reading a CUDA device's attributes", kUnavailable));
  }
  info.maps_host_memory = maps != 0;
  return info;
}

Result<const Driver*> First() {
  const char* const setting = std::getenv("GYRFALCON_CUDA");
  if (setting != nullptr && std::string_view(setting) == "off") {
    return Unavailable("GYRFALCON_CUDA is off");
  }
  if (Fatbin().empty()) return Unavailable("this build has no CUDA kernels: nvcc was not found");
  const char* const path = std::getenv("GYRFALCON_CUDA_DRIVER");
  return Driver::Open(path != nullptr && *path != '\0' ? path : kLibrary);
}

}  // namespace

Status Driver::Check(CuResult result, std::string_view doing, ErrorCode code) const {
  if (result == kCuSuccess) return Status::Ok();
  const char* name = nullptr;
  const char* text = nullptr;
  if (api_.get_error_name(result, &name) != kCuSuccess || name == nullptr) name = "unknown error";
  if (api_.get_error_string(result, &text) != kCuSuccess || text == nullptr) text = "";
  std::string message = std::string(doing) + " failed: " + name;
  if (*text != '\0') message += std::string(": ") + text;
  return {result == kCuOutOfMemory ? ErrorCode::kOutOfMemory : code, std::move(message)};
}

Result<const Driver*> Driver::Open(const std::string& path) {
  // Never closed: the driver has threads of its own.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const reason = dlerror();
    return Unavailable(std::string("the CUDA driver cannot be opened: ") +
                       (reason != nullptr ? reason : path));
  }
  const auto find = reinterpret_cast<GetProcAddress>(dlsym(library, "cuGetProcAddress"));
  if (find == nullptr) {
    return Unavailable("expected a CUDA driver of version " + VersionText(kMinDriverVersion) +
                       " or later but " + path + " has no cuGetProcAddress");
  }
  std::unique_ptr<Driver> driver(new Driver);
  GYR_RETURN_IF_ERROR(FindFunctions(find, &driver->api_));
  const DriverApi& api = driver->api_;
  const CuResult started = api.init(0);
  if (started == kCuNoDevice) return Unavailable("the CUDA driver finds no device");
  GYR_RETURN_IF_ERROR(driver->Check(started, "starting the CUDA driver", kUnavailable));
  GYR_RETURN_IF_ERROR(driver->Check(api.driver_get_version(&driver->version_),
                                    "reading the CUDA driver's version", kUnavailable));
  if (driver->version_ < kMinDriverVersion) {
    return Unavailable("expected a CUDA driver of version " + VersionText(kMinDriverVersion) +
                       " or later but received " + VersionText(driver->version_));
  }
  int count = 0;
  GYR_RETURN_IF_ERROR(
      driver->Check(api.device_get_count(&count), "counting CUDA devices", kUnavailable));
  if (count == 0) return Unavailable("the CUDA driver finds no device");
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    Result<DeviceInfo> info = Describe(*driver, ordinal);
    if (!info.ok()) return info.status();
    driver->devices_.push_back(std::move(info).value());
  }
  return const_cast<const Driver*>(driver.release());
}

Result<const Driver*> Driver::Get() {
  static const auto* const first = new Result<const Driver*>(First());
  return *first;
}

}  // namespace gyrfalcon::cuda
