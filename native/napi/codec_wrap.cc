#include "napi/codec_wrap.h"

#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "backends/row_format.h"
#include "core/limits.h"
#include "core/xxh64.h"
#include "napi/buffers.h"
#include "napi/guard.h"
#include "napi/typed_array.h"

namespace gyrfalcon::napi {
namespace {

Napi::Value Encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<ArrayView> source =
      ReadTypedArray(env, info[0], "rows", napi_float32_array, "Float32Array");
  if (!source.ok()) return Throw(env, source.status());
  const std::optional<int64_t> rows = IntegerArgument(info, 1, "rows");
  const std::optional<int64_t> dim = rows ? IntegerArgument(info, 2, "dim") : std::nullopt;
  const std::optional<std::string> name = dim ? StringArgument(info, 3, "storage") : std::nullopt;
  if (!name) return env.Undefined();
  const std::optional<Storage> storage = StorageFromName(*name);
  if (!storage) return Throw(env, InvalidArgument("expected a storage but received " + *name));
  if (*dim < 1 || *dim > limits::kMaxDim || *rows < 0 ||
      static_cast<uint64_t>(*rows) > source->elements / static_cast<uint64_t>(*dim) ||
      static_cast<uint64_t>(*rows) * static_cast<uint64_t>(*dim) != source->elements) {
    return Throw(env, {ErrorCode::kShapeMismatch, "expected rows x dim values"});
  }
  const size_t bytes = static_cast<size_t>(*rows) * RowBytes(*storage, *dim);
  Result<Napi::Value> memory = NewArrayBuffer(env, bytes);
  if (!memory.ok()) return Throw(env, memory.status());
  Napi::Uint8Array encoded = Napi::Uint8Array::New(env, bytes, memory->As<Napi::ArrayBuffer>(), 0);
  if (env.IsExceptionPending()) return env.Undefined();
  if (bytes != 0) {
    std::vector<std::byte> copy;
    EncodeRows(static_cast<const float*>(StableData(*source, &copy)), *rows, *dim, *storage,
               reinterpret_cast<std::byte*>(encoded.Data()));
  }
  return encoded;
}

class HashWrap : public GuardedWrap<HashWrap> {
 public:
  explicit HashWrap(const Napi::CallbackInfo& info) : GuardedWrap<HashWrap>(info) {}

  static Napi::Function Class(Napi::Env env) {
    return DefineClass(env, "Xxh64",
                       {Method<&HashWrap::Update>("update"), Method<&HashWrap::Digest>("digest")});
  }

 private:
  Napi::Value Update(const Napi::CallbackInfo& info) {
    Result<ArrayView> bytes =
        ReadTypedArray(info.Env(), info[0], "bytes", napi_uint8_array, "Uint8Array");
    if (!bytes.ok()) return Throw(info.Env(), bytes.status());
    hash_.Update({static_cast<const std::byte*>(bytes->data), bytes->elements});
    return info.Env().Undefined();
  }

  Napi::Value Digest(const Napi::CallbackInfo& info) {
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016" PRIx64, hash_.Digest());
    return Napi::String::New(info.Env(), text.data());
  }

  Xxh64 hash_;
};

}  // namespace

void RegisterCodec(Napi::Env env, Napi::Object exports) {
  exports.Set("encodeRows", Function<&Encode>(env, "encodeRows"));
  exports.Set("Xxh64", HashWrap::Class(env));
}

}  // namespace gyrfalcon::napi
