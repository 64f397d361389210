// Embedding tables on a device.
#ifndef GYRFALCON_BACKENDS_CUDA_DEVICE_TABLE_H_
#define GYRFALCON_BACKENDS_CUDA_DEVICE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/cuda/lookup_args.h"
#include "backends/lookup.h"
#include "core/dtype.h"

namespace gyrfalcon::cuda {

// What a lookup needs to know of a table, wherever its rows lie.
class DeviceTable {
 public:
  virtual ~DeviceTable() = default;
  // Rows, dim and storage; `data` is null.
  virtual TableView shape() const = 0;
  // Fills in what the kernel reads rows by.
  virtual void Describe(GroupArgs* group) const = 0;
  virtual size_t device_bytes() const = 0;  // of the device's memory
  // Writes rows, as they lie on the host, back to back, over those of `ids`; of equal ids the last
  // one stays. Precondition: ids are rows of the table, and no lookup of it is under way.
  virtual Status Update(const std::vector<int64_t>& ids, const std::byte* rows) = 0;
};

// Called with the bytes (of the host's rows) that were copied since the last call.
using CopyProgress = std::function<void(size_t bytes)>;

// Copies a table into the device's memory, some MiB at a time. kOutOfMemory, kDeviceFailed,
// kLimitExceeded.
Result<std::shared_ptr<DeviceTable>> CopyTable(const std::shared_ptr<Device>& device,
                                               const TableView& table,
                                               const CopyProgress& progress = {});

// What CopyTable takes of the device.
size_t DeviceTableBytes(Storage storage, int64_t dim, int64_t rows);

struct TableNeed {
  std::string name;
  size_t bytes = 0;
};

// kOutOfMemory when tables do not fit beside each other into what is free: how much that is, how
// much they need, and which of them, the smallest first, would fit.
Status CheckRoom(const Device& device, const std::vector<TableNeed>& tables);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_DEVICE_TABLE_H_
