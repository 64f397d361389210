// ArrayBuffers: over a batch's arena, or of V8's own memory. Neither kind can end the process or
// lose track of who frees what.
#ifndef GYRFALCON_NAPI_BUFFERS_H_
#define GYRFALCON_NAPI_BUFFERS_H_

#include <cstddef>
#include <memory>

#include "core/arena.h"
#include "core/status.h"
#include "napi/addon_api.h"

namespace gyrfalcon::napi {

// An ArrayBuffer over the arena that shares its ownership: JS may keep, detach or collect it at any
// time and a worker still has its memory. Empty where that is not allowed (the runtime forbids
// external buffers, or GYRFALCON_EXTERNAL_BUFFERS=off); no exception is pending then.
Napi::Value ShareArena(Napi::Env env, const std::shared_ptr<Arena>& arena);

// Zeroed memory of V8's. kOutOfMemory where V8 has none: unlike napi_create_arraybuffer, which
// ends the process.
Result<Napi::Value> NewArrayBuffer(Napi::Env env, size_t bytes);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_BUFFERS_H_
