#include "napi/batch_wrap.h"

#include <string>
#include <utility>
#include <vector>

#include "napi/env_state.h"
#include "napi/errors.h"

namespace gyrfalcon::napi {
namespace {

Status InFlight() {
  return {ErrorCode::kBatchInFlight,
          "expected an idle batch but this one was submitted and has not settled"};
}

// An ArrayBuffer over the arena. It shares ownership: JS may keep, detach or collect it at any time
// and a worker still has its memory.
Napi::Value ArenaBuffer(Napi::Env env, const std::shared_ptr<Arena>& arena) {
  auto owner = std::make_unique<std::shared_ptr<Arena>>(arena);
  napi_value buffer = nullptr;
  const napi_status made = napi_create_external_arraybuffer(
      env, arena->data(), arena->size(),
      [](napi_env, void*, void* hint) {
        const std::unique_ptr<std::shared_ptr<Arena>> last(
            static_cast<std::shared_ptr<Arena>*>(hint));
      },
      owner.get(), &buffer);
  if (made == napi_ok) {
    owner.release();
    return Napi::Value(env, buffer);
  }
  return Throw(env, {ErrorCode::kDeviceUnavailable,
                     "this JavaScript runtime forbids buffers over native memory"});
}

Napi::Object Field(Napi::Env env, const BatchField& field) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("offset", static_cast<double>(field.offset));
  object.Set("elements", static_cast<double>(field.elements));
  object.Set("rowElements", static_cast<double>(field.row_elements));
  object.Set("dtype", std::string(Info(field.dtype).name));
  Napi::Array dims = Napi::Array::New(env, field.dims.size());
  for (size_t i = 0; i < field.dims.size(); ++i) {
    dims.Set(static_cast<uint32_t>(i), static_cast<double>(field.dims[i]));
  }
  object.Set("dims", dims);
  return object;
}

Napi::Array Inputs(Napi::Env env, const Batch& batch, const ModelSpec& spec) {
  Napi::Array list = Napi::Array::New(env, batch.inputs().size());
  for (size_t i = 0; i < batch.inputs().size(); ++i) {
    const InputSpec& input = spec.inputs[i];
    const BatchInput& place = batch.inputs()[i];
    const bool ragged = input.kind == InputSpec::Kind::kRagged;
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", input.name);
    object.Set("kind", ragged ? "ragged" : "tensor");
    object.Set("data", Field(env, place.data));
    if (ragged) object.Set("offsets", Field(env, place.offsets));
    if (ragged && input.has_weights) object.Set("weights", Field(env, place.weights));
    list.Set(static_cast<uint32_t>(i), object);
  }
  return list;
}

Napi::Array Outputs(Napi::Env env, const Batch& batch, const ModelSpec& spec) {
  Napi::Array list = Napi::Array::New(env, batch.outputs().size());
  for (size_t i = 0; i < batch.outputs().size(); ++i) {
    Napi::Object object = Field(env, batch.outputs()[i]);
    object.Set("name", spec.outputs[i].name);
    list.Set(static_cast<uint32_t>(i), object);
  }
  return list;
}

}  // namespace

BatchWrap::BatchWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BatchWrap>(info) {
  if (!info[0].IsExternal()) {
    Throw(info.Env(), InvalidArgument("expected a batch to be made by createBatch"));
    return;
  }
  batch_ = *info[0].As<Napi::External<std::shared_ptr<Batch>>>().Data();
  job_ = std::make_shared<ScoreJob>(batch_, EnvState::Get(info.Env())->shared_completions());
}

void BatchWrap::Register(Napi::Env env) {
  EnvState::Get(env)->constructor(ClassId::kBatch) = Napi::Persistent(DefineClass(
      env, "NativeBatch",
      {InstanceMethod("scoreSync", &BatchWrap::ScoreSync),
       InstanceMethod("score", &BatchWrap::Score), InstanceMethod("cancel", &BatchWrap::Cancel),
       InstanceMethod("times", &BatchWrap::Times)}));
}

Napi::Value BatchWrap::New(Napi::Env env, std::shared_ptr<Batch> batch, const ModelSpec& spec) {
  const Napi::Value buffer = ArenaBuffer(env, batch->arena());
  if (env.IsExceptionPending()) return env.Undefined();
  Napi::Object object = EnvState::Get(env)
                            ->constructor(ClassId::kBatch)
                            .New({Napi::External<std::shared_ptr<Batch>>::New(env, &batch)});
  if (env.IsExceptionPending()) return env.Undefined();
  object.Set("buffer", buffer);
  object.Set("inputs", Inputs(env, *batch, spec));
  object.Set("outputs", Outputs(env, *batch, spec));
  return object;
}

Napi::Value BatchWrap::ScoreSync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int64_t rows = -1;
  if (napi_get_value_int64(env, info[0], &rows) != napi_ok) {
    return Throw(env, InvalidArgument("expected a number of rows"));
  }
  if (!batch_->TryAcquire()) return Throw(env, InFlight());
  const Status status = batch_->Score(rows);
  batch_->Release();
  return status.ok() ? Napi::Value() : Throw(env, status);
}

Napi::Value BatchWrap::Score(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int64_t rows = -1;
  if (napi_get_value_int64(env, info[0], &rows) != napi_ok) {
    return Throw(env, InvalidArgument("expected a number of rows"));
  }
  if (!EnvState::Get(env)->completions().open()) {
    return Throw(env, {ErrorCode::kAborted, "the process or worker is exiting"});
  }
  if (!batch_->TryAcquire()) return Throw(env, InFlight());
  return job_->Submit(env, rows, job_);
}

Napi::Value BatchWrap::Cancel(const Napi::CallbackInfo& info) {
  job_->Cancel();
  return info.Env().Undefined();
}

Napi::Value BatchWrap::Times(const Napi::CallbackInfo& info) {
  Napi::Array times = Napi::Array::New(info.Env(), 3);
  times.Set(0U, static_cast<double>(batch_->times().lookup_ns.load(std::memory_order_relaxed)));
  times.Set(1U, static_cast<double>(batch_->times().engine_ns.load(std::memory_order_relaxed)));
  times.Set(2U, static_cast<double>(job_->queue_ns()));
  return times;
}

}  // namespace gyrfalcon::napi
