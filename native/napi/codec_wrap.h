// encodeRows and Xxh64 of lib/native.ts: what writing a bundle needs.
#ifndef GYRFALCON_NAPI_CODEC_WRAP_H_
#define GYRFALCON_NAPI_CODEC_WRAP_H_

#include "napi/addon_api.h"

namespace gyrfalcon::napi {

void RegisterCodec(Napi::Env env, Napi::Object exports);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_CODEC_WRAP_H_
