// The specification in backends/lookup.h as plain loops: what every other backend is compared with.
#include <cmath>
#include <cstring>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/lookup_plan.h"
#include "backends/row_format.h"

namespace gyrfalcon {
namespace {

int64_t IntegerAt(const void* values, bool are_64, int64_t position) {
  if (are_64) return static_cast<const int64_t*>(values)[position];
  return static_cast<const int32_t*>(values)[position];
}

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// v_i[d]: one element of a table.
float Element(const TableView& table, uint64_t row, int64_t d) {
  const std::byte* const bytes = table.data + row * RowBytes(table.storage, table.dim);
  switch (table.storage) {
    case Storage::kF32:
      return Load<float>(bytes + 4 * d);
    case Storage::kF16:
      return HalfToFloat(Load<uint16_t>(bytes + 2 * d));
    case Storage::kBF16:
      return BFloat16ToFloat(Load<uint16_t>(bytes + 2 * d));
    case Storage::kInt8: {
      const auto q = static_cast<float>(std::to_integer<int>(bytes[d]));
      return std::fma(q, Load<float>(bytes + table.dim), Load<float>(bytes + table.dim + 4));
    }
    case Storage::kInt4: {
      const int64_t packed = (table.dim + 1) / 2;
      const int pair = std::to_integer<int>(bytes[d / 2]);
      const auto q = static_cast<float>(d % 2 == 0 ? pair % 16 : pair / 16);
      return std::fma(q, HalfToFloat(Load<uint16_t>(bytes + packed)),
                      HalfToFloat(Load<uint16_t>(bytes + packed + 2)));
    }
  }
  return 0.0f;
}

struct Position {
  int64_t id = 0;
  uint64_t row = 0;  // of the table
  float weight = 1.0f;
  bool padding = false;
  bool in_range = false;
};

Position ReadPosition(const BagGroup& group, int64_t row, int64_t i) {
  Position position;
  const int64_t begin = group.offsets != nullptr
                            ? IntegerAt(group.offsets, group.offsets_are_64, row)
                            : row * group.index_row_stride;
  const int64_t step = group.offsets != nullptr ? 1 : group.index_step;
  position.id = IntegerAt(group.indices, group.indices_are_64, begin + i * step);
  if (group.weights != nullptr) {
    position.weight = group.offsets != nullptr
                          ? group.weights[begin + i]
                          : group.weights[row * group.weight_row_stride + i * group.weight_step];
  }
  position.padding = group.has_padding && position.id == group.padding;
  int64_t add = 0;
  if (group.add != nullptr && group.add_count > 0) add = group.add[group.add_count == 1 ? 0 : i];
  // The sum is taken modulo 2^64 and compared without a sign: a negative row index is a huge one.
  position.row = static_cast<uint64_t>(position.id) + static_cast<uint64_t>(add);
  position.in_range = position.row < static_cast<uint64_t>(group.table.rows);
  return position;
}

// False when a position is out of range under kError.
bool ReferenceBag(const LookupRequest& request, size_t g, int64_t row, LookupReport* report) {
  const BagGroup& group = request.groups[g];
  const int64_t dim = group.table.dim;
  const bool pooled = group.pooling != Pooling::kNone;
  float* const y = group.out + row * group.out_row_stride;
  int64_t length = group.count;
  if (group.offsets != nullptr) {
    length = IntegerAt(group.offsets, group.offsets_are_64, row + 1) -
             IntegerAt(group.offsets, group.offsets_are_64, row);
  }
  for (int64_t d = 0; d < (pooled ? dim : length * dim); ++d) y[d] = 0.0f;

  int64_t counted = 0;
  for (int64_t i = 0; i < length; ++i) {
    const Position position = ReadPosition(group, row, i);
    if (position.padding) continue;
    ++counted;
    if (!position.in_range) {
      if (request.policy == OutOfRange::kError) {
        report->failed = true;
        report->group = g;
        report->row = row;
        report->position = i;
        report->value = position.id;
        return false;
      }
      ++report->zeroed;
      continue;
    }
    for (int64_t d = 0; d < dim; ++d) {
      const float value = Element(group.table, position.row, d);
      const float weighted = group.weights != nullptr ? position.weight * value : value;
      if (pooled) {
        y[d] += weighted;
      } else {
        y[i * dim + d] = weighted;
      }
    }
  }
  if (group.pooling == Pooling::kMean && counted > 0) {
    for (int64_t d = 0; d < dim; ++d) y[d] /= static_cast<float>(counted);
  }
  return true;
}

}  // namespace

void RunLookupReference(const LookupRequest& request, LookupReport* report) {
  for (size_t g = 0; g < request.num_groups; ++g) {
    const RowRange rows = GroupRows(request, g);
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      if (!ReferenceBag(request, g, row, report)) return;
    }
  }
}

}  // namespace gyrfalcon
