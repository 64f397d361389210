#include "core/lookup_table.h"

#include <cstring>
#include <utility>

#include "core/device_tables.h"
#include "core/lookup_threads.h"

namespace gyrfalcon {
namespace {

// Of a request as LookupTable::Look gets it.
int64_t IdsOf(const BagGroup& group, int64_t bags) {
  if (group.offsets == nullptr) return bags * group.count;
  return group.offsets_are_64 ? static_cast<const int64_t*>(group.offsets)[bags]
                              : static_cast<const int32_t*>(group.offsets)[bags];
}

}  // namespace

Result<std::shared_ptr<LookupTable>> LookupTable::OnDevice(
    int ordinal, const std::string& name, const std::shared_ptr<const TableStorage>& storage,
    const cuda::CopyProgress& progress) {
  Result<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(ordinal);
  if (!device.ok()) return device.status();
  const TableView view = storage->view();
  const size_t bytes = cuda::DeviceTableBytes(view.storage, view.dim, view.rows);
  GYR_RETURN_IF_ERROR(cuda::CheckRoom(**device, {{name, bytes}}));
  Result<std::shared_ptr<cuda::DeviceTable>> copied = cuda::CopyTable(*device, view, progress);
  if (!copied.ok()) return copied.status();
  auto table = std::make_shared<LookupTable>(ShapeOf(view));
  GYR_RETURN_IF_ERROR(table->SetUpLookups(*device, std::move(*copied)));
  return table;
}

Result<std::shared_ptr<LookupTable>> LookupTable::Cached(
    int ordinal, const std::string& name, const std::shared_ptr<const TableStorage>& storage,
    const cuda::CacheSize& size, const cuda::CopyProgress& progress) {
  Result<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(ordinal);
  if (!device.ok()) return device.status();
  const TableView view = storage->view();
  const Result<size_t> bytes =
      cuda::CachedTable::DeviceBytes(view.storage, view.dim, view.rows, size);
  if (!bytes.ok()) return bytes.status();
  GYR_RETURN_IF_ERROR(cuda::CheckRoom(**device, {{name, bytes.value()}}));
  auto table = std::make_shared<LookupTable>(ShapeOf(view));
  Result<std::shared_ptr<cuda::CachedTable>> cached =
      cuda::CachedTable::Make(*device, view, size, &table->fence_, progress);
  if (!cached.ok()) return cached.status();
  table->cached_ = *cached;
  GYR_RETURN_IF_ERROR(table->SetUpLookups(*device, std::move(*cached)));
  return table;
}

Status LookupTable::SetUpLookups(std::shared_ptr<cuda::Device> device,
                                 std::shared_ptr<cuda::DeviceTable> table) {
  Result<std::unique_ptr<cuda::TableLookup>> lookup = cuda::TableLookup::Make(device, table);
  if (!lookup.ok()) return lookup.status();
  device_ = std::move(device);
  on_device_ = std::move(table);
  lookup_ = std::move(*lookup);
  return Status::Ok();
}

std::optional<cuda::CacheStats> LookupTable::cache_stats() const {
  if (cached_ == nullptr) return std::nullopt;
  return cached_->stats();
}

Status LookupTable::Warm(const std::vector<int64_t>& ids) {
  GYR_RETURN_IF_ERROR(CheckIds(ids));
  if (cached_ == nullptr) {
    return {ErrorCode::kInvalidArgument, "expected a table with a row cache but it has none"};
  }
  const std::unique_lock writing(rows_);
  return cached_->Warm(ids);
}

TableView LookupTable::shape() const {
  TableView view = storage_->view();
  view.data = nullptr;
  return view;
}

std::string LookupTable::device() const { return device_ == nullptr ? "cpu" : device_->name(); }

Status LookupTable::Look(BagGroup group, int64_t bags, OutOfRange policy, int threads,
                         LookupReport* report) {
  const std::shared_lock reading(rows_);
  group.table = storage_->view();
  if (lookup_ != nullptr) {
    const std::lock_guard alone(lookups_);
    GYR_RETURN_IF_ERROR(lookup_->Run(group, bags, policy, report));
    if (cached_ == nullptr) return Status::Ok();
    looked_up_ += IdsOf(group, bags);
    if (looked_up_ < cuda::RowCache::kRoundLookups) return Status::Ok();
    looked_up_ = 0;
    // The results are there. A cache whose device fails stays as it is, which updates report.
    static_cast<void>(cached_->Maintain());
    return Status::Ok();
  }
  const LookupBackend* const backend = ActiveLookupBackend();
  if (backend == nullptr) {
    return {ErrorCode::kDeviceUnavailable,
            "GYRFALCON_CPU_ISA names an instruction set that cannot run here"};
  }
  RunLookup(*backend, {&group, 1, 0, bags, policy}, threads, report);
  return Status::Ok();
}

Status LookupTable::CheckIds(const std::vector<int64_t>& ids) const {
  const int64_t rows = shape().rows;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < rows) continue;
    return {ErrorCode::kIndexOutOfRange, "expected an id from 0 to " + std::to_string(rows - 1) +
                                             " at position " + std::to_string(i) +
                                             " but received " + std::to_string(ids[i])};
  }
  return Status::Ok();
}

Status LookupTable::Update(const std::vector<int64_t>& ids, const std::byte* rows) {
  GYR_RETURN_IF_ERROR(CheckIds(ids));
  const std::unique_lock writing(rows_);
  if (on_device_ != nullptr) return on_device_->Update(ids, rows);
  std::byte* const data = storage_->writable();
  if (data == nullptr) {
    return {ErrorCode::kInvalidArgument,
            "expected a table in memory of its own but its file is mapped"};
  }
  const TableView view = storage_->view();
  const size_t bytes = RowBytes(view.storage, view.dim);
  for (size_t i = 0; i < ids.size(); ++i) {
    std::memcpy(data + static_cast<size_t>(ids[i]) * bytes, rows + i * bytes, bytes);
  }
  return Status::Ok();
}

}  // namespace gyrfalcon
