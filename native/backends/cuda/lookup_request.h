// From the bags of a batch to the arguments of one kernel launch.
#ifndef GYRFALCON_BACKENDS_CUDA_LOOKUP_REQUEST_H_
#define GYRFALCON_BACKENDS_CUDA_LOOKUP_REQUEST_H_

#include <cstdint>
#include <vector>

#include "backends/cuda/lookup_args.h"
#include "backends/lookup.h"
#include "core/status.h"

namespace gyrfalcon::cuda {

// Where the elements that a BagGroup points to are on the device; 0 for what it has not.
struct GroupAddresses {
  uint64_t table = 0;  // in device rows
  uint64_t indices = 0;
  uint64_t offsets = 0;
  uint64_t weights = 0;
  uint64_t add = 0;
  uint64_t out = 0;
  uint64_t cache = 0;  // CacheArgs; `table` is in host memory then
};

enum class OutputType : uint8_t { kF32, kF16 };

// kLimitExceeded: more than 2^32 - 2 rows of a table, or more than 2^31 - 1 ids of a bag: the
// kernel counts in 32 bits.
Result<GroupArgs> MakeGroupArgs(const BagGroup& group, const GroupAddresses& addresses,
                                OutOfRange policy, OutputType output);

// Warp numbers where each group begins, and where the last one ends, for `rows` batch rows.
// kLimitExceeded: 2^31 warps or more.
Result<std::vector<uint32_t>> DivideIntoWarps(const std::vector<GroupArgs>& groups, int64_t rows);

// Blocks of the grid for that many warps; at least 1.
uint32_t BlocksFor(uint32_t warps);

// Adds what a device's report says, but for the value at the first bad position, which is the
// caller's to read. Rows count from `row_begin`.
void AddReport(const DeviceReport& from, int64_t row_begin, int64_t rows, LookupReport* report);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_LOOKUP_REQUEST_H_
