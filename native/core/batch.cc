#include "core/batch.h"

#include <chrono>
#include <string>

#include "core/lookup_threads.h"

namespace gyrfalcon {
namespace {

int64_t Nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

}  // namespace

Status Batch::CheckOffsets(int64_t rows) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = model_->spec().inputs[i];
    if (spec.kind != InputSpec::Kind::kRagged) continue;
    // Each offset is read once: JS may be writing them.
    const auto* given =
        reinterpret_cast<const volatile int32_t*>(arena_->data() + inputs_[i].offsets.offset);
    auto* checked = reinterpret_cast<int32_t*>(private_->data() + checked_offsets_[i].offset);
    const auto room = static_cast<int64_t>(inputs_[i].data.elements);
    int32_t before = 0;
    for (int64_t r = 0; r <= rows; ++r) {
      const int32_t offset = given[r];
      if ((r == 0 && offset != 0) || offset < before || offset > room) {
        return {ErrorCode::kInvalidOffsets,
                "expected offsets of input " + spec.name +
                    " to begin at 0, never to decrease and to stay within " + std::to_string(room) +
                    " indices but received " + std::to_string(offset) + " at position " +
                    std::to_string(r)};
      }
      checked[r] = offset;
      before = offset;
    }
  }
  return Status::Ok();
}

Status Batch::Score(int64_t rows) {
  if (model_ == nullptr) return {ErrorCode::kModelClosed, "the model of this batch was closed"};
  ModelStats& stats = model_->stats();
  if (rows < 0 || rows > capacity_) {
    return {ErrorCode::kInvalidArgument, "expected 0 to " + std::to_string(capacity_) +
                                             " rows but received " + std::to_string(rows)};
  }
  stats.requests.fetch_add(1, std::memory_order_relaxed);
  const auto run = [&]() -> Status {
    const auto begin = std::chrono::steady_clock::now();
    GYR_RETURN_IF_ERROR(CheckOffsets(rows));
    if (!groups_.empty()) {
      MapAllIds(rows);
      LookupReport report;
      GYR_RETURN_IF_ERROR(LookUp(rows, &report));
      if (report.failed) return Fault(report);
      if (report.zeroed != 0) {
        stats.zeroed.fetch_add(static_cast<uint64_t>(report.zeroed), std::memory_order_relaxed);
      }
    }
    const auto middle = std::chrono::steady_clock::now();
    const int64_t fixed = model_->spec().fixed_batch;
    const int64_t run_rows = fixed != 0 && rows > 0 ? fixed : rows;
    CopyIds(run_rows);
    GYR_RETURN_IF_ERROR(context_->Run(run_rows));
    const auto end = std::chrono::steady_clock::now();
    times_.lookup_ns.store(Nanoseconds(middle - begin), std::memory_order_relaxed);
    times_.engine_ns.store(Nanoseconds(end - middle), std::memory_order_relaxed);
    return Status::Ok();
  };
  Status status = run();
  if (status.ok()) {
    stats.rows.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
  } else {
    stats.failed.fetch_add(1, std::memory_order_relaxed);
  }
  return status;
}

Status Batch::LookUp(int64_t rows, LookupReport* report) {
  if (device_lookup_ != nullptr) return LookUpOnDevice(rows, report);
  RunLookup(model_->backend(), {groups_.data(), groups_.size(), 0, rows, model_->policy()},
            model_->lookup_threads(), report);
  return Status::Ok();
}

Status Batch::LookUpOnDevice(int64_t rows, LookupReport* report) {
  cuda::CacheKeeper* const keeper = model_->device().keeper.get();
  {
    const cuda::CacheKeeper::Inside inside(keeper);
    GYR_RETURN_IF_ERROR(device_lookup_->Run(rows, report));
  }
  if (keeper != nullptr) keeper->LookedUp(device_lookup_->MostIds(rows));
  return Status::Ok();
}

void Batch::Cancel() {
  if (context_ != nullptr) context_->Cancel();
}

void Batch::Close() {
  context_.reset();
  device_lookup_.reset();
  groups_.clear();
  model_.reset();
}

}  // namespace gyrfalcon
