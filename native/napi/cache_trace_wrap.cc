#include "napi/cache_trace_wrap.h"

#include <optional>
#include <vector>

#include "backends/cuda/cache_trace.h"
#include "napi/errors.h"
#include "napi/guard.h"
#include "napi/typed_array.h"

namespace gyrfalcon::napi {
namespace {

Napi::Value TraceCache(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Result<ArrayView> view =
      ReadTypedArray(env, info[0], "ids", napi_int32_array, "Int32Array");
  if (!view.ok()) return Throw(env, view.status());
  const std::optional<int64_t> table_rows = IntegerArgument(info, 1, "tableRows");
  const std::optional<int64_t> cache_rows =
      table_rows ? IntegerArgument(info, 2, "cacheRows") : std::nullopt;
  const std::optional<int64_t> warm_up =
      cache_rows ? IntegerArgument(info, 3, "warmUp") : std::nullopt;
  if (!warm_up) return env.Undefined();
  if (*warm_up < 0) return Throw(env, InvalidArgument("expected warmUp of at least 0"));
  const auto* const from = static_cast<const int32_t*>(view.value().data);
  const std::vector<int32_t> ids(from, from + view.value().elements);
  const Result<cuda::CacheTraceResult> traced =
      cuda::TraceCache(ids, *table_rows, *cache_rows, *warm_up);
  if (!traced.ok()) return Throw(env, traced.status());
  const cuda::CacheTraceResult& result = traced.value();
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, int64_t value) {
    object.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  set("slots", result.slots);
  set("counted", result.counted);
  set("hits", result.hits);
  set("lruHits", result.lru_hits);
  set("topHits", result.top_hits);
  set("insertions", result.insertions);
  set("evictions", result.evictions);
  return object;
}

}  // namespace

void RegisterCacheTrace(Napi::Env env, Napi::Object exports) {
  exports.Set("traceCache", Function<&TraceCache>(env, "traceCache"));
}

}  // namespace gyrfalcon::napi
