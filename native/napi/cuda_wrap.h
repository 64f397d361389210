// The CUDA driver as JavaScript asks about it.
#ifndef GYRFALCON_NAPI_CUDA_WRAP_H_
#define GYRFALCON_NAPI_CUDA_WRAP_H_

#include "napi/addon_api.h"

namespace gyrfalcon::napi {

void RegisterCuda(Napi::Env env, Napi::Object exports);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_CUDA_WRAP_H_
