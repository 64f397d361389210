#include "napi/batch_wrap.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "napi/batch_copy.h"
#include "napi/buffers.h"
#include "napi/env_state.h"
#include "napi/errors.h"

namespace gyrfalcon::napi {
namespace {

Status InFlight() {
  return {ErrorCode::kBatchInFlight,
          "expected an idle batch but this one was submitted and has not settled"};
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

BatchWrap::BatchWrap(const Napi::CallbackInfo& info) : GuardedWrap<BatchWrap>(info) {
  if (!info[0].IsExternal()) {
    Throw(info.Env(), InvalidArgument("expected a batch to be made by createBatch"));
    return;
  }
  batch_ = *info[0].As<Napi::External<std::shared_ptr<Batch>>>().Data();
  job_ = std::make_shared<ScoreJob>(batch_, EnvState::Get(info.Env())->shared_completions());
}

void BatchWrap::Register(Napi::Env env) {
  EnvState::Get(env)->constructor(ClassId::kBatch) = Napi::Persistent(
      DefineClass(env, "NativeBatch",
                  {Method<&BatchWrap::ScoreSync>("scoreSync"), Method<&BatchWrap::Score>("score"),
                   Method<&BatchWrap::Cancel>("cancel"), Method<&BatchWrap::Times>("times"),
                   Method<&BatchWrap::CopyIn>("copyIn"), Method<&BatchWrap::CopyOut>("copyOut")}));
}

Napi::Value BatchWrap::New(Napi::Env env, std::shared_ptr<Batch> batch, const ModelSpec& spec) {
  Napi::Value buffer = ShareArena(env, batch->arena());
  const bool copies = buffer.IsEmpty();
  if (copies) {
    Result<Napi::Value> own = NewArrayBuffer(env, batch->arena()->size());
    if (!own.ok()) return Throw(env, own.status());
    buffer = *own;
  }
  Napi::Object object = EnvState::Get(env)
                            ->constructor(ClassId::kBatch)
                            .New({Napi::External<std::shared_ptr<Batch>>::New(env, &batch)});
  if (object.IsEmpty()) return env.Undefined();
  object.Set("buffer", buffer);
  object.Set("copies", copies);
  object.Set("inputs", Inputs(env, *batch, spec));
  object.Set("outputs", Outputs(env, *batch, spec));
  return object;
}

// Arguments: the caller's buffer, which must still have the arena's size; rows; rows of tensors.
std::optional<BatchWrap::Copy> BatchWrap::CopyArguments(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (batch_->busy()) {
    Throw(env, InFlight());
    return std::nullopt;
  }
  void* data = nullptr;
  size_t bytes = 0;
  if (!info[0].IsArrayBuffer() ||
      napi_get_arraybuffer_info(env, info[0], &data, &bytes) != napi_ok ||
      bytes != batch_->arena()->size()) {
    Throw(env, {ErrorCode::kDetachedBuffer,
                "expected the batch's own buffer but it was detached (transferred)"});
    return std::nullopt;
  }
  Copy copy{static_cast<std::byte*>(data), 0, 0};
  for (size_t i = 0; i < 2; ++i) {
    const std::optional<int64_t> rows = IntegerArgument(info, i + 1, "rows");
    if (!rows.has_value()) return std::nullopt;
    (i == 0 ? copy.rows : copy.tensor_rows) = std::clamp<int64_t>(*rows, 0, batch_->capacity());
  }
  return copy;
}

Napi::Value BatchWrap::CopyIn(const Napi::CallbackInfo& info) {
  const std::optional<Copy> copy = CopyArguments(info);
  if (copy.has_value()) CopyInputs(copy->data, copy->rows, copy->tensor_rows, batch_.get());
  return info.Env().Undefined();
}

Napi::Value BatchWrap::CopyOut(const Napi::CallbackInfo& info) {
  const std::optional<Copy> copy = CopyArguments(info);
  if (copy.has_value()) CopyOutputs(*batch_, copy->rows, copy->data);
  return info.Env().Undefined();
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
