#include "napi/errors.h"

#include <cmath>

#include "napi/env_state.h"

namespace gyrfalcon::napi {

Napi::Value MakeError(Napi::Env env, const Status& status) {
  const Napi::String code = Napi::String::New(env, std::string(ErrorCodeName(status.code())));
  const Napi::String message = Napi::String::New(env, status.message());
  EnvState* state = EnvState::Get(env);
  if (state != nullptr && !state->error_class().IsEmpty()) {
    const Napi::Object error = state->error_class().New({code, message});
    if (!env.IsExceptionPending()) return error;
    env.GetAndClearPendingException();
  }
  Napi::Object error = Napi::Error::New(env, status.message()).Value();
  error.Set("code", code);
  return error;
}

Napi::Value Throw(Napi::Env env, const Status& status) {
  const Napi::Value error = MakeError(env, status);
  // A dying environment cannot run JS; there is nobody left to tell.
  if (!error.IsEmpty()) napi_throw(env, error);
  return env.Undefined();
}

std::string Received(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_bigint:
      return "a bigint";
    case napi_function:
      return "a function";
    default:
      break;
  }
  if (value.IsTypedArray()) return "a typed array of another type";
  if (value.IsDataView()) return "a DataView";
  return value.IsArray() ? "an array" : "an object";
}

std::string StringOf(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

std::optional<std::string> StringArgument(const Napi::CallbackInfo& info, size_t index,
                                          const char* name) {
  if (!info[index].IsString()) {
    Throw(info.Env(), InvalidArgument(std::string("expected a string for ") + name +
                                      " but received " + Received(info[index])));
    return std::nullopt;
  }
  return info[index].As<Napi::String>().Utf8Value();
}

std::optional<int64_t> IntegerArgument(const Napi::CallbackInfo& info, size_t index,
                                       const char* name) {
  const double value =
      info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(std::abs(value) <= 9007199254740992.0) || value != std::floor(value)) {
    Throw(info.Env(), InvalidArgument(std::string("expected an integer for ") + name +
                                      " but received " + Received(info[index])));
    return std::nullopt;
  }
  return static_cast<int64_t>(value);
}

bool BooleanArgument(const Napi::CallbackInfo& info, size_t index) {
  return info[index].IsBoolean() && info[index].As<Napi::Boolean>().Value();
}

}  // namespace gyrfalcon::napi
