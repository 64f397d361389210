// An embedding table by itself, in this machine's memory or on a device: lookups, and rows that are
// replaced while others look up.
#ifndef GYRFALCON_CORE_LOOKUP_TABLE_H_
#define GYRFALCON_CORE_LOOKUP_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "backends/cuda/cached_table.h"
#include "backends/cuda/table_lookup.h"
#include "backends/lookup.h"
#include "bundle/bundle.h"

namespace gyrfalcon {

class LookupTable {
 public:
  // Looked up by the CPU's backend in use.
  explicit LookupTable(std::shared_ptr<const TableStorage> storage)
      : storage_(std::move(storage)) {}

  // Copies the rows to cuda:<ordinal>; `storage` may then be freed.
  static Result<std::shared_ptr<LookupTable>> OnDevice(
      int ordinal, const std::string& name, const std::shared_ptr<const TableStorage>& storage,
      const cuda::CopyProgress& progress);

  // Into pinned memory of this machine, with a row cache on cuda:<ordinal>. A cache is looked after
  // behind lookups, by the threads that make them.
  static Result<std::shared_ptr<LookupTable>> Cached(
      int ordinal, const std::string& name, const std::shared_ptr<const TableStorage>& storage,
      const cuda::CacheSize& size, const cuda::CopyProgress& progress);

  TableView shape() const;  // `data` is null
  size_t bytes() const { return storage_->bytes(); }
  size_t huge_page_bytes() const { return storage_->huge_page_bytes(); }
  size_t device_bytes() const { return on_device_ == nullptr ? 0 : on_device_->device_bytes(); }
  std::string device() const;
  // Of a table with a row cache, else nothing.
  std::optional<cuda::CacheStats> cache_stats() const;

  // Puts rows into the cache: cuda::RowCache::Warm. kInvalidArgument for a table without one.
  Status Warm(const std::vector<int64_t>& ids);

  // `group` without its table: ragged, or of one id each; see cuda::TableLookup. Any thread.
  Status Look(BagGroup group, int64_t bags, OutOfRange policy, int threads, LookupReport* report);

  // Replaces rows: `rows` has one for each id, in the table's storage; of equal ids the last one
  // stays. A lookup on another thread sees all of them or none. kIndexOutOfRange (nothing was
  // written then), kInvalidArgument for rows of a mapped file, kDeviceFailed (some may be written).
  Status Update(const std::vector<int64_t>& ids, const std::byte* rows);

 private:
  // One writer, or lookups of one port: a cache never waits for lookups that it is called behind.
  class NobodyInside final : public cuda::LookupFence {
   public:
    void Drain() override {}
    void Close() override {}
    void Open() override {}
  };

  Status CheckIds(const std::vector<int64_t>& ids) const;
  Status SetUpLookups(std::shared_ptr<cuda::Device> device,
                      std::shared_ptr<cuda::DeviceTable> table);

  std::shared_ptr<const TableStorage> storage_;  // with a device: the shape
  std::shared_ptr<cuda::Device> device_;
  NobodyInside fence_;
  std::shared_ptr<cuda::DeviceTable> on_device_;
  std::shared_ptr<cuda::CachedTable> cached_;  // on_device_, if that has a cache
  int64_t looked_up_ = 0;                      // ids since the cache was looked after
  std::mutex lookups_;                         // a device's requests enter by one port
  std::unique_ptr<cuda::TableLookup> lookup_;
  std::shared_mutex rows_;  // lookups share it, an update has it alone
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_LOOKUP_TABLE_H_
