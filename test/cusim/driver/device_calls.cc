// Devices, contexts, modules, and finding functions.
#include <cstdio>
#include <map>
#include <string>

#include "cusim/driver/driver.h"
#include "cusim/driver/fatbin.h"

namespace cusim {
namespace {

constexpr int kVersion = 12040;

// Device 1 is too old for our kernels.
struct DeviceFacts {
  int major;
  int minor;
};
constexpr DeviceFacts kFacts[Driver::kDevices] = {{8, 0}, {6, 1}};

bool IsDevice(CUdevice device) { return device >= 0 && device < Driver::kDevices; }

}  // namespace
}  // namespace cusim

using namespace cusim;  // NOLINT: every function here is the driver's

#pragma GCC visibility push(default)
extern "C" {

CUresult CUDAAPI cuInit(unsigned flags) {
  CUSIM_CALL(cuInit, Call::kNothing);
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  driver.initialized = true;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDriverGetVersion(int* version) {
  CUSIM_CALL(cuDriverGetVersion, Call::kNothing);
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *version = kVersion;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorName(CUresult error, const char** name) {
  CUSIM_CALL(cuGetErrorName, Call::kNothing);
  static const std::map<int, const char*> names = {{1, "CUDA_ERROR_INVALID_VALUE"},
                                                   {2, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                   {201, "CUDA_ERROR_INVALID_CONTEXT"},
                                                   {400, "CUDA_ERROR_INVALID_HANDLE"},
                                                   {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                   {716, "CUDA_ERROR_MISALIGNED_ADDRESS"},
                                                   {719, "CUDA_ERROR_LAUNCH_FAILED"},
                                                   {999, "CUDA_ERROR_UNKNOWN"}};
  const auto found = names.find(error);
  if (found == names.end()) return CUDA_ERROR_INVALID_VALUE;
  *name = found->second;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) {
  CUSIM_CALL(cuGetErrorString, Call::kNothing);
  *text = "simulated";
  return error >= 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI cuDeviceGetCount(int* count) {
  CUSIM_CALL(cuDeviceGetCount, Call::kNothing);
  if (!driver.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  *count = Driver::kDevices;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) {
  CUSIM_CALL(cuDeviceGet, Call::kNothing);
  if (!driver.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetName(char* name, int length, CUdevice device) {
  CUSIM_CALL(cuDeviceGetName, Call::kNothing);
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, static_cast<size_t>(length), "Simulated device %d", device);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  CUSIM_CALL(cuDeviceGetAttribute, Call::kNothing);
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = kFacts[device].major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = kFacts[device].minor; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 4; break;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY: *value = 1; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceTotalMem(size_t* bytes, CUdevice device) {
  CUSIM_CALL(cuDeviceTotalMem, Call::kNothing);
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = driver.memory.limit();
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  CUSIM_CALL(cuDevicePrimaryCtxRetain, Call::kNothing);
  if (!driver.initialized) return CUDA_ERROR_NOT_INITIALIZED;
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (driver.sticky != CUDA_SUCCESS) return driver.sticky;
  ++driver.retained[static_cast<size_t>(device)];
  *context = ContextOf(device);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) {
  CUSIM_CALL(cuDevicePrimaryCtxRelease, Call::kNothing);
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  int& retained = driver.retained[static_cast<size_t>(device)];
  if (retained == 0) {
    driver.Misuse("a context that is released once more than retained");
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (--retained > 0) return CUDA_SUCCESS;
  if (driver.scheduler.Busy()) driver.Misuse("a context that ends under work");
  for (const auto& [handle, object] : driver.objects) {
    if (object.context != ContextOf(device)) continue;
    driver.Misuse("a context that ends before what is in it:\n" + driver.Leaks());
    break;
  }
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxPushCurrent(CUcontext context) {
  CUSIM_CALL(cuCtxPushCurrent, Call::kNothing);
  for (int device = 0; device < Driver::kDevices; ++device) {
    if (context != ContextOf(device) || driver.retained[static_cast<size_t>(device)] == 0) continue;
    Contexts().push_back(context);
    return CUDA_SUCCESS;
  }
  driver.Misuse("a context that is not retained");
  return CUDA_ERROR_INVALID_CONTEXT;
}

CUresult CUDAAPI cuCtxPopCurrent(CUcontext* context) {
  CUSIM_CALL(cuCtxPopCurrent, Call::kNothing);
  if (Contexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (context != nullptr) *context = Contexts().back();
  Contexts().pop_back();
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) {
  CUSIM_CALL(cuCtxGetCurrent, Call::kNothing);
  *context = Contexts().empty() ? nullptr : Contexts().back();
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSynchronize(void) {
  CUSIM_CALL(cuCtxSynchronize, Call::kContext | Call::kNotCapturing);
  const std::vector<std::shared_ptr<Stream>> streams = driver.scheduler.streams;
  for (const std::shared_ptr<Stream>& stream : streams) {
    const CUresult result = driver.WaitFor(call.lock(), stream, stream->enqueued);
    if (result != CUDA_SUCCESS) return result;
  }
  return call.Done();
}

CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
  CUSIM_CALL(cuModuleLoadData, Call::kContext | Call::kNotCapturing);
  const auto device = static_cast<size_t>(Contexts().back() == ContextOf(0) ? 0 : 1);
  std::string_view text;
  const CUresult found =
      FindPtx(image, 10 * kFacts[device].major + kFacts[device].minor, &text);
  if (found != CUDA_SUCCESS) return found;
  auto known = driver.parsed.find(text);
  if (known == driver.parsed.end()) {
    auto parsed = ParsePtx(text);
    if (const auto* const error = std::get_if<ParseError>(&parsed)) {
      driver.Misuse("line " + std::to_string(error->line) + " of the PTX: " + error->message);
      return CUDA_ERROR_INVALID_PTX;
    }
    known = driver.parsed.emplace(text, std::get<Module*>(parsed)).first;
  }
  *module = driver.Add<CUmodule>(LoadedModule{known->second.get()});
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuModuleUnload(CUmodule module) {
  CUSIM_CALL(cuModuleUnload, Call::kContext | Call::kGivesBack | Call::kNotCapturing);
  if (driver.scheduler.Busy()) driver.Misuse("a module that is unloaded under work");
  std::erase_if(driver.functions, [&](const auto& each) { return each.second.first == module; });
  return driver.Forget(reinterpret_cast<uint64_t>(module), "a module");
}

CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  CUSIM_CALL(cuModuleGetFunction, Call::kContext);
  const auto* const loaded = driver.Find<LoadedModule>(module, "a module");
  if (loaded == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const auto kernel = loaded->module->kernels.find(std::string_view(name));
  if (kernel == loaded->module->kernels.end()) return CUDA_ERROR_NOT_FOUND;
  const uint64_t handle = driver.NextHandle();
  driver.functions[handle] = {module, &kernel->second};
  *function = reinterpret_cast<CUfunction>(handle);
  return CUDA_SUCCESS;
}

}  // extern "C"
#pragma GCC visibility pop
