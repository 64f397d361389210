// An embedding table by itself, in this machine's memory or on a device: lookups, and rows that are
// replaced while others look up.
#ifndef GYRFALCON_CORE_LOOKUP_TABLE_H_
#define GYRFALCON_CORE_LOOKUP_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

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

  TableView shape() const;  // `data` is null
  size_t bytes() const { return storage_->bytes(); }
  size_t huge_page_bytes() const { return storage_->huge_page_bytes(); }
  size_t device_bytes() const { return on_device_ == nullptr ? 0 : on_device_->device_bytes(); }
  std::string device() const;

  // `group` without its table: ragged, or of one id each; see cuda::TableLookup. Any thread.
  Status Look(BagGroup group, int64_t bags, OutOfRange policy, int threads, LookupReport* report);

  // Replaces rows: `rows` has one for each id, in the table's storage; of equal ids the last one
  // stays. A lookup on another thread sees all of them or none. kIndexOutOfRange (nothing was
  // written then), kInvalidArgument for rows of a mapped file, kDeviceFailed (some may be written).
  Status Update(const std::vector<int64_t>& ids, const std::byte* rows);

 private:
  Status CheckIds(const std::vector<int64_t>& ids) const;

  std::shared_ptr<const TableStorage> storage_;  // with a device: the shape
  std::shared_ptr<cuda::Device> device_;
  std::shared_ptr<cuda::DeviceTable> on_device_;
  std::mutex lookups_;  // a device's requests enter by one port
  std::unique_ptr<cuda::TableLookup> lookup_;
  std::shared_mutex rows_;  // lookups share it, an update has it alone
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_LOOKUP_TABLE_H_
