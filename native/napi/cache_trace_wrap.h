// traceCache of lib/native.ts.
#ifndef GYRFALCON_NAPI_CACHE_TRACE_WRAP_H_
#define GYRFALCON_NAPI_CACHE_TRACE_WRAP_H_

#include "napi/addon_api.h"

namespace gyrfalcon::napi {

void RegisterCacheTrace(Napi::Env env, Napi::Object exports);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_CACHE_TRACE_WRAP_H_
