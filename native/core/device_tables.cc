#include "core/device_tables.h"

#include <algorithm>
#include <string>
#include <utility>

namespace gyrfalcon {
namespace {

class ShapeOnly final : public TableStorage {
 public:
  explicit ShapeOnly(const TableView& table) : view_(table) { view_.data = nullptr; }

  TableView view() const override { return view_; }
  size_t bytes() const override {
    return static_cast<size_t>(view_.rows) * RowBytes(view_.storage, view_.dim);
  }
  size_t huge_page_bytes() const override { return 0; }

 private:
  TableView view_;
};

Status CheckNames(const std::vector<TableSpec>& tables, const TableCaches& caches) {
  for (const auto& [name, size] : caches) {
    const auto is_it = [&](const TableSpec& table) { return table.name == name; };
    if (std::any_of(tables.begin(), tables.end(), is_it)) continue;
    std::string names;
    for (const TableSpec& table : tables) names += (names.empty() ? "" : ", ") + table.name;
    return {ErrorCode::kInvalidArgument,
            "expected row caches of tables " + names + " but received one of " + name};
  }
  return Status::Ok();
}

Result<size_t> NeedOf(const TableSpec& table, const TableCaches& caches) {
  const auto cache = caches.find(table.name);
  if (cache == caches.end()) {
    return cuda::DeviceTableBytes(table.storage, table.dim, table.rows);
  }
  return cuda::CachedTable::DeviceBytes(table.storage, table.dim, table.rows, cache->second);
}

}  // namespace

std::shared_ptr<const TableStorage> ShapeOf(const TableView& table) {
  return std::make_shared<ShapeOnly>(table);
}

Result<DeviceTables> LoadTablesOnto(int ordinal, const std::string& dir,
                                    const std::vector<TableSpec>& tables, const TableCaches& caches,
                                    const LoadTableOptions& options, LoadProgress* progress) {
  Result<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(ordinal);
  if (!device.ok()) return device.status();
  GYR_RETURN_IF_ERROR(CheckNames(tables, caches));
  std::vector<cuda::TableNeed> needs;
  uint64_t total = 0;
  for (const TableSpec& table : tables) {
    Result<size_t> bytes = NeedOf(table, caches);
    if (!bytes.ok()) return bytes.status();
    needs.push_back({table.name, *bytes});
    total += static_cast<uint64_t>(table.rows) * RowBytes(table.storage, table.dim);
  }
  GYR_RETURN_IF_ERROR(cuda::CheckRoom(**device, needs));
  progress->total.store(total, std::memory_order_relaxed);
  DeviceTables result;
  result.on.device = *device;
  if (!caches.empty()) result.on.keeper = std::make_shared<cuda::CacheKeeper>();
  std::vector<std::shared_ptr<cuda::CachedTable>> kept;
  for (const TableSpec& table : tables) {
    Result<std::shared_ptr<const TableStorage>> loaded = LoadTable(dir, table, options);
    if (!loaded.ok()) return loaded.status();
    const TableView view = (*loaded)->view();
    const auto copied = [&](size_t bytes) {
      progress->bytes.fetch_add(bytes, std::memory_order_relaxed);
    };
    result.shapes.push_back(ShapeOf(view));
    const auto cache = caches.find(table.name);
    if (cache == caches.end()) {
      Result<std::shared_ptr<cuda::DeviceTable>> whole = cuda::CopyTable(*device, view, copied);
      if (!whole.ok()) return whole.status();
      result.on.tables.push_back(std::move(*whole));
      result.on.cached.push_back(nullptr);
      continue;
    }
    Result<std::shared_ptr<cuda::CachedTable>> cached =
        cuda::CachedTable::Make(*device, view, cache->second, result.on.keeper->fence(), copied);
    if (!cached.ok()) return cached.status();
    kept.push_back(*cached);
    result.on.tables.push_back(*cached);
    result.on.cached.push_back(std::move(*cached));
  }
  if (!kept.empty()) GYR_RETURN_IF_ERROR(result.on.keeper->Start(std::move(kept)));
  return result;
}

}  // namespace gyrfalcon
