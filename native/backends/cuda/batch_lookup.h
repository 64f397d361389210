// The lookups of one batch on a device: graphs that are captured once and launched for each score.
//
// A graph is a lookup over all groups and the end of the request, for up to as many rows as its
// bucket has (powers of two from kLeastBucket, and the capacity): how many there are is read on the
// device. Positions come
//   mapped   in small buckets: the kernel reads the batch's pinned memory over the bus
//   copied   in buckets of kMappedBytes of positions or more: copies of exactly what the rows have
//            go before the graph, and the kernel reads the device's memory
// Results go to the batch's pinned memory in either case, where the dense network reads them.
#ifndef GYRFALCON_BACKENDS_CUDA_BATCH_LOOKUP_H_
#define GYRFALCON_BACKENDS_CUDA_BATCH_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "backends/cuda/device_table.h"
#include "backends/cuda/lookup_launch.h"
#include "backends/cuda/request_port.h"
#include "backends/lookup.h"

namespace gyrfalcon::cuda {

// A lane that reads an id over the bus moves 32 bytes for its 4, and neighbouring bags of a row
// read the same 32 again: at 25 GB/s that is 1.3 ns an id, against 0.2 ns in a copy, which takes
// some 5 us to begin. They meet at about 4096 ids of 4 bytes.
inline constexpr size_t kMappedBytes = size_t{16} << 10;
inline constexpr int64_t kLeastBucket = 8;

class BatchLookup {
 public:
  // `groups` point into `memory` (but for `add`, which points anywhere), and ragged ones say how
  // much room they have; `tables` has one for each group; all outlive this. kOutOfMemory,
  // kDeviceFailed, kLimitExceeded.
  static Result<std::unique_ptr<BatchLookup>> Make(const std::shared_ptr<Device>& device,
                                                   std::vector<BagGroup> groups,
                                                   const std::vector<const DeviceTable*>& tables,
                                                   const std::vector<const PinnedMemory*>& memory,
                                                   int64_t capacity, OutOfRange policy);

  // Looks up `rows` batch rows, at most the capacity. One caller at a time. Allocates nothing.
  Status Run(int64_t rows, LookupReport* report);

  // Positions that `rows` batch rows look up in the table that they look up most in.
  int64_t MostIds(int64_t rows) const;

  // Memory of the device that this takes itself.
  size_t device_bytes() const;

 private:
  // Host memory that groups read positions from; spans do not overlap.
  struct Span {
    const std::byte* begin = nullptr;
    const std::byte* end = nullptr;  // at the full capacity
    uint64_t copy = 0;               // on the device
    std::vector<size_t> ids;         // groups whose ids are in it,
    std::vector<size_t> weights;     //   whose weights,
    std::vector<size_t> offsets;     //   whose offsets
  };
  struct Bucket {
    int64_t rows = 0;
    bool copies = false;
    LookupLaunch launch;
    GraphExec exec;
  };

  BatchLookup(std::shared_ptr<Device> device, std::vector<BagGroup> groups, int64_t capacity)
      : device_(std::move(device)), groups_(std::move(groups)), capacity_(capacity) {}

  void FindSpans();
  size_t SpanBytes(const Span& span, int64_t rows, bool usual) const;
  Status CopyAdds();
  Result<std::vector<GroupArgs>> Arguments(const std::vector<const DeviceTable*>& tables,
                                           const std::vector<const PinnedMemory*>& memory,
                                           OutOfRange policy, bool copies) const;
  uint64_t Address(const std::vector<const PinnedMemory*>& memory, const void* host,
                   bool copies) const;
  Status Capture(Bucket* bucket);
  Status Launch(int64_t rows, DeviceReport* report);

  std::shared_ptr<Device> device_;
  std::vector<BagGroup> groups_;
  int64_t capacity_;
  std::vector<std::vector<size_t>> by_table_;  // groups
  std::vector<Span> spans_;
  std::map<const int64_t*, uint64_t> add_offset_;  // in adds_
  DeviceMemory adds_;
  DeviceMemory copies_;
  std::vector<Bucket> buckets_;        // ascending
  std::unique_ptr<RequestPort> port_;  // last: its end waits for all that uses the above
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_BATCH_LOOKUP_H_
