// A table in pinned host memory, read by the device where it lies, with a row cache in the device's
// memory.
#ifndef GYRFALCON_BACKENDS_CUDA_CACHED_TABLE_H_
#define GYRFALCON_BACKENDS_CUDA_CACHED_TABLE_H_

#include <memory>
#include <vector>

#include "backends/cuda/device_table.h"
#include "backends/cuda/handles.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/row_cache.h"

namespace gyrfalcon::cuda {

// Copies by a stream of its own.
class StreamCopies final : public CacheDevice {
 public:
  static Result<std::unique_ptr<StreamCopies>> Make(const std::shared_ptr<Device>& device);
  ~StreamCopies() override;

  Status Write(uint64_t to, const void* from, size_t bytes) override;
  Status Finish() override;

 private:
  explicit StreamCopies(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  std::shared_ptr<Device> device_;
  Stream stream_;
};

struct CacheSize {
  int64_t rows = 0;   // slots, or 0:
  int64_t bytes = 0;  // of the device's memory that may be used
};

class CachedTable final : public DeviceTable {
 public:
  // What Make takes of the device's memory. kLimitExceeded, as Make.
  static Result<size_t> DeviceBytes(Storage storage, int64_t dim, int64_t rows,
                                    const CacheSize& size);

  // `fence` outlives the table. kLimitExceeded, also of caches too small for the table's rows;
  // kOutOfMemory, kDeviceFailed.
  static Result<std::shared_ptr<CachedTable>> Make(const std::shared_ptr<Device>& device,
                                                   const TableView& table, const CacheSize& size,
                                                   LookupFence* fence,
                                                   const CopyProgress& progress = {});

  TableView shape() const override { return shape_; }
  void Describe(GroupArgs* group) const override;
  size_t device_bytes() const override { return memory_.bytes(); }
  size_t pinned_bytes() const { return rows_.bytes() + ring_.bytes(); }
  // Also while lookups are under way, if the fence knows of them.
  Status Update(const std::vector<int64_t>& ids, const std::byte* rows) override;

  // As of RowCache.
  Status Maintain();
  Status Warm(const std::vector<int64_t>& ids);
  CacheStats stats() const { return cache_->stats(); }

 private:
  CachedTable(std::shared_ptr<Device> device, TableView shape)
      : device_(std::move(device)), shape_(shape) {}

  void Fill(const std::byte* from, const CopyProgress& progress);

  std::shared_ptr<Device> device_;
  TableView shape_;
  PinnedMemory rows_;
  PinnedMemory ring_;
  DeviceMemory memory_;  // CacheArgs, tags, slots
  std::unique_ptr<StreamCopies> copies_;
  std::unique_ptr<RowCache> cache_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_CACHED_TABLE_H_
