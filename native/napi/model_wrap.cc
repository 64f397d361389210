#include "napi/model_wrap.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/load_model.h"
#include "napi/async_task.h"
#include "napi/batch_wrap.h"
#include "napi/env_state.h"
#include "napi/errors.h"
#include "napi/load_progress.h"
#include "napi/table_values.h"

namespace gyrfalcon::napi {
namespace {

Napi::Array ShapeArray(Napi::Env env, const ModelSpec& spec, const Shape& shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    const auto at = static_cast<uint32_t>(i);
    switch (shape[i].kind) {
      case Extent::Kind::kFixed:
        array.Set(at, static_cast<double>(shape[i].value));
        break;
      case Extent::Kind::kBatch:
        array.Set(at, "batch");
        break;
      case Extent::Kind::kSymbol:
        array.Set(at, spec.symbols[static_cast<size_t>(shape[i].symbol)].name);
        break;
      case Extent::Kind::kUnknown:
        array.Set(at, env.Null());
        break;
    }
  }
  return array;
}

std::string DeviceName(const Model& model) {
  return model.device().device == nullptr ? "cpu" : model.device().device->name();
}

Napi::Object Describe(Napi::Env env, const Model& model) {
  const ModelSpec& spec = model.spec();
  Napi::Object info = Napi::Object::New(env);
  info.Set("name", spec.name);
  if (spec.fixed_batch == 0) {
    info.Set("batch", env.Null());
  } else {
    info.Set("batch", static_cast<double>(spec.fixed_batch));
  }
  Napi::Object symbols = Napi::Object::New(env);
  for (const SymbolSpec& symbol : spec.symbols) {
    const Napi::Value size = symbol.default_size == 0
                                 ? env.Null()
                                 : Napi::Number::New(env, static_cast<double>(symbol.default_size));
    // Defined, not set: a name may be __proto__.
    symbols.DefineProperty(
        Napi::PropertyDescriptor::Value(symbol.name, size, napi_default_jsproperty));
  }
  info.Set("symbols", symbols);
  Napi::Array inputs = Napi::Array::New(env, spec.inputs.size());
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const InputSpec& input = spec.inputs[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", input.name);
    object.Set("dtype", std::string(Info(input.dtype).name));
    if (input.kind == InputSpec::Kind::kRagged) {
      object.Set("kind", "ragged");
      object.Set("weights", input.has_weights);
    } else {
      object.Set("kind", "tensor");
      object.Set("shape", ShapeArray(env, spec, input.shape));
    }
    inputs.Set(static_cast<uint32_t>(i), object);
  }
  info.Set("inputs", inputs);
  Napi::Array tables = Napi::Array::New(env, spec.tables.size());
  for (size_t i = 0; i < spec.tables.size(); ++i) {
    const TableSpec& table = spec.tables[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", table.name);
    object.Set("rows", static_cast<double>(table.rows));
    object.Set("dim", static_cast<double>(table.dim));
    object.Set("storage", std::string(StorageName(table.storage)));
    object.Set("bytes", static_cast<double>(model.tables()[i]->bytes()));
    tables.Set(static_cast<uint32_t>(i), object);
  }
  info.Set("tables", tables);
  Napi::Array outputs = Napi::Array::New(env, spec.outputs.size());
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", spec.outputs[i].name);
    object.Set("dtype", std::string(Info(spec.outputs[i].dtype).name));
    object.Set("shape", ShapeArray(env, spec, spec.outputs[i].shape));
    outputs.Set(static_cast<uint32_t>(i), object);
  }
  info.Set("outputs", outputs);
  info.Set("engine", std::string(model.engine().name()));
  info.Set("engineVersion", std::string(model.engine().version()));
  info.Set("precision", std::string(model.engine().precision()));
  info.Set("isa", std::string(model.backend().name));
  info.Set("device", DeviceName(model));
  return info;
}

// Of the options that lib/model.ts checked.
bool Flag(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

// Entries of [table, rows, bytes].
TableCaches ReadCaches(const Napi::Value& given) {
  TableCaches caches;
  if (!given.IsArray()) return caches;
  const auto list = given.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value each = list.Get(i);
    if (!each.IsArray()) continue;
    const auto entry = each.As<Napi::Array>();
    const Napi::Value rows = entry.Get(1U);
    const Napi::Value bytes = entry.Get(2U);
    if (!rows.IsNumber() || !bytes.IsNumber()) continue;
    caches[StringOf(entry.Get(uint32_t{0}))] = {rows.As<Napi::Number>().Int64Value(),
                                                bytes.As<Napi::Number>().Int64Value()};
  }
  return caches;
}

LoadModelOptions ReadOptions(const Napi::Object& options) {
  LoadModelOptions read;
  read.tables.residency = Flag(options, "map") ? TableResidency::kMap : TableResidency::kCopy;
  read.tables.verify_checksum = Flag(options, "verify");
  const Napi::Value device = options.Get("device");
  if (device.IsNumber()) read.device = device.As<Napi::Number>().Int32Value();
  read.caches = ReadCaches(options.Get("caches"));
  read.policy =
      StringOf(options.Get("outOfRange")) == "zero" ? OutOfRange::kZero : OutOfRange::kError;
  LoadEngineOptions& engine = read.engine;
  const Napi::Value threads = options.Get("threads");
  if (threads.IsNumber()) engine.engine.threads = threads.As<Napi::Number>().Int32Value();
  const std::string which = StringOf(options.Get("engine"));
  if (which == "fused") engine.which = EngineChoice::kFused;
  if (which == "onnxruntime") engine.which = EngineChoice::kOnnxRuntime;
  const std::string precision = StringOf(options.Get("precision"));
  if (precision == "f32") engine.precision = Precision::kF32;
  if (precision == "bf16") engine.precision = Precision::kBf16;
  if (precision == "int8") engine.precision = Precision::kInt8;
  engine.ort_library = StringOf(options.Get("ortLibrary"));
  engine.ort_missing = StringOf(options.Get("ortMissing"));
  return read;
}

// Sizes by name, in the order of `specs`; 0 where none is given.
template <typename Spec>
std::vector<int64_t> Sizes(const Napi::Value& given, const std::vector<Spec>& specs) {
  std::vector<int64_t> sizes;
  if (!given.IsObject()) return sizes;
  const auto object = given.As<Napi::Object>();
  for (const Spec& spec : specs) {
    const Napi::Value size = object.Get(spec.name);
    sizes.push_back(size.IsNumber() ? size.As<Napi::Number>().Int64Value() : 0);
  }
  return sizes;
}

}  // namespace

ModelWrap::ModelWrap(const Napi::CallbackInfo& info) : GuardedWrap<ModelWrap>(info) {
  if (!info[0].IsExternal()) {
    Throw(info.Env(), InvalidArgument("expected a model to be made by loadModel"));
    return;
  }
  model_ = *info[0].As<Napi::External<std::shared_ptr<const Model>>>().Data();
}

void ModelWrap::Register(Napi::Env env, Napi::Object exports) {
  EnvState::Get(env)->constructor(ClassId::kModel) = Napi::Persistent(
      DefineClass(env, "NativeModel",
                  {Method<&ModelWrap::CreateBatch>("createBatch"),
                   Method<&ModelWrap::Explain>("explain"), Method<&ModelWrap::Stats>("stats"),
                   Method<&ModelWrap::Warm>("warm"), Method<&ModelWrap::Close>("close")}));
  exports.Set("loadModel", Function<&ModelWrap::Load>(env, "loadModel"));
}

Napi::Value ModelWrap::Load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::optional<std::string> directory = StringArgument(info, 0, "directory");
  if (!directory.has_value()) return env.Undefined();
  if (!info[1].IsObject()) return Throw(env, InvalidArgument("expected options"));
  const auto options = info[1].As<Napi::Object>();
  const LoadModelOptions request = ReadOptions(options);
  const std::shared_ptr<LoadProgress> progress = ProgressOf(options.Get("progress"));
  if (env.IsExceptionPending()) return env.Undefined();
  return RunTask<std::shared_ptr<const Model>>(
      env,
      [directory = std::move(*directory), request, progress] {
        return LoadModel(directory, request, progress.get());
      },
      [](Napi::Env e, std::shared_ptr<const Model> model) -> Napi::Value {
        Napi::Object object =
            EnvState::Get(e)
                ->constructor(ClassId::kModel)
                .New({Napi::External<std::shared_ptr<const Model>>::New(e, &model)});
        if (object.IsEmpty()) return e.Undefined();
        object.Set("info", Describe(e, *model));
        return object;
      });
}

Napi::Value ModelWrap::CreateBatch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::optional<int64_t> capacity = IntegerArgument(info, 0, "capacity");
  if (!capacity.has_value()) return env.Undefined();
  BatchOptions options;
  options.capacity = *capacity;
  const std::shared_ptr<const Model> model = model_;
  if (model == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the model was closed"});
  options.symbols = Sizes(info[1], model->spec().symbols);
  options.ragged_capacity = Sizes(info[2], model->spec().inputs);
  if (env.IsExceptionPending()) return env.Undefined();
  Result<std::shared_ptr<Batch>> batch = Batch::Create(model, options);
  if (!batch.ok()) return Throw(env, batch.status());
  std::erase_if(batches_, [](const std::weak_ptr<Batch>& known) { return known.expired(); });
  batches_.push_back(*batch);
  return BatchWrap::New(env, std::move(batch).value(), model->spec());
}

// Where everything of the model lies and runs; lib/explain.ts adds the reasons.
Napi::Value ModelWrap::Explain(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (model_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the model was closed"});
  const ModelDevice& on = model_->device();
  Napi::Object object = Napi::Object::New(env);
  if (on.device != nullptr) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("model", on.device->info().name);
    device.Set("computeCapability", on.device->info().capability());
    device.Set("deviceBytes", static_cast<double>(on.device->device_bytes()));
    device.Set("pinnedBytes", static_cast<double>(on.device->pinned_bytes()));
    object.Set("device", device);
  }
  Napi::Array tables = Napi::Array::New(env, model_->tables().size());
  for (size_t i = 0; i < model_->tables().size(); ++i) {
    const TableStorage& storage = *model_->tables()[i];
    Napi::Object table = Napi::Object::New(env);
    table.Set("mapped", storage.view().data != nullptr && storage.writable() == nullptr);
    table.Set("cached", on.device != nullptr && on.cached[i] != nullptr);
    table.Set("deviceBytes",
              on.device == nullptr ? 0.0 : static_cast<double>(on.tables[i]->device_bytes()));
    tables.Set(static_cast<uint32_t>(i), table);
  }
  object.Set("tables", tables);
  object.Set("bags", static_cast<double>(model_->spec().bags.size()));
  object.Set(
      "computedIds",
      std::any_of(model_->spec().bags.begin(), model_->spec().bags.end(), [&](const BagSpec& bag) {
        return MapsIds(bag, model_->spec().inputs[static_cast<size_t>(bag.input)]);
      }));
  object.Set("threads", model_->lookup_threads());
  object.Set("fused", !model_->spec().fused.file.empty());
  return object;
}

Napi::Value ModelWrap::Stats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (model_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the model was closed"});
  size_t bytes = 0;
  size_t huge = 0;
  for (const auto& table : model_->tables()) {
    bytes += table->bytes();
    huge += table->huge_page_bytes();
  }
  const ModelStats& stats = model_->stats();
  Napi::Object object = Napi::Object::New(env);
  object.Set("requests", static_cast<double>(stats.requests.load()));
  object.Set("rows", static_cast<double>(stats.rows.load()));
  object.Set("failed", static_cast<double>(stats.failed.load()));
  object.Set("outOfRangeZeroed", static_cast<double>(stats.zeroed.load()));
  object.Set("tableBytes", static_cast<double>(bytes));
  object.Set("hugePageBytes", static_cast<double>(huge));
  size_t on_device = 0;
  for (const auto& table : model_->device().tables) on_device += table->device_bytes();
  object.Set("deviceBytes", static_cast<double>(on_device));
  Napi::Array caches = Napi::Array::New(env);
  const ModelDevice& on = model_->device();
  for (size_t i = 0; i < on.cached.size(); ++i) {
    if (on.cached[i] == nullptr) continue;
    Napi::Object cache = CacheStatsObject(env, on.cached[i]->stats());
    cache.Set("table", model_->spec().tables[i].name);
    caches.Set(caches.Length(), cache);
  }
  object.Set("caches", caches);
  return object;
}

// Of a table, by number, that has a row cache.
Napi::Value ModelWrap::Warm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<int64_t> table = IntegerArgument(info, 0, "table");
  if (!table.has_value()) return env.Undefined();
  if (model_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the model was closed"});
  const auto& cached = model_->device().cached;
  if (*table < 0 || static_cast<size_t>(*table) >= cached.size() ||
      cached[static_cast<size_t>(*table)] == nullptr) {
    return Throw(env, InvalidArgument("expected a table with a row cache but it has none"));
  }
  const Result<std::vector<int64_t>> ids = IdsArgument(env, info[1]);
  if (!ids.ok()) return Throw(env, ids.status());
  const Status status = cached[static_cast<size_t>(*table)]->Warm(ids.value());
  return status.ok() ? env.Undefined() : Throw(env, status);
}

Napi::Value ModelWrap::Close(const Napi::CallbackInfo& info) {
  for (const std::weak_ptr<Batch>& known : batches_) {
    const std::shared_ptr<Batch> batch = known.lock();
    if (batch == nullptr || !batch->TryAcquire()) continue;
    batch->Close();
    batch->Release();
  }
  batches_.clear();
  model_.reset();
  return info.Env().Undefined();
}

}  // namespace gyrfalcon::napi
