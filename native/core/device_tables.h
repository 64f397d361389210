// Tables of a bundle, or any others, brought onto a device.
#ifndef GYRFALCON_CORE_DEVICE_TABLES_H_
#define GYRFALCON_CORE_DEVICE_TABLES_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "core/model.h"

namespace gyrfalcon {

// Of a load that is under way; any thread may read it.
struct LoadProgress {
  std::atomic<uint64_t> bytes{0};  // of tables' rows, copied so far
  std::atomic<uint64_t> total{0};
};

// What stays of a table on this machine: its shape.
std::shared_ptr<const TableStorage> ShapeOf(const TableView& table);

// By table name: the size of its row cache.
using TableCaches = std::map<std::string, cuda::CacheSize, std::less<>>;

struct DeviceTables {
  ModelDevice on;
  std::vector<std::shared_ptr<const TableStorage>> shapes;  // per ModelSpec::tables
};

// Loads tables one after another through this machine's memory: at most one of them is in it.
// kOutOfMemory before anything is read when they do not fit the device; as LoadTable otherwise.
// Tables that `caches` has a size for stay in this machine's memory, pinned, with a row cache.
Result<DeviceTables> LoadTablesOnto(int ordinal, const std::string& dir,
                                    const std::vector<TableSpec>& tables, const TableCaches& caches,
                                    const LoadTableOptions& options, LoadProgress* progress);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_DEVICE_TABLES_H_
