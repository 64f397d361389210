#include "core/lookup_table.h"

#include <cstring>
#include <utility>

#include "core/device_tables.h"
#include "core/lookup_threads.h"

namespace gyrfalcon {

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
  Result<std::unique_ptr<cuda::TableLookup>> lookup = cuda::TableLookup::Make(*device, *copied);
  if (!lookup.ok()) return lookup.status();
  auto table = std::make_shared<LookupTable>(ShapeOf(view));
  table->device_ = *device;
  table->on_device_ = std::move(*copied);
  table->lookup_ = std::move(*lookup);
  return table;
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
    return lookup_->Run(group, bags, policy, report);
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
