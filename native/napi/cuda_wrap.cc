#include "napi/cuda_wrap.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "backends/cuda/fatbin.h"
#include "backends/cuda/probe.h"
#include "napi/errors.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {
namespace {

// What was found out in this process, for all its threads.
struct Verdicts {
  std::mutex mutex;
  std::map<std::string, std::string> known;

  static Verdicts& Shared() {
    static auto* const shared = new Verdicts;
    return *shared;
  }
};

// Argument: a device's number, or -1 for all. In a child process only.
Napi::Value CudaProbe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<int64_t> ordinal = IntegerArgument(info, 0, "device");
  if (!ordinal.has_value()) return env.Undefined();
  const cuda::Probe probe = cuda::ProbeDevices(static_cast<int>(*ordinal));
  Napi::Object object = Napi::Object::New(env);
  if (!probe.status.ok()) object.Set("reason", probe.status.message());
  object.Set("driverVersion", static_cast<double>(probe.driver_version));
  Napi::Array devices = Napi::Array::New(env, probe.devices.size());
  uint32_t at = 0;
  for (const cuda::DeviceProbe& device : probe.devices) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("ordinal", device.info.ordinal);
    entry.Set("model", device.info.name);
    entry.Set("computeCapability", device.info.capability());
    entry.Set("memoryBytes", static_cast<double>(device.info.memory_bytes));
    if (!device.status.ok()) entry.Set("reason", device.status.message());
    devices.Set(at++, entry);
  }
  object.Set("devices", devices);
  return object;
}

Napi::Value CudaBuilt(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !cuda::Fatbin().empty());
}

// Where this addon was loaded from; empty where the system does not tell.
Napi::Value AddonPath(const Napi::CallbackInfo& info) {
  Dl_info found{};
  const bool known = dladdr(reinterpret_cast<const void*>(&RegisterCuda), &found) != 0;
  return Napi::String::New(info.Env(), known && found.dli_fname != nullptr ? found.dli_fname : "");
}

// Arguments: a key, and a text to be remembered for it. The first one stays.
Napi::Value CudaVerdict(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<std::string> key = StringArgument(info, 0, "key");
  if (!key.has_value()) return env.Undefined();
  Verdicts& verdicts = Verdicts::Shared();
  const std::lock_guard lock(verdicts.mutex);
  if (info[1].IsString()) verdicts.known.emplace(*key, StringOf(info[1]));
  const auto found = verdicts.known.find(*key);
  if (found == verdicts.known.end()) return env.Undefined();
  return Napi::String::New(env, found->second);
}

}  // namespace

void RegisterCuda(Napi::Env env, Napi::Object exports) {
  exports.Set("cudaBuilt", Function<&CudaBuilt>(env, "cudaBuilt"));
  exports.Set("cudaProbe", Function<&CudaProbe>(env, "cudaProbe"));
  exports.Set("cudaVerdict", Function<&CudaVerdict>(env, "cudaVerdict"));
  exports.Set("addonPath", Function<&AddonPath>(env, "addonPath"));
}

}  // namespace gyrfalcon::napi
