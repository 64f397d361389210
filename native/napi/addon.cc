// Table of contents of the addon; lib/native.ts declares the same exports.
#include "napi/addon_api.h"
#include "napi/batch_wrap.h"
#include "napi/cache_trace_wrap.h"
#include "napi/capabilities_wrap.h"
#include "napi/codec_wrap.h"
#include "napi/cuda_wrap.h"
#include "napi/engine_wrap.h"
#include "napi/env_state.h"
#include "napi/errors.h"
#include "napi/guard.h"
#include "napi/load_progress.h"
#include "napi/model_wrap.h"
#include "napi/table_wrap.h"

namespace gyrfalcon::napi {
namespace {

Napi::Value SetErrorClass(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) return Throw(info.Env(), InvalidArgument("expected a class"));
  EnvState::Get(info.Env())->error_class() = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value Shutdown(const Napi::CallbackInfo& info) {
  EnvState::Get(info.Env())->completions().Shutdown();
  return info.Env().Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  EnvState::Install(env);
  exports.Set("version", Napi::String::New(env, GYRFALCON_VERSION));
  exports.Set("setErrorClass", Function<&SetErrorClass>(env, "setErrorClass"));
  exports.Set("shutdown", Function<&Shutdown>(env, "shutdown"));
  ModelWrap::Register(env, exports);
  BatchWrap::Register(env);
  RegisterTable(env, exports);
  RegisterEngine(env, exports);
  RegisterCodec(env, exports);
  RegisterCapabilities(env, exports);
  RegisterCuda(env, exports);
  RegisterProgress(env, exports);
  RegisterCacheTrace(env, exports);
  return exports;
}

}  // namespace
}  // namespace gyrfalcon::napi

// The macros of node-addon-api want a function in the global namespace.
static Napi::Object InitGyrfalcon(Napi::Env env, Napi::Object exports) {
  return gyrfalcon::napi::Init(env, exports);
}

NODE_API_MODULE(gyrfalcon, InitGyrfalcon)
