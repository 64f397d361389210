// Lookups of one table on a device, of positions that lie anywhere: copied through pinned memory,
// in pieces where they are many.
#ifndef GYRFALCON_BACKENDS_CUDA_TABLE_LOOKUP_H_
#define GYRFALCON_BACKENDS_CUDA_TABLE_LOOKUP_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backends/cuda/device_table.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/request_port.h"
#include "backends/lookup.h"

namespace gyrfalcon::cuda {

class TableLookup {
 public:
  static Result<std::unique_ptr<TableLookup>> Make(const std::shared_ptr<Device>& device,
                                                   std::shared_ptr<const DeviceTable> table);

  // `bags` bags of `group`, whose table is this one: ragged, or of one id each (pooling kNone); ids
  // and weights lie back to back, and so do results. One caller at a time.
  Status Run(const BagGroup& group, int64_t bags, OutOfRange policy, LookupReport* report);

 private:
  // A piece of a request: bags [begin, end), whose ids are [first, last).
  struct Piece {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t first = 0;
    int64_t last = 0;
  };

  TableLookup(std::shared_ptr<Device> device, std::shared_ptr<const DeviceTable> table)
      : device_(std::move(device)), table_(std::move(table)) {}

  Piece NextPiece(const BagGroup& group, int64_t begin, int64_t bags) const;
  Status Reserve(size_t bytes);
  Status RunPiece(const BagGroup& group, const Piece& piece, OutOfRange policy,
                  LookupReport* report);
  Status Launch(const BagGroup& local, const Piece& piece, OutOfRange policy, DeviceReport* report);

  std::shared_ptr<Device> device_;
  std::shared_ptr<const DeviceTable> table_;
  PinnedMemory pinned_;  // positions and results of a piece
  std::unique_ptr<RequestPort> port_;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_TABLE_LOOKUP_H_
