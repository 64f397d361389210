#include "napi/buffers.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "napi/env_state.h"

namespace gyrfalcon::napi {
namespace {

// Arenas that ArrayBuffers lie over, by a key that is never used twice.
//
// When napi_create_external_arraybuffer fails, it depends on the reason whether the finalizer runs:
// never (external buffers forbidden, an exception pending), at once or later (the length, or
// anything after Node wrapped the memory), and the status does not tell which. So the finalizer
// gets a key instead of an owner: whoever comes first returns the loan, and a second return finds
// nothing.
class ArenaLoans {
 public:
  // Leaked on purpose: finalizers may run while statics are destroyed.
  static ArenaLoans& Shared() {
    static auto* loans = new ArenaLoans;
    return *loans;
  }

  uintptr_t Lend(std::shared_ptr<Arena> arena) {
    const std::lock_guard lock(mutex_);
    arenas_.emplace(++last_, std::move(arena));
    return last_;
  }

  void Return(uintptr_t key) {
    std::shared_ptr<Arena> arena;  // freed after the lock is released
    const std::lock_guard lock(mutex_);
    const auto found = arenas_.find(key);
    if (found == arenas_.end()) return;
    arena = std::move(found->second);
    arenas_.erase(found);
  }

 private:
  std::mutex mutex_;
  uintptr_t last_ = 0;
  std::unordered_map<uintptr_t, std::shared_ptr<Arena>> arenas_;
};

bool Allowed() {
  static const bool allowed = [] {
    const char* value = std::getenv("GYRFALCON_EXTERNAL_BUFFERS");
    return value == nullptr || std::string_view(value) != "off";
  }();
  return allowed;
}

}  // namespace

Napi::Value ShareArena(Napi::Env env, const std::shared_ptr<Arena>& arena) {
  if (!Allowed()) return Napi::Value();
  const uintptr_t key = ArenaLoans::Shared().Lend(arena);
  napi_value buffer = nullptr;
  const napi_status made = napi_create_external_arraybuffer(
      env, arena->data(), arena->size(),
      [](napi_env, void*, void* hint) {
        ArenaLoans::Shared().Return(reinterpret_cast<uintptr_t>(hint));
      },
      reinterpret_cast<void*>(key), &buffer);
  if (made == napi_ok) return Napi::Value(env, buffer);
  ArenaLoans::Shared().Return(key);
  if (env.IsExceptionPending()) env.GetAndClearPendingException();
  return Napi::Value();
}

Result<Napi::Value> NewArrayBuffer(Napi::Env env, size_t bytes) {
  const Napi::Object buffer =
      EnvState::Get(env)->array_buffer().New({Napi::Number::New(env, static_cast<double>(bytes))});
  if (!env.IsExceptionPending() && buffer.IsArrayBuffer()) return Napi::Value(buffer);
  if (env.IsExceptionPending()) env.GetAndClearPendingException();
  return {ErrorCode::kOutOfMemory,
          "could not allocate an ArrayBuffer of " + std::to_string(bytes) + " bytes"};
}

}  // namespace gyrfalcon::napi
