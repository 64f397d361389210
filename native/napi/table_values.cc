#include "napi/table_values.h"

#include <string>

namespace gyrfalcon::napi {

bool IsIds(const ArrayView& view) {
  return view.type == napi_int32_array || view.type == napi_bigint64_array;
}

std::vector<int64_t> CopyIds(const ArrayView& given) {
  std::vector<int64_t> ids(given.elements);
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = given.type == napi_int32_array ? static_cast<const volatile int32_t*>(given.data)[i]
                                            : static_cast<const volatile int64_t*>(given.data)[i];
  }
  return ids;
}

Result<std::vector<int64_t>> IdsArgument(Napi::Env env, const Napi::Value& given) {
  Result<ArrayView> view = ReadTypedArray(env, given, "ids");
  if (!view.ok()) return view.status();
  if (IsIds(*view)) return CopyIds(*view);
  return Status{ErrorCode::kDtypeMismatch,
                "expected an Int32Array or BigInt64Array for ids but received " + Received(given)};
}

Napi::Object CacheStatsObject(Napi::Env env, const cuda::CacheStats& stats) {
  Napi::Object cache = Napi::Object::New(env);
  const auto set = [&](const char* name, int64_t value) {
    cache.Set(name, static_cast<double>(value));
  };
  set("slots", stats.slots);
  set("occupied", stats.occupied);
  set("hits", stats.hits);
  set("misses", stats.misses());
  set("insertions", stats.insertions);
  set("evictions", stats.evictions);
  set("updated", stats.updated);
  cache.Set("hitRate", stats.hit_rate());
  return cache;
}

}  // namespace gyrfalcon::napi
