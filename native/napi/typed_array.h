// Reading typed arrays that the caller owns. Their memory may be used on the JS thread only, and
// only until JS runs again.
#ifndef GYRFALCON_NAPI_TYPED_ARRAY_H_
#define GYRFALCON_NAPI_TYPED_ARRAY_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "napi/addon_api.h"
#include "napi/errors.h"

namespace gyrfalcon::napi {

struct ArrayView {
  void* data = nullptr;
  size_t elements = 0;
  size_t element_bytes = 0;
  napi_typedarray_type type = napi_uint8_array;
  bool shared = false;  // over a SharedArrayBuffer: other threads may write while we read

  size_t bytes() const { return elements * element_bytes; }
};

// Any typed array; kDtypeMismatch naming `name` otherwise, kDetachedBuffer for a detached one.
Result<ArrayView> ReadTypedArray(Napi::Env env, const Napi::Value& value, const std::string& name);

// The view's memory, or a copy of it where it is shared: for code that reads a value twice and
// relies on both being the same. `copy` must outlive the result.
const void* StableData(const ArrayView& view, std::vector<std::byte>* copy);

// The same, of one element type.
Result<ArrayView> ReadTypedArray(Napi::Env env, const Napi::Value& value, const std::string& name,
                                 napi_typedarray_type type, const char* expected);

// Whether elements of `dtype` may be given as `type`: f16 and bf16 are the bits in a Uint16Array.
bool Holds(napi_typedarray_type type, Dtype dtype);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_TYPED_ARRAY_H_
