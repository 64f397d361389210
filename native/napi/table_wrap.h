// NativeTable of lib/native.ts: one embedding table, usable without a model.
#ifndef GYRFALCON_NAPI_TABLE_WRAP_H_
#define GYRFALCON_NAPI_TABLE_WRAP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/lookup_table.h"
#include "napi/addon_api.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {

void RegisterTable(Napi::Env env, Napi::Object exports);

class TableWrap : public GuardedWrap<TableWrap> {
 public:
  explicit TableWrap(const Napi::CallbackInfo& info);
  static Napi::Function Class(Napi::Env env);

 private:
  Napi::Value Bag(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Warm(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<LookupTable> table_;
  int threads_ = 1;
  std::vector<int64_t> offsets_;  // checked copy: the caller's may be shared with other threads
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_TABLE_WRAP_H_
