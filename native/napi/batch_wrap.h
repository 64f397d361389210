// NativeBatch of lib/native.ts: one core Batch and its JS views.
#ifndef GYRFALCON_NAPI_BATCH_WRAP_H_
#define GYRFALCON_NAPI_BATCH_WRAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/batch.h"
#include "napi/addon_api.h"
#include "napi/completions.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {

class BatchWrap : public GuardedWrap<BatchWrap> {
 public:
  explicit BatchWrap(const Napi::CallbackInfo& info);

  static void Register(Napi::Env env);
  static Napi::Value New(Napi::Env env, std::shared_ptr<Batch> batch, const ModelSpec& spec);

 private:
  Napi::Value ScoreSync(const Napi::CallbackInfo& info);
  Napi::Value Score(const Napi::CallbackInfo& info);
  Napi::Value Cancel(const Napi::CallbackInfo& info);
  Napi::Value Times(const Napi::CallbackInfo& info);

  // Where the views lie over memory of V8's: inputs are copied before a score, outputs after it.
  struct Copy {
    std::byte* data;
    int64_t rows;
    int64_t tensor_rows;
  };
  std::optional<Copy> CopyArguments(const Napi::CallbackInfo& info);
  Napi::Value CopyIn(const Napi::CallbackInfo& info);
  Napi::Value CopyOut(const Napi::CallbackInfo& info);

  std::shared_ptr<Batch> batch_;
  std::shared_ptr<ScoreJob> job_;
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_BATCH_WRAP_H_
