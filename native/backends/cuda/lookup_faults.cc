#include "backends/cuda/lookup_faults.h"

#include <cstdint>

#include "backends/cuda/lookup_args.h"

namespace gyrfalcon::cuda {
namespace {

int64_t IntegerAt(const void* values, bool are_64, int64_t at) {
  return are_64 ? static_cast<const volatile int64_t*>(values)[at]
                : static_cast<const volatile int32_t*>(values)[at];
}

}  // namespace

void FindBadId(const BagGroup& group, LookupReport* report) {
  const bool ragged = group.offsets != nullptr;
  const int64_t begin = ragged ? IntegerAt(group.offsets, group.offsets_are_64, report->row)
                               : report->row * group.index_row_stride;
  const int64_t length =
      ragged ? IntegerAt(group.offsets, group.offsets_are_64, report->row + 1) - begin
             : group.count;
  const auto read = [&](int64_t position) {
    return IntegerAt(group.indices, group.indices_are_64,
                     begin + position * (ragged ? 1 : group.index_step));
  };
  report->value = read(report->position);
  constexpr int64_t kLast = (int64_t{1} << kPositionBits) - 1;
  if (report->position < kLast) return;
  for (int64_t i = kLast; i < length; ++i) {
    const int64_t id = read(i);
    if (group.has_padding && id == group.padding) continue;
    const int64_t add = group.add_count == 0 ? 0 : group.add[group.add_count == 1 ? 0 : i];
    // Unsigned: sums of ids that mean nothing may not fit.
    const uint64_t row = static_cast<uint64_t>(id) + static_cast<uint64_t>(add);
    if (row < static_cast<uint64_t>(group.table.rows)) continue;
    report->position = i;
    report->value = id;
    return;
  }
}

}  // namespace gyrfalcon::cuda
