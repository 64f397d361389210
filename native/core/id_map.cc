#include "core/id_map.h"

#include <algorithm>
#include <type_traits>

namespace gyrfalcon {
namespace {

template <typename T>
int64_t ToNumber(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    // Both bounds are exact in either float type; a NaN fails both comparisons.
    constexpr T kLimit = static_cast<T>(9223372036854775808.0);
    if (!(value > -kLimit && value < kLimit)) return kUnusableId;
    return static_cast<int64_t>(value);
  } else {
    const auto number = static_cast<int64_t>(value);
    return number == kMissingId ? kUnusableId : number;
  }
}

// Calls `use` with a pointer of the column's element type.
template <typename Use>
void WithType(const NumberColumn& column, const Use& use) {
  const void* const data = column.data;
  switch (column.dtype) {
    case Dtype::kI8:
      return use(static_cast<const int8_t*>(data));
    case Dtype::kU8:
    case Dtype::kBool:
      return use(static_cast<const uint8_t*>(data));
    case Dtype::kI16:
      return use(static_cast<const int16_t*>(data));
    case Dtype::kU16:
      return use(static_cast<const uint16_t*>(data));
    case Dtype::kI32:
      return use(static_cast<const int32_t*>(data));
    case Dtype::kI64:
      return use(static_cast<const int64_t*>(data));
    case Dtype::kF32:
      return use(static_cast<const float*>(data));
    case Dtype::kF64:
      return use(static_cast<const double*>(data));
    default:
      return;
  }
}

template <typename T>
int64_t Load(const T* at) {
  // Volatile: the compiler must not read it twice.
  return ToNumber(*static_cast<const volatile T*>(at));
}

int64_t Wrap(uint64_t bits) { return static_cast<int64_t>(bits); }

int64_t Modulo(int64_t x, int64_t by) {
  const int64_t rest = x % by;
  return rest < 0 ? rest + by : rest;
}

bool Holds(IdStep::Test test, int64_t x, int64_t y) {
  switch (test) {
    case IdStep::Test::kEq:
      return x == y;
    case IdStep::Test::kNe:
      return x != y;
    case IdStep::Test::kLt:
      return x < y;
    case IdStep::Test::kLe:
      return x <= y;
    case IdStep::Test::kGt:
      return x > y;
    case IdStep::Test::kGe:
      return x >= y;
  }
  return false;
}

bool IsMarked(int64_t id) { return id == kMissingId || id == kUnusableId; }

// A result that happens to be kMissingId is not padding.
int64_t Result(int64_t id) { return id == kMissingId ? kUnusableId : id; }

template <typename Change>
void ForEach(int64_t* ids, int64_t n, const Change& change) {
  for (int64_t i = 0; i < n; ++i) {
    if (!IsMarked(ids[i])) ids[i] = Result(change(ids[i]));
  }
}

int64_t WrapAdd(int64_t x, int64_t y) {
  return Wrap(static_cast<uint64_t>(x) + static_cast<uint64_t>(y));
}

// A step with a place, at positions `first`, `first` + 1, ...
void ApplyPlaced(const IdStep& step, int64_t first, int64_t* ids, int64_t n) {
  const bool adds = step.op == IdStep::Op::kAdd;
  for (int64_t i = 0; i < n; ++i) {
    if (IsMarked(ids[i])) continue;
    const auto position = static_cast<uint64_t>(first + i);
    const int64_t placed =
        WrapAdd(adds ? step.a : step.b, Wrap(static_cast<uint64_t>(step.place) * position));
    const int64_t x = ids[i];
    if (adds) {
      ids[i] = Result(WrapAdd(x, placed));
    } else if (Holds(step.test, x, step.a)) {
      ids[i] = Result(placed);
    }
  }
}

// The choice of the step is made once for all ids.
void Apply(const IdStep& step, int64_t* ids, int64_t n) {
  const int64_t a = step.a;
  const int64_t b = step.b;
  switch (step.op) {
    case IdStep::Op::kSum:
      return;
    case IdStep::Op::kAdd:
      return ForEach(ids, n, [a](int64_t x) { return WrapAdd(x, a); });
    case IdStep::Op::kMul:
      return ForEach(ids, n, [a](int64_t x) {
        return Wrap(static_cast<uint64_t>(x) * static_cast<uint64_t>(a));
      });
    case IdStep::Op::kMod:
      return ForEach(ids, n, [a](int64_t x) { return Modulo(x, a); });
    case IdStep::Op::kRem:
      return ForEach(ids, n, [a](int64_t x) { return x % a; });
    case IdStep::Op::kDiv:
      return ForEach(ids, n, [a](int64_t x) { return x / a; });
    case IdStep::Op::kFloorDiv:
      return ForEach(ids, n, [a](int64_t x) { return x / a - (x % a < 0 ? 1 : 0); });
    case IdStep::Op::kAbs:
      return ForEach(ids, n, [](int64_t x) { return x < 0 ? -x : x; });
    case IdStep::Op::kClamp:
      return ForEach(ids, n, [a, b](int64_t x) { return std::min(std::max(x, a), b); });
    case IdStep::Op::kReplace:
      return ForEach(ids, n,
                     [a, b, test = step.test](int64_t x) { return Holds(test, x, a) ? b : x; });
  }
}

// A step that is no sum, at positions `first`, `first` + 1, ...
void ApplyAt(const IdStep& step, int64_t first, int64_t* ids, int64_t n) {
  if (step.place == 0) return Apply(step, ids, n);
  ApplyPlaced(step, first, ids, n);
}

void Blank(int64_t padding, int64_t* ids, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] == padding) ids[i] = kMissingId;
  }
}

void CutAtLengths(const IdMap& map, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t length = ReadNumber(map.length, r, 0);
    // A length that is no number leaves nothing out: such ids fail as they would without one.
    const int64_t kept =
        std::clamp(length, map.length_from, map.length_from + map.count) - map.length_from;
    std::fill(map.out + r * map.count + kept, map.out + (r + 1) * map.count, kMissingId);
  }
}

// The sum of what the steps before step `at` make of the numbers before the bag's first.
int64_t SumBefore(const IdMap& map, size_t at, int64_t row) {
  const IdStep& step = map.steps[at];
  NumberColumn column = map.source;
  column.step = step.b;
  int64_t sum = 0;
  for (int64_t position = -step.a; position < 0; ++position) {
    int64_t number = ReadNumber(column, row, position);
    if (map.has_padding && !map.padding_is_mapped) Blank(map.padding, &number, 1);
    for (size_t i = 0; i < at; ++i) ApplyAt(map.steps[i], position, &number, 1);
    if (!IsMarked(number)) sum = WrapAdd(sum, number);
  }
  return sum;
}

// Step `at`, a sum.
void AddUp(const IdMap& map, size_t at, int64_t rows) {
  const bool keeps_zeros = map.steps[at].keeps_zeros;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t sum = SumBefore(map, at, r);
    int64_t* const ids = map.out + r * map.count;
    for (int64_t i = 0; i < map.count; ++i) {
      if (IsMarked(ids[i])) continue;
      sum = WrapAdd(sum, ids[i]);
      if (ids[i] != 0 || !keeps_zeros) ids[i] = Result(sum);
    }
  }
}

}  // namespace

int64_t ReadNumber(const NumberColumn& column, int64_t row, int64_t position) {
  int64_t number = kUnusableId;
  WithType(column, [&](const auto* data) {
    number = Load(data + row * column.row_stride + position * column.step);
  });
  return number;
}

int64_t MapId(const IdMap& map, int64_t number, int64_t position) {
  if (map.has_padding && !map.padding_is_mapped) Blank(map.padding, &number, 1);
  for (const IdStep& step : map.steps) ApplyAt(step, position, &number, 1);
  if (map.has_padding && map.padding_is_mapped) Blank(map.padding, &number, 1);
  return number;
}

void MapIds(const IdMap& map, int64_t rows) {
  const int64_t n = rows * map.count;
  WithType(map.source, [&](const auto* data) {
    int64_t* out = map.out;
    for (int64_t r = 0; r < rows; ++r) {
      const auto* at = data + r * map.source.row_stride;
      for (int64_t i = 0; i < map.count; ++i, at += map.source.step) *out++ = Load(at);
    }
  });
  if (map.has_padding && !map.padding_is_mapped) Blank(map.padding, map.out, n);
  if (map.has_length) CutAtLengths(map, rows);
  for (size_t i = 0; i < map.steps.size(); ++i) {
    const IdStep& step = map.steps[i];
    if (step.op == IdStep::Op::kSum) {
      AddUp(map, i, rows);
    } else if (step.place == 0) {
      Apply(step, map.out, n);
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        ApplyPlaced(step, 0, map.out + r * map.count, map.count);
      }
    }
  }
  if (map.has_padding && map.padding_is_mapped) Blank(map.padding, map.out, n);
}

}  // namespace gyrfalcon
