// What one environment (main thread or worker) keeps: the registered error class, the classes'
// constructors, and the hand-over of finished scores.
#ifndef GYRFALCON_NAPI_ENV_STATE_H_
#define GYRFALCON_NAPI_ENV_STATE_H_

#include <array>
#include <cstddef>
#include <memory>

#include "napi/addon_api.h"
#include "napi/completions.h"

namespace gyrfalcon::napi {

enum class ClassId : size_t { kModel, kBatch, kTable, kEngine, kCount };

class EnvState {
 public:
  // Once per environment, from the addon's init.
  static void Install(Napi::Env env);
  // Null only before Install.
  static EnvState* Get(Napi::Env env) { return env.GetInstanceData<EnvState>(); }

  Napi::FunctionReference& error_class() { return error_class_; }
  // The constructor as it was when the addon was loaded, whatever JS makes of the global later.
  Napi::FunctionReference& array_buffer() { return array_buffer_; }
  Napi::FunctionReference& constructor(ClassId id) {
    return constructors_[static_cast<size_t>(id)];
  }
  Completions& completions() { return *completions_; }
  const std::shared_ptr<Completions>& shared_completions() { return completions_; }

 private:
  Napi::FunctionReference error_class_;
  Napi::FunctionReference array_buffer_;
  std::array<Napi::FunctionReference, static_cast<size_t>(ClassId::kCount)> constructors_;
  std::shared_ptr<Completions> completions_;
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_ENV_STATE_H_
