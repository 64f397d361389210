// What calls of tables and of models take and give alike: ids of rows, and how a row cache does.
#ifndef GYRFALCON_NAPI_TABLE_VALUES_H_
#define GYRFALCON_NAPI_TABLE_VALUES_H_

#include <cstdint>
#include <vector>

#include "backends/cuda/row_cache.h"
#include "core/status.h"
#include "napi/addon_api.h"
#include "napi/typed_array.h"

namespace gyrfalcon::napi {

bool IsIds(const ArrayView& view);

// Each id is read once, because other threads may write a shared buffer.
std::vector<int64_t> CopyIds(const ArrayView& given);

// An Int32Array or BigInt64Array. kDtypeMismatch; as ReadTypedArray.
Result<std::vector<int64_t>> IdsArgument(Napi::Env env, const Napi::Value& given);

Napi::Object CacheStatsObject(Napi::Env env, const cuda::CacheStats& stats);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_TABLE_VALUES_H_
