// Prefetches of whole rows, over an instruction set policy (row_ops.h), and the rows that wait for
// theirs.
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_PREFETCH_ROWS_H_
#define GYRFALCON_BACKENDS_CPU_PREFETCH_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "backends/cpu/lookup_plan.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kLineBytes = 64;

// One prefetch for each line that the row can touch: a second for the same line is not free.
template <class Isa>
[[gnu::always_inline]] inline void PrefetchRow(const std::byte* row, int64_t lines,
                                               int64_t last_byte) {
  switch (lines) {  // one jump, always the same, for the usual rows
    default:
      for (int64_t line = 8; line < lines - 1; ++line) Isa::Prefetch(row + line * kLineBytes);
      Isa::Prefetch(row + 7 * kLineBytes);
      [[fallthrough]];
    case 8:
      Isa::Prefetch(row + 6 * kLineBytes);
      [[fallthrough]];
    case 7:
      Isa::Prefetch(row + 5 * kLineBytes);
      [[fallthrough]];
    case 6:
      Isa::Prefetch(row + 4 * kLineBytes);
      [[fallthrough]];
    case 5:
      Isa::Prefetch(row + 3 * kLineBytes);
      [[fallthrough]];
    case 4:
      Isa::Prefetch(row + 2 * kLineBytes);
      [[fallthrough]];
    case 3:
      Isa::Prefetch(row + kLineBytes);
      [[fallthrough]];
    case 2:
      Isa::Prefetch(row);
      [[fallthrough]];
    case 1:
      Isa::Prefetch(row + last_byte);
  }
}

// Rows that are prefetched while others are read, or before; see ahead.h.
struct DueRows {
  const std::byte* rows[kMaxChunk];
  int64_t size;
  int64_t lines;  // of each
  int64_t last_byte;
};

// From the first line to the last: the other way round takes Zen 5 some tenth longer.
template <class Isa, bool kNear, int kLines>
[[gnu::always_inline]] inline void PrefetchEach(const DueRows& due, int64_t from) {
  const int64_t last = due.last_byte;
  for (int64_t i = from; i < due.size; ++i) {
    const std::byte* const row = due.rows[i];
    const auto touch = [](const std::byte* at) {
      if constexpr (kNear) {
        Isa::PrefetchNear(at);
      } else {
        Isa::Prefetch(at);
      }
    };
    if constexpr (kLines > 0) {
#pragma GCC unroll 8
      for (int line = 0; line < kLines - 1; ++line) touch(row + line * kLineBytes);
    } else {
      for (int64_t line = 0; line < due.lines - 1; ++line) touch(row + line * kLineBytes);
    }
    touch(row + last);
  }
}

// The rows from the `from`th on.
template <class Isa, bool kNear>
[[gnu::noinline]] void PrefetchRows(const DueRows& due, int64_t from) {
  switch (due.lines) {
    case 1:
      return PrefetchEach<Isa, kNear, 1>(due, from);
    case 2:
      return PrefetchEach<Isa, kNear, 2>(due, from);
    case 3:
      return PrefetchEach<Isa, kNear, 3>(due, from);
    case 4:
      return PrefetchEach<Isa, kNear, 4>(due, from);
    case 5:
      return PrefetchEach<Isa, kNear, 5>(due, from);
    case 8:
      return PrefetchEach<Isa, kNear, 8>(due, from);
    default:
      return PrefetchEach<Isa, kNear, 0>(due, from);
  }
}

template <class Isa>
[[gnu::always_inline]] inline void PrefetchDue(const DueRows& due, int64_t i) {
  if (i < due.size) PrefetchRow<Isa>(due.rows[i], due.lines, due.last_byte);
}

}  // namespace
}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_PREFETCH_ROWS_H_
