#include "napi/typed_array.h"

namespace gyrfalcon::napi {
namespace {

size_t ElementBytes(napi_typedarray_type type) {
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return 1;
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    default:
      return 8;
  }
}

}  // namespace

Result<ArrayView> ReadTypedArray(Napi::Env env, const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray()) {
    return {ErrorCode::kDtypeMismatch,
            "expected a typed array for " + name + " but received " + Received(value)};
  }
  ArrayView view;
  napi_value buffer = nullptr;
  size_t offset = 0;
  if (napi_get_typedarray_info(env, value, &view.type, &view.elements, &view.data, &buffer,
                               &offset) != napi_ok) {
    return {ErrorCode::kDtypeMismatch, "expected a typed array of numbers for " + name};
  }
  view.element_bytes = ElementBytes(view.type);
  bool plain = false;
  view.shared = napi_is_arraybuffer(env, buffer, &plain) == napi_ok && !plain;
  bool detached = false;
  if (napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && detached) {
    return {ErrorCode::kDetachedBuffer, "expected memory for " + name + " but it was detached"};
  }
  return view;
}

const void* StableData(const ArrayView& view, std::vector<std::byte>* copy) {
  if (!view.shared || view.bytes() == 0) return view.data;
  const auto* data = static_cast<const std::byte*>(view.data);
  copy->assign(data, data + view.bytes());
  return copy->data();
}

Result<ArrayView> ReadTypedArray(Napi::Env env, const Napi::Value& value, const std::string& name,
                                 napi_typedarray_type type, const char* expected) {
  Result<ArrayView> view = ReadTypedArray(env, value, name);
  if (view.ok() && view->type != type) {
    return {ErrorCode::kDtypeMismatch, "expected a " + std::string(expected) + " for " + name +
                                           " but received " + Received(value)};
  }
  return view;
}

bool Holds(napi_typedarray_type type, Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return type == napi_float32_array;
    case Dtype::kF64:
      return type == napi_float64_array;
    case Dtype::kF16:
    case Dtype::kBF16:
    case Dtype::kU16:
      return type == napi_uint16_array;
    case Dtype::kI8:
      return type == napi_int8_array;
    case Dtype::kU8:
    case Dtype::kBool:
      return type == napi_uint8_array || type == napi_uint8_clamped_array;
    case Dtype::kI16:
      return type == napi_int16_array;
    case Dtype::kI32:
      return type == napi_int32_array;
    case Dtype::kI64:
      return type == napi_bigint64_array;
  }
  return false;
}

}  // namespace gyrfalcon::napi
