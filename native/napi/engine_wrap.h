// NativeEngine of lib/native.ts: an ONNX graph with named tensors, without tables.
#ifndef GYRFALCON_NAPI_ENGINE_WRAP_H_
#define GYRFALCON_NAPI_ENGINE_WRAP_H_

#include <memory>

#include "engines/engine.h"
#include "napi/addon_api.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {

void RegisterEngine(Napi::Env env, Napi::Object exports);

class EngineWrap : public GuardedWrap<EngineWrap> {
 public:
  explicit EngineWrap(const Napi::CallbackInfo& info);
  static Napi::Function Class(Napi::Env env);

 private:
  Napi::Value RunSync(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Engine> engine_;
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_ENGINE_WRAP_H_
