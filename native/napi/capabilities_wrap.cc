#include "napi/capabilities_wrap.h"

#include <string>

#include "backends/lookup.h"
#include "core/error_code.h"
#include "core/prefetch_setup.h"
#include "core/prefetch_text.h"
#include "engines/fused/gemm/gemm.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {
namespace {

Napi::Value Cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  const LookupBackend* active = ActiveLookupBackend();
  object.Set("isa", active == nullptr ? env.Null()
                                      : Napi::Value(Napi::String::New(env, active->name.data(),
                                                                      active->name.size())));
  const fused::GemmKernels* products = fused::ActiveGemmKernels();
  object.Set("products", products == nullptr
                             ? env.Null()
                             : Napi::Value(Napi::String::New(env, products->name.data(),
                                                             products->name.size())));
  if (active == nullptr) {
    object.Set("prefetch", env.Null());
  } else {
    Napi::Object prefetch = Napi::Object::New(env);
    const Prefetching current = CurrentPrefetching(*active);
    prefetch.Set("lines", static_cast<double>(current.lines));
    prefetch.Set("order", std::string(PrefetchOrderName(current.order)));
    prefetch.Set("source", std::string(PrefetchSourceName(PrefetchSetup::Shared().source())));
    object.Set("prefetch", prefetch);
  }
  Napi::Array available = Napi::Array::New(env);
  uint32_t at = 0;
  for (const LookupBackend& backend : LookupBackends()) {
    available.Set(at++, std::string(backend.name));
  }
  object.Set("available", available);
  Napi::Array unavailable = Napi::Array::New(env);
  at = 0;
  for (const BackendReason& reason : UnavailableLookupBackends()) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", std::string(reason.name));
    entry.Set("reason", std::string(reason.reason));
    unavailable.Set(at++, entry);
  }
  object.Set("unavailable", unavailable);
  return object;
}

Napi::Value ErrorCodes(const Napi::CallbackInfo& info) {
  Napi::Array codes = Napi::Array::New(info.Env());
  uint32_t at = 0;
  for (const std::string_view name : kErrorCodeNames) codes.Set(at++, std::string(name));
  return codes;
}

}  // namespace

void RegisterCapabilities(Napi::Env env, Napi::Object exports) {
  exports.Set("cpu", Function<&Cpu>(env, "cpu"));
  exports.Set("errorCodes", Function<&ErrorCodes>(env, "errorCodes"));
}

}  // namespace gyrfalcon::napi
