// Status -> GyrfalconError, and checked reading of arguments.
#ifndef GYRFALCON_NAPI_ERRORS_H_
#define GYRFALCON_NAPI_ERRORS_H_

#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"
#include "napi/addon_api.h"

namespace gyrfalcon::napi {

// A GyrfalconError (the class that lib/native.ts registered) with the code and message of `status`.
Napi::Value MakeError(Napi::Env env, const Status& status);

// Throws it into JS. Always returns undefined, for `return Throw(...)`.
Napi::Value Throw(Napi::Env env, const Status& status);

inline Status InvalidArgument(std::string message) {
  return {ErrorCode::kInvalidArgument, std::move(message)};
}

// What `value` is, for "but received ...": never its contents.
std::string Received(const Napi::Value& value);

// The text of a string; empty for anything else. In an environment that is going away reading a
// property gives an empty Value, on which every conversion of node-addon-api ends the process.
std::string StringOf(const Napi::Value& value);

// Arguments by position; wrong kinds give nullopt and leave a pending GyrfalconError.
std::optional<std::string> StringArgument(const Napi::CallbackInfo& info, size_t index,
                                          const char* name);
std::optional<int64_t> IntegerArgument(const Napi::CallbackInfo& info, size_t index,
                                       const char* name);  // |value| <= 2^53
// False for anything but true. Never throws: a coercion fails while a worker is being terminated,
// and what it leaves empty is fatal to whoever asks for its value.
bool BooleanArgument(const Napi::CallbackInfo& info, size_t index);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_ERRORS_H_
