// Ids that a model computes from an input: cast from floats, taken modulo a table's size, clamped,
// replaced, cut off at a length. They are resolved once a score, into memory of the batch, and the
// lookup kernels read them there.
//
// For number x at position i of a batch row:
//   a float is truncated toward zero; kUnusableId where that is no 64-bit integer
//   kMissingId where length_from + i >= the row's length, or x equals a padding that is compared
//   before
//   `steps` steps, in order; kMissingId and kUnusableId pass through, and sums leave them out
//   kMissingId where the result equals a padding that is compared after them
#ifndef GYRFALCON_CORE_ID_MAP_H_
#define GYRFALCON_CORE_ID_MAP_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/dtype.h"
#include "core/model_spec.h"

namespace gyrfalcon {

// Padding for the kernels. An input's own number of this value counts as unusable.
inline constexpr int64_t kMissingId = std::numeric_limits<int64_t>::min();
// Outside of every table.
inline constexpr int64_t kUnusableId = std::numeric_limits<int64_t>::max();

// Where numbers lie. Precondition: CanHoldIds(dtype).
struct NumberColumn {
  const std::byte* data = nullptr;  // of the first row's first number
  Dtype dtype = Dtype::kI32;
  int64_t row_stride = 0;  // elements
  int64_t step = 1;        // elements
};

struct IdMap {
  NumberColumn source;
  int64_t count = 0;  // numbers a row
  std::vector<IdStep> steps;
  bool has_padding = false;
  bool padding_is_mapped = false;
  int64_t padding = 0;
  bool has_length = false;
  int64_t length_from = 0;  // position of the first number among those that the length counts
  NumberColumn length;      // one a row
  int64_t* out = nullptr;   // [rows, count]
};

// The number at one place, as MapIds reads it.
int64_t ReadNumber(const NumberColumn& column, int64_t row, int64_t position);

// What MapIds makes of one number at one position, without the length and without sums.
int64_t MapId(const IdMap& map, int64_t number, int64_t position = 0);

// Reads every number once: another thread may be writing them. Allocates nothing.
void MapIds(const IdMap& map, int64_t rows);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_ID_MAP_H_
