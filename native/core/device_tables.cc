#include "core/device_tables.h"

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

}  // namespace

std::shared_ptr<const TableStorage> ShapeOf(const TableView& table) {
  return std::make_shared<ShapeOnly>(table);
}

Result<DeviceTables> LoadTablesOnto(int ordinal, const std::string& dir,
                                    const std::vector<TableSpec>& tables,
                                    const LoadTableOptions& options, LoadProgress* progress) {
  Result<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(ordinal);
  if (!device.ok()) return device.status();
  std::vector<cuda::TableNeed> needs;
  uint64_t total = 0;
  for (const TableSpec& table : tables) {
    needs.push_back({table.name, cuda::DeviceTableBytes(table.storage, table.dim, table.rows)});
    total += static_cast<uint64_t>(table.rows) * RowBytes(table.storage, table.dim);
  }
  GYR_RETURN_IF_ERROR(cuda::CheckRoom(**device, needs));
  progress->total.store(total, std::memory_order_relaxed);
  DeviceTables result;
  result.on.device = *device;
  for (const TableSpec& table : tables) {
    Result<std::shared_ptr<const TableStorage>> loaded = LoadTable(dir, table, options);
    if (!loaded.ok()) return loaded.status();
    const TableView view = (*loaded)->view();
    Result<std::shared_ptr<cuda::DeviceTable>> copied = cuda::CopyTable(
        *device, view,
        [&](size_t bytes) { progress->bytes.fetch_add(bytes, std::memory_order_relaxed); });
    if (!copied.ok()) return copied.status();
    result.on.tables.push_back(std::move(*copied));
    result.shapes.push_back(ShapeOf(view));
  }
  return result;
}

}  // namespace gyrfalcon
