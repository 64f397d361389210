#include "napi/load_progress.h"

#include "napi/guard.h"

namespace gyrfalcon::napi {
namespace {

using Shared = std::shared_ptr<LoadProgress>;

// Of our externals: nobody else's may be read as one.
constexpr napi_type_tag kTag = {0x6b1f2a90c3d84e57, 0x9a04e1b7f5d26c38};

Napi::Value NewProgress(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto shared = std::make_unique<Shared>(std::make_shared<LoadProgress>());
  const auto made =
      Napi::External<Shared>::New(env, shared.get(), [](Napi::Env, Shared* done) { delete done; });
  if (env.IsExceptionPending()) return env.Undefined();
  shared.release();
  napi_type_tag_object(env, made, &kTag);
  return made;
}

// [bytes copied, bytes in all]
Napi::Value ReadProgress(const Napi::CallbackInfo& info) {
  const std::shared_ptr<LoadProgress> progress = ProgressOf(info[0]);
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, static_cast<double>(progress->bytes.load(std::memory_order_relaxed)));
  pair.Set(1U, static_cast<double>(progress->total.load(std::memory_order_relaxed)));
  return pair;
}

}  // namespace

std::shared_ptr<LoadProgress> ProgressOf(const Napi::Value& value) {
  bool ours = false;
  if (value.IsExternal() &&
      napi_check_object_type_tag(value.Env(), value, &kTag, &ours) == napi_ok && ours) {
    return *value.As<Napi::External<Shared>>().Data();
  }
  return std::make_shared<LoadProgress>();
}

void RegisterProgress(Napi::Env env, Napi::Object exports) {
  exports.Set("newProgress", Function<&NewProgress>(env, "newProgress"));
  exports.Set("readProgress", Function<&ReadProgress>(env, "readProgress"));
}

}  // namespace gyrfalcon::napi
