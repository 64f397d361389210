// NativeModel of lib/native.ts: one core Model.
#ifndef GYRFALCON_NAPI_MODEL_WRAP_H_
#define GYRFALCON_NAPI_MODEL_WRAP_H_

#include <memory>
#include <vector>

#include "core/batch.h"
#include "core/model.h"
#include "napi/addon_api.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {

class ModelWrap : public GuardedWrap<ModelWrap> {
 public:
  explicit ModelWrap(const Napi::CallbackInfo& info);

  static void Register(Napi::Env env, Napi::Object exports);

 private:
  static Napi::Value Load(const Napi::CallbackInfo& info);
  Napi::Value CreateBatch(const Napi::CallbackInfo& info);
  Napi::Value Explain(const Napi::CallbackInfo& info);
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Warm(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<const Model> model_;
  std::vector<std::weak_ptr<Batch>> batches_;
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_MODEL_WRAP_H_
