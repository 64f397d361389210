// What stands between Node and our C++: no exception leaves the addon. Ours returns Status; what
// is left is the standard library's, std::bad_alloc above all.
#ifndef GYRFALCON_NAPI_GUARD_H_
#define GYRFALCON_NAPI_GUARD_H_

#include <new>
#include <utility>

#include "core/status.h"
#include "napi/addon_api.h"
#include "napi/errors.h"

namespace gyrfalcon::napi {

// The Status of the exception that is being handled. Its text fits std::string's own buffer:
// nothing is allocated.
inline Status CaughtStatus() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "out of memory"};
  } catch (...) {
    return {ErrorCode::kInternal, "C++ exception"};
  }
}

// Calls `body`, which returns a Napi::Value; an exception becomes a pending GyrfalconError.
template <typename Body>
Napi::Value Guard(Napi::Env env, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    const Status status = CaughtStatus();
    try {
      return Throw(env, status);
    } catch (...) {
      // Not even the text could be copied.
      napi_throw_error(env, "OUT_OF_MEMORY", "out of memory");
      return env.Undefined();
    }
  }
}

// A guarded function of the addon: Function<&Load>(env, "loadModel").
template <Napi::Value (*kCall)(const Napi::CallbackInfo&)>
Napi::Function Function(Napi::Env env, const char* name) {
  return Napi::Function::New(
      env,
      [](const Napi::CallbackInfo& info) {
        return Guard(info.Env(), [&info] { return kCall(info); });
      },
      name);
}

// ObjectWrap whose methods are guarded: Method<&T::Score>("score").
template <typename T>
class GuardedWrap : public Napi::ObjectWrap<T> {
 protected:
  explicit GuardedWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {}

  template <Napi::Value (T::*kMethod)(const Napi::CallbackInfo&)>
  static Napi::ClassPropertyDescriptor<T> Method(const char* name) {
    return T::InstanceMethod(name, static_cast<Napi::Value (T::*)(const Napi::CallbackInfo&)>(
                                       &T::template Call<kMethod>));
  }

 public:
  template <Napi::Value (T::*kMethod)(const Napi::CallbackInfo&)>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] { return (static_cast<T*>(this)->*kMethod)(info); });
  }
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_GUARD_H_
