#include "napi/engine_wrap.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "engines/onnxruntime/ort_engine.h"
#include "napi/async_task.h"
#include "napi/buffers.h"
#include "napi/env_state.h"
#include "napi/typed_array.h"

namespace gyrfalcon::napi {
namespace {

Napi::Array Specs(Napi::Env env, const std::vector<EngineTensorSpec>& specs) {
  Napi::Array list = Napi::Array::New(env, specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", specs[i].name);
    object.Set("dtype", std::string(Info(specs[i].dtype).name));
    Napi::Array dims = Napi::Array::New(env, specs[i].dims.size());
    Napi::Array names = Napi::Array::New(env, specs[i].dims.size());
    for (size_t d = 0; d < specs[i].dims.size(); ++d) {
      const auto at = static_cast<uint32_t>(d);
      dims.Set(at, static_cast<double>(specs[i].dims[d]));
      names.Set(at, d < specs[i].names.size() ? specs[i].names[d] : std::string());
    }
    object.Set("dims", dims);
    object.Set("names", names);
    list.Set(static_cast<uint32_t>(i), object);
  }
  return list;
}

Napi::Value NewEngine(Napi::Env env, std::shared_ptr<Engine> engine) {
  Napi::Object object = EnvState::Get(env)
                            ->constructor(ClassId::kEngine)
                            .New({Napi::External<std::shared_ptr<Engine>>::New(env, &engine)});
  if (object.IsEmpty()) return env.Undefined();
  object.Set("name", std::string(engine->name()));
  object.Set("version", std::string(engine->version()));
  object.Set("inputs", Specs(env, engine->inputs()));
  object.Set("outputs", Specs(env, engine->outputs()));
  return object;
}

struct OpenRequest {
  std::vector<std::byte> bytes;
  std::string path;
  EngineOptions options;
  std::string library;
};

Result<std::shared_ptr<Engine>> Open(const OpenRequest& request) {
  Result<std::shared_ptr<OrtLibrary>> library = OpenOrtLibrary(request.library);
  if (!library.ok()) return library.status();
  if (!request.path.empty()) {
    return CreateOrtEngineFromFile(*library, request.path, request.options);
  }
  return CreateOrtEngine(*library, request.bytes, request.options);
}

// Arguments: bytes or path, threads, library.
Napi::Value OpenEngine(const Napi::CallbackInfo& info, bool from_bytes) {
  const Napi::Env env = info.Env();
  OpenRequest request;
  if (from_bytes) {
    Result<ArrayView> bytes =
        ReadTypedArray(env, info[0], "the model's bytes", napi_uint8_array, "Uint8Array");
    if (!bytes.ok()) return Throw(env, bytes.status());
    const auto* data = static_cast<const std::byte*>(bytes->data);
    request.bytes.assign(data, data + bytes->elements);
  } else {
    std::optional<std::string> path = StringArgument(info, 0, "path");
    if (!path) return env.Undefined();
    request.path = std::move(*path);
  }
  const std::optional<int64_t> threads = IntegerArgument(info, 1, "threads");
  std::optional<std::string> library = threads ? StringArgument(info, 2, "library") : std::nullopt;
  if (!library) return env.Undefined();
  if (*threads < 1 || *threads > 1024) {
    return Throw(env, InvalidArgument("expected 1 to 1024 threads"));
  }
  request.options.threads = static_cast<int>(*threads);
  request.library = std::move(*library);
  return RunTask<std::shared_ptr<Engine>>(
      env, [request = std::move(request)] { return Open(request); }, &NewEngine);
}

Napi::Value FromBytes(const Napi::CallbackInfo& info) { return OpenEngine(info, true); }
Napi::Value FromFile(const Napi::CallbackInfo& info) { return OpenEngine(info, false); }

Napi::Value OrtVersion(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<std::string> path = StringArgument(info, 0, "path");
  if (!path) return env.Undefined();
  Result<std::shared_ptr<OrtLibrary>> library = OpenOrtLibrary(*path);
  if (!library.ok()) return Throw(env, library.status());
  return Napi::String::New(env, OrtLibraryVersion(**library));
}

// What JS says of one input. Reading it can run the caller's code (accessors), which may detach any
// array or close the engine: no address is taken before all of them are read.
struct Feed {
  EngineBinding binding;
  Napi::Value data;
  size_t elements = 1;
  std::vector<std::byte>
      copy;  // of shared memory: the engine checks ids first and reads them again
};

// An array's length costs nothing to claim; no graph has tensors of more dimensions.
constexpr uint32_t kMaxRank = 64;

Result<Feed> ReadFeed(const Napi::Object& object) {
  Feed feed;
  feed.binding.name = StringOf(object.Get("name"));
  const std::optional<Dtype> dtype = DtypeFromName(StringOf(object.Get("dtype")));
  if (!dtype) return InvalidArgument("expected a dtype for " + feed.binding.name);
  feed.binding.dtype = *dtype;
  feed.data = object.Get("data");
  const Napi::Value dims = object.Get("dims");
  if (!dims.IsArray())
    return InvalidArgument("expected an array of dims for input " + feed.binding.name +
                           " but received " + Received(dims));
  const auto array = dims.As<Napi::Array>();
  if (array.Length() > kMaxRank) {
    return {ErrorCode::kShapeMismatch, "expected at most " + std::to_string(kMaxRank) +
                                           " dims of input " + feed.binding.name +
                                           " but received " + std::to_string(array.Length())};
  }
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value dim = array[i];
    const double size = dim.IsNumber() ? dim.As<Napi::Number>().DoubleValue() : -1;
    if (!(size >= 0 && size <= 9007199254740992.0) || size != std::floor(size) ||
        __builtin_mul_overflow(feed.elements, static_cast<size_t>(size), &feed.elements)) {
      return {ErrorCode::kShapeMismatch, "expected sizes as dims of input " + feed.binding.name};
    }
    feed.binding.dims.push_back(static_cast<int64_t>(size));
  }
  return feed;
}

// Binds straight over the caller's array: no JS runs from here to the end of the run.
Status BindData(Napi::Env env, Feed* feed) {
  EngineBinding& binding = feed->binding;
  Result<ArrayView> view = ReadTypedArray(env, feed->data, "input " + binding.name);
  if (!view.ok()) return view.status();
  if (!Holds(view->type, binding.dtype)) {
    return {ErrorCode::kDtypeMismatch, "expected elements of " +
                                           std::string(Info(binding.dtype).name) + " for input " +
                                           binding.name + " but received " + Received(feed->data)};
  }
  if (feed->elements != view->elements) {
    return {ErrorCode::kShapeMismatch, "expected " + std::to_string(feed->elements) +
                                           " elements for input " + binding.name +
                                           " but received " + std::to_string(view->elements)};
  }
  // The engine only reads inputs.
  binding.data = const_cast<void*>(StableData(*view, &feed->copy));
  binding.bytes = view->bytes();
  return Status::Ok();
}

Napi::Value ReturnOutputs(Napi::Env env, const std::vector<EngineOutput>& outputs) {
  Napi::Array list = Napi::Array::New(env, outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const EngineOutput& output = outputs[i];
    Result<Napi::Value> data = NewArrayBuffer(env, output.data.size());
    if (!data.ok()) return Throw(env, data.status());
    if (!output.data.empty()) {
      std::memcpy(data->As<Napi::ArrayBuffer>().Data(), output.data.data(), output.data.size());
    }
    Napi::Array dims = Napi::Array::New(env, output.dims.size());
    for (size_t d = 0; d < output.dims.size(); ++d) {
      dims.Set(static_cast<uint32_t>(d), static_cast<double>(output.dims[d]));
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", output.name);
    object.Set("dtype", std::string(Info(output.dtype).name));
    object.Set("dims", dims);
    object.Set("data", *data);
    list.Set(static_cast<uint32_t>(i), object);
  }
  return list;
}

}  // namespace

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : GuardedWrap<EngineWrap>(info) {
  if (!info[0].IsExternal()) {
    Throw(info.Env(), InvalidArgument("expected an engine to be made by engineFromBytes"));
    return;
  }
  engine_ = *info[0].As<Napi::External<std::shared_ptr<Engine>>>().Data();
}

Napi::Function EngineWrap::Class(Napi::Env env) {
  return DefineClass(
      env, "NativeEngine",
      {Method<&EngineWrap::RunSync>("runSync"), Method<&EngineWrap::Close>("close")});
}

Napi::Value EngineWrap::RunSync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsArray())
    return Throw(env,
                 InvalidArgument("expected an array of tensors but received " + Received(info[0])));
  const auto given = info[0].As<Napi::Array>();
  std::vector<Feed> feeds;
  for (uint32_t i = 0; i < given.Length(); ++i) {
    const Napi::Value object = given[i];
    if (!object.IsObject()) return Throw(env, InvalidArgument("expected a tensor"));
    Result<Feed> feed = ReadFeed(object.As<Napi::Object>());
    if (env.IsExceptionPending()) return env.Undefined();
    if (!feed.ok()) return Throw(env, feed.status());
    feeds.push_back(std::move(feed).value());
  }
  if (engine_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the engine was closed"});
  std::vector<EngineBinding> inputs;
  for (Feed& feed : feeds) {
    const Status bound = BindData(env, &feed);
    if (!bound.ok()) return Throw(env, bound);
    inputs.push_back(std::move(feed.binding));
  }
  Result<std::vector<EngineOutput>> outputs = engine_->RunOnce(inputs, 1);
  if (!outputs.ok()) return Throw(env, outputs.status());
  return ReturnOutputs(env, *outputs);
}

Napi::Value EngineWrap::Close(const Napi::CallbackInfo& info) {
  engine_.reset();
  return info.Env().Undefined();
}

void RegisterEngine(Napi::Env env, Napi::Object exports) {
  EnvState::Get(env)->constructor(ClassId::kEngine) = Napi::Persistent(EngineWrap::Class(env));
  exports.Set("engineFromBytes", Function<&FromBytes>(env, "engineFromBytes"));
  exports.Set("engineFromFile", Function<&FromFile>(env, "engineFromFile"));
  exports.Set("ortVersion", Function<&OrtVersion>(env, "ortVersion"));
}

}  // namespace gyrfalcon::napi
