// How far a load has come, for JavaScript to look at meanwhile.
#ifndef GYRFALCON_NAPI_LOAD_PROGRESS_H_
#define GYRFALCON_NAPI_LOAD_PROGRESS_H_

#include <memory>

#include "core/device_tables.h"
#include "napi/addon_api.h"

namespace gyrfalcon::napi {

// `newProgress` and `readProgress`.
void RegisterProgress(Napi::Env env, Napi::Object exports);

// What newProgress made; one that nobody reads when `value` is something else.
std::shared_ptr<LoadProgress> ProgressOf(const Napi::Value& value);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_LOAD_PROGRESS_H_
