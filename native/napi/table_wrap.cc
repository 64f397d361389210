#include "napi/table_wrap.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "backends/lookup.h"
#include "backends/row_format.h"
#include "core/limits.h"
#include "core/lookup_table.h"
#include "core/lookup_threads.h"
#include "core/prefetch_setup.h"
#include "napi/async_task.h"
#include "napi/env_state.h"
#include "napi/load_progress.h"
#include "napi/table_values.h"
#include "napi/typed_array.h"

namespace gyrfalcon::napi {
namespace {

using TablePointer = std::shared_ptr<LookupTable>;
using Rows = std::shared_ptr<const TableStorage>;

// Of a table that was just made.
void ConsiderPrefetch(const TableView& table) {
  const LookupBackend* const backend = ActiveLookupBackend();
  if (backend != nullptr) PrefetchSetup::Shared().Consider(table, *backend);
}

// The threads that a call may use, of arguments that lib/embedding-table.ts checked.
int ThreadsArgument(const Napi::CallbackInfo& info, size_t index) {
  const int threads = info[index].IsNumber() ? info[index].As<Napi::Number>().Int32Value() : 1;
  PrepareLookupThreads(threads);
  return threads;
}

Napi::Value NewTable(Napi::Env env, TablePointer table, int threads) {
  Napi::Object object =
      EnvState::Get(env)
          ->constructor(ClassId::kTable)
          .New({Napi::External<TablePointer>::New(env, &table), Napi::Number::New(env, threads)});
  if (object.IsEmpty()) return env.Undefined();
  const TableView view = table->shape();
  object.Set("rows", static_cast<double>(view.rows));
  object.Set("dim", static_cast<double>(view.dim));
  object.Set("storage", std::string(StorageName(view.storage)));
  object.Set("bytes", static_cast<double>(table->bytes()));
  object.Set("device", table->device());
  return object;
}

// A table of rows that are in this machine's memory: to stay there, or on cuda:<device>.
Result<TablePointer> Place(Rows rows, bool mapped, int64_t device, const cuda::CacheSize& cache,
                           const std::string& name, LoadProgress* progress) {
  if (device < 0) {
    ConsiderPrefetch(mapped ? TableView{} : rows->view());
    return std::make_shared<LookupTable>(std::move(rows));
  }
  progress->total.store(rows->bytes(), std::memory_order_relaxed);
  const auto count = [&](size_t bytes) {
    progress->bytes.fetch_add(bytes, std::memory_order_relaxed);
  };
  if (cache.rows > 0 || cache.bytes > 0) {
    return LookupTable::Cached(static_cast<int>(device), name, rows, cache, count);
  }
  return LookupTable::OnDevice(static_cast<int>(device), name, rows, count);
}

// Two arguments: cached rows, and bytes; 0 and 0 for no cache.
std::optional<cuda::CacheSize> CacheArgument(const Napi::CallbackInfo& info, size_t index) {
  const std::optional<int64_t> rows = IntegerArgument(info, index, "cacheRows");
  const std::optional<int64_t> bytes =
      rows ? IntegerArgument(info, index + 1, "cacheBytes") : std::nullopt;
  if (!bytes) return std::nullopt;
  return cuda::CacheSize{*rows, *bytes};
}

std::optional<Storage> StorageArgument(const Napi::CallbackInfo& info, size_t index) {
  const std::optional<std::string> name = StringArgument(info, index, "storage");
  if (!name) return std::nullopt;
  const std::optional<Storage> storage = StorageFromName(*name);
  if (!storage) {
    Throw(
        info.Env(),
        InvalidArgument("expected f32, f16, bf16, int8 or int4 for storage but received " + *name));
  }
  return storage;
}

Napi::Value FromFile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::optional<std::string> path = StringArgument(info, 0, "path");
  std::optional<std::string> tensor = path ? StringArgument(info, 1, "tensor") : std::nullopt;
  const std::optional<Storage> storage = tensor ? StorageArgument(info, 2) : std::nullopt;
  const std::optional<int64_t> dim = storage ? IntegerArgument(info, 3, "dim") : std::nullopt;
  if (!dim) return env.Undefined();
  LoadTableOptions options;
  options.residency = BooleanArgument(info, 4) ? TableResidency::kMap : TableResidency::kCopy;
  const int threads = ThreadsArgument(info, 5);
  const std::optional<int64_t> device = IntegerArgument(info, 6, "device");
  const std::optional<cuda::CacheSize> cache = device ? CacheArgument(info, 8) : std::nullopt;
  if (!cache) return env.Undefined();
  const std::shared_ptr<LoadProgress> progress = ProgressOf(info[7]);
  return RunTask<TablePointer>(
      env,
      [path = std::move(*path), tensor = std::move(*tensor), storage = *storage, dim = *dim,
       options, device = *device, cache = *cache, progress]() -> Result<TablePointer> {
        Result<Rows> rows = LoadSafetensorsTable(path, tensor, storage, dim, options);
        if (!rows.ok()) return rows.status();
        const bool mapped = options.residency == TableResidency::kMap;
        return Place(std::move(*rows), mapped, device, cache, tensor, progress.get());
      },
      [threads](Napi::Env e, TablePointer table) -> Napi::Value {
        return NewTable(e, std::move(table), threads);
      });
}

Napi::Value FromRows(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<ArrayView> data = ReadTypedArray(env, info[0], "the table's rows");
  if (!data.ok()) return Throw(env, data.status());
  const bool encoded = BooleanArgument(info, 1);
  const std::optional<int64_t> rows = IntegerArgument(info, 2, "rows");
  const std::optional<int64_t> dim = rows ? IntegerArgument(info, 3, "dim") : std::nullopt;
  const std::optional<Storage> storage = dim ? StorageArgument(info, 4) : std::nullopt;
  if (!storage) return env.Undefined();
  if (*dim < 1 || *dim > limits::kMaxDim || *rows < 1 || *rows > limits::kMaxTableRows) {
    return Throw(env, {ErrorCode::kLimitExceeded, "expected a dim of 1 to " +
                                                      std::to_string(limits::kMaxDim) +
                                                      " and at least one row"});
  }
  const size_t row_bytes = encoded ? RowBytes(*storage, *dim) : 4 * static_cast<size_t>(*dim);
  const size_t expected = static_cast<size_t>(*rows) * row_bytes;  // 2^40 * 2^16 fits
  if (!encoded && data->type != napi_float32_array) {
    return Throw(env, {ErrorCode::kDtypeMismatch, "expected a Float32Array for the table's rows"});
  }
  if (data->bytes() != expected) {
    return Throw(env, {ErrorCode::kShapeMismatch, "expected " + std::to_string(expected) +
                                                      " bytes of rows but received " +
                                                      std::to_string(data->bytes())});
  }
  std::vector<std::byte> copy;
  const void* source = encoded ? data->data : StableData(*data, &copy);
  const std::optional<int64_t> device = IntegerArgument(info, 6, "device");
  const std::optional<cuda::CacheSize> cache = device ? CacheArgument(info, 7) : std::nullopt;
  if (!cache) return env.Undefined();
  Result<Rows> made = MakeTable(*rows, *dim, *storage, [&](std::byte* memory) {
    if (encoded) {
      std::memcpy(memory, source, expected);
    } else {
      EncodeRows(static_cast<const float*>(source), *rows, *dim, *storage, memory);
    }
  });
  if (!made.ok()) return Throw(env, made.status());
  LoadProgress progress;
  Result<TablePointer> table =
      Place(std::move(*made), false, *device, *cache, "the table", &progress);
  if (!table.ok()) return Throw(env, table.status());
  return NewTable(env, std::move(table).value(), ThreadsArgument(info, 5));
}

// Each offset is read once, because other threads may write a shared buffer.
Status CopyOffsets(const ArrayView& given, size_t indices, std::vector<int64_t>* offsets) {
  if (!IsIds(given)) {
    return {ErrorCode::kDtypeMismatch, "expected an Int32Array or BigInt64Array for offsets"};
  }
  if (given.elements == 0) {
    return {ErrorCode::kInvalidOffsets, "expected offsets [bags + 1] but received none"};
  }
  offsets->resize(given.elements);
  int64_t before = 0;
  for (size_t i = 0; i < given.elements; ++i) {
    const int64_t offset = given.type == napi_int32_array
                               ? static_cast<const volatile int32_t*>(given.data)[i]
                               : static_cast<const volatile int64_t*>(given.data)[i];
    if ((i == 0 && offset != 0) || offset < before ||
        static_cast<uint64_t>(offset) > static_cast<uint64_t>(indices)) {
      return {ErrorCode::kInvalidOffsets,
              "expected offsets to begin at 0, never to decrease and to stay within " +
                  std::to_string(indices) + " indices but received " + std::to_string(offset) +
                  " at position " + std::to_string(i)};
    }
    (*offsets)[i] = offset;
    before = offset;
  }
  return Status::Ok();
}

}  // namespace

TableWrap::TableWrap(const Napi::CallbackInfo& info) : GuardedWrap<TableWrap>(info) {
  if (!info[0].IsExternal()) {
    Throw(info.Env(), InvalidArgument("expected a table to be made by tableFromRows"));
    return;
  }
  table_ = *info[0].As<Napi::External<TablePointer>>().Data();
  if (info[1].IsNumber()) threads_ = info[1].As<Napi::Number>().Int32Value();
}

Napi::Function TableWrap::Class(Napi::Env env) {
  return DefineClass(env, "NativeTable",
                     {Method<&TableWrap::Bag>("bag"), Method<&TableWrap::Update>("update"),
                      Method<&TableWrap::Warm>("warm"), Method<&TableWrap::Stats>("stats"),
                      Method<&TableWrap::Close>("close")});
}

// Arguments: indices, offsets | undefined, weights | undefined, out, pooling, policy.
Napi::Value TableWrap::Bag(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (table_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the table was closed"});
  Result<ArrayView> indices = ReadTypedArray(env, info[0], "indices");
  if (!indices.ok()) return Throw(env, indices.status());
  if (!IsIds(*indices)) {
    return Throw(env, {ErrorCode::kDtypeMismatch,
                       "expected an Int32Array or BigInt64Array for indices but received " +
                           Received(info[0])});
  }
  BagGroup group;
  group.table = table_->shape();
  group.indices = indices->data;
  group.indices_are_64 = indices->type == napi_bigint64_array;
  int64_t bags = static_cast<int64_t>(indices->elements);
  if (info[1].IsUndefined()) {
    group.count = 1;
    group.index_row_stride = 1;
    group.weight_row_stride = 1;
  } else {
    Result<ArrayView> offsets = ReadTypedArray(env, info[1], "offsets");
    if (!offsets.ok()) return Throw(env, offsets.status());
    const Status checked = CopyOffsets(*offsets, indices->elements, &offsets_);
    if (!checked.ok()) return Throw(env, checked);
    group.offsets = offsets_.data();
    group.offsets_are_64 = true;
    bags = static_cast<int64_t>(offsets_.size()) - 1;
  }
  if (!info[2].IsUndefined()) {
    Result<ArrayView> weights =
        ReadTypedArray(env, info[2], "weights", napi_float32_array, "Float32Array");
    if (!weights.ok()) return Throw(env, weights.status());
    if (weights->elements != indices->elements) {
      return Throw(env, {ErrorCode::kShapeMismatch,
                         "expected " + std::to_string(indices->elements) +
                             " weights but received " + std::to_string(weights->elements)});
    }
    group.weights = static_cast<const float*>(weights->data);
  }
  Result<ArrayView> out = ReadTypedArray(env, info[3], "out", napi_float32_array, "Float32Array");
  if (!out.ok()) return Throw(env, out.status());
  const size_t expected = static_cast<size_t>(bags) * static_cast<size_t>(group.table.dim);
  if (out->elements != expected) {
    return Throw(env, {ErrorCode::kShapeMismatch, "expected " + std::to_string(expected) +
                                                      " elements for out but received " +
                                                      std::to_string(out->elements)});
  }
  const std::optional<std::string> pooling = StringArgument(info, 4, "pooling");
  const std::optional<std::string> policy =
      pooling ? StringArgument(info, 5, "policy") : std::nullopt;
  if (!policy) return env.Undefined();
  group.pooling = PoolingFromName(*pooling).value_or(Pooling::kSum);
  if (group.offsets != nullptr && group.pooling == Pooling::kNone) {
    return Throw(env, InvalidArgument("expected sum or mean as pooling of bags with offsets"));
  }
  group.out = static_cast<float*>(out->data);
  group.out_row_stride = group.table.dim;
  LookupReport report;
  const Status status = table_->Look(
      group, bags, *policy == "zero" ? OutOfRange::kZero : OutOfRange::kError, threads_, &report);
  if (!status.ok()) return Throw(env, status);
  if (report.failed) {
    return Throw(env,
                 {ErrorCode::kIndexOutOfRange,
                  "expected an id from 0 to " + std::to_string(group.table.rows - 1) + " in bag " +
                      std::to_string(report.row) + ", position " + std::to_string(report.position) +
                      " but received " + std::to_string(report.value)});
  }
  return Napi::Number::New(env, static_cast<double>(report.zeroed));
}

// Arguments: ids, rows, whether rows are encoded.
Napi::Value TableWrap::Update(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (table_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the table was closed"});
  Result<ArrayView> given = ReadTypedArray(env, info[0], "ids");
  if (!given.ok()) return Throw(env, given.status());
  if (!IsIds(*given)) {
    return Throw(
        env, {ErrorCode::kDtypeMismatch,
              "expected an Int32Array or BigInt64Array for ids but received " + Received(info[0])});
  }
  Result<ArrayView> data = ReadTypedArray(env, info[1], "rows");
  if (!data.ok()) return Throw(env, data.status());
  const bool encoded = BooleanArgument(info, 2);
  const TableView shape = table_->shape();
  const size_t row_bytes =
      encoded ? RowBytes(shape.storage, shape.dim) : sizeof(float) * static_cast<size_t>(shape.dim);
  if (!encoded && data->type != napi_float32_array) {
    return Throw(env, {ErrorCode::kDtypeMismatch, "expected a Float32Array for rows"});
  }
  if (data->bytes() != given->elements * row_bytes) {
    return Throw(env, {ErrorCode::kShapeMismatch,
                       "expected " + std::to_string(given->elements * row_bytes) +
                           " bytes of rows but received " + std::to_string(data->bytes())});
  }
  const std::vector<int64_t> ids = CopyIds(*given);
  std::vector<std::byte> copy;
  const void* source = StableData(*data, &copy);
  std::vector<std::byte> rows;
  if (!encoded) {
    rows.resize(ids.size() * RowBytes(shape.storage, shape.dim));
    EncodeRows(static_cast<const float*>(source), static_cast<int64_t>(ids.size()), shape.dim,
               shape.storage, rows.data());
    source = rows.data();
  }
  const Status status = table_->Update(ids, static_cast<const std::byte*>(source));
  return status.ok() ? env.Undefined() : Throw(env, status);
}

// Argument: ids.
Napi::Value TableWrap::Warm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (table_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the table was closed"});
  const Result<std::vector<int64_t>> ids = IdsArgument(env, info[0]);
  if (!ids.ok()) return Throw(env, ids.status());
  const Status status = table_->Warm(ids.value());
  return status.ok() ? env.Undefined() : Throw(env, status);
}

Napi::Value TableWrap::Stats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (table_ == nullptr) return Throw(env, {ErrorCode::kModelClosed, "the table was closed"});
  Napi::Object object = Napi::Object::New(env);
  object.Set("tableBytes", static_cast<double>(table_->bytes()));
  object.Set("hugePageBytes", static_cast<double>(table_->huge_page_bytes()));
  object.Set("deviceBytes", static_cast<double>(table_->device_bytes()));
  if (const std::optional<cuda::CacheStats> stats = table_->cache_stats()) {
    object.Set("cache", CacheStatsObject(env, *stats));
  }
  return object;
}

Napi::Value TableWrap::Close(const Napi::CallbackInfo& info) {
  table_.reset();
  return info.Env().Undefined();
}

void RegisterTable(Napi::Env env, Napi::Object exports) {
  EnvState::Get(env)->constructor(ClassId::kTable) = Napi::Persistent(TableWrap::Class(env));
  exports.Set("tableFromFile", Function<&FromFile>(env, "tableFromFile"));
  exports.Set("tableFromRows", Function<&FromRows>(env, "tableFromRows"));
}

}  // namespace gyrfalcon::napi
