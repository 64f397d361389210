// What is done with the rows of a table, over an instruction set policy: pooling several rows into
// accumulators that stay in registers, and writing single rows out.
//
// Included only by the lookup_<isa>.cc files. Everything here has internal linkage and calls no
// inline function of other headers: see lookup_plan.h for why.
//
// A policy `Isa` gives
//   Vec, kWidth            a vector of kWidth floats
//   kBlock                 accumulators that fit its registers
//   Tail, MakeTail(n)      a mask for the first n < kWidth elements
//   Zero, Set1, Add, Mul, MulAdd (any rounding), Fma (one rounding), Iota (0, 1, 2, …)
//   LoadF32, StoreF32 and their Tail forms, which touch no byte beyond the n-th element
//   Load<storage>(row, d), LoadTail<storage>(row, d, tail): elements d.. as floats, quantised ones
//                          before scale and bias; a full load may read the row's own scale and bias
//   kInt4Table             kWidth is 16 and PickInt4(row, d, table), PickInt4Tail(row, d, tail,
//                          table) replace each nibble by a table entry; PickInt4Parts does it for
//                          several vectors at a time, whose sums are kept apart until Interleave
//                          puts them in order
//   HalfToF32(u16), or, with kInt4Table, HalvesToF32(u32, float*, float*); kPrefetchLines,
//   Prefetch(address) into the second-level cache, PrefetchNear(address) into the first
#ifndef GYRFALCON_BACKENDS_CPU_ROW_OPS_H_
#define GYRFALCON_BACKENDS_CPU_ROW_OPS_H_

#include <cstddef>
#include <cstdint>

#include "backends/cpu/lookup_plan.h"
#include "backends/cpu/prefetch_rows.h"
#include "backends/lookup.h"

namespace gyrfalcon {
namespace {

constexpr uint64_t kNoRow = ~uint64_t{0};

// Resolved positions: where the rows lie, as byte offsets into the table.
struct Chunk {
  uint64_t
      offsets[kMaxChunk];    // kNoRow: contributes nothing (gather only; pooling leaves those out)
  float weights[kMaxChunk];  // of a group with weights; pooling of quantised rows: weight * scale
  int64_t size = 0;
};

template <typename T>
[[gnu::always_inline]] inline T LoadAs(const std::byte* at) {
  T value;
  __builtin_memcpy(&value, at, sizeof(T));
  return value;
}

// The usual ids, side by side and all in range, without a branch for each: where their rows lie, or
// false when one is out of range.
template <typename Index>
[[gnu::always_inline]] inline bool OffsetsOf(const std::byte* ids, uint64_t add, uint64_t rows,
                                             uint64_t row_bytes, int64_t size, uint64_t* offsets) {
  uint64_t outside = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto id = static_cast<int64_t>(LoadAs<Index>(ids + i * int64_t{sizeof(Index)}));
    const uint64_t row = static_cast<uint64_t>(id) + add;
    outside |= row >= rows ? 1 : 0;
    offsets[i] = row * row_bytes;
  }
  return outside == 0;
}

constexpr bool IsQuantised(Storage storage) {
  return storage == Storage::kInt8 || storage == Storage::kInt4;
}

struct ScaleBias {
  float scale;
  float bias;
};

template <class Isa, Storage kStorage>
ScaleBias LoadParams(const std::byte* params) {
  if constexpr (kStorage == Storage::kInt8) {
    return {LoadAs<float>(params), LoadAs<float>(params + 4)};
  } else if constexpr (Isa::kInt4Table) {
    ScaleBias both;
    Isa::HalvesToF32(LoadAs<uint32_t>(params), &both.scale, &both.bias);
    return both;
  } else {
    return {Isa::HalfToF32(LoadAs<uint16_t>(params)), Isa::HalfToF32(LoadAs<uint16_t>(params + 2))};
  }
}

// Turns the chunk's weights into weight * scale and returns the sum of weight * bias, which is the
// same for all elements of a bag and is added once, at the end. Four sums: one would wait for each
// addition.
template <class Isa, Storage kStorage>
float FoldParams(const std::byte* table, int64_t params_offset, bool weighted, Chunk* chunk) {
  float sums[4] = {};
  const auto fold = [&](int64_t i, float* sum) {
    const ScaleBias params = LoadParams<Isa, kStorage>(table + chunk->offsets[i] + params_offset);
    const float weight = weighted ? chunk->weights[i] : 1.0f;
    chunk->weights[i] = weight * params.scale;
    *sum += weight * params.bias;
  };
  const int64_t size = chunk->size;
  int64_t i = 0;
  for (; i + 3 < size; i += 4) {
    fold(i, &sums[0]);
    fold(i + 1, &sums[1]);
    fold(i + 2, &sums[2]);
    fold(i + 3, &sums[3]);
  }
  for (; i < size; ++i) fold(i, &sums[0]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// One block of a bag's output: up to kBlock vectors of columns.
struct PoolArgs {
  const std::byte* table;
  const Chunk* chunk;
  const DueRows* due;
  float* out;    // the bag's output row
  int64_t tail;  // elements of the last vector when it is not full
};

// What changes from chunk to chunk travels in registers. In memory, GCC writes neighbouring
// constants by two stores that share a field, and a load that needs both waits until they have left
// the pipeline, behind all rows that are still on their way: f32 rows of 512 bytes took Zen 5 a
// tenth longer.
struct PoolStep {
  bool first;  // start from zero, else from what `out` holds
  bool last;
};
using PoolFunction = void (*)(const PoolArgs& args, int64_t column, PoolStep step,
                              float bias,    // added when `last`, before `scale`
                              float scale);  // when `last`

template <class Isa, Storage kStorage, bool kCoefficient>
[[gnu::always_inline]] inline typename Isa::Vec Coefficient(const Chunk& chunk, int64_t i) {
  if constexpr (kStorage == Storage::kInt4 && Isa::kInt4Table) {
    return Isa::Mul(Isa::Iota(), Isa::Set1(chunk.weights[i]));
  } else if constexpr (kCoefficient) {
    return Isa::Set1(chunk.weights[i]);
  } else {
    return Isa::Zero();
  }
}

template <class Isa, Storage kStorage, bool kCoefficient, bool kTail>
[[gnu::always_inline]] inline typename Isa::Vec Accumulate(const std::byte* row, int64_t d,
                                                           typename Isa::Tail tail,
                                                           typename Isa::Vec coefficient,
                                                           typename Isa::Vec sum) {
  if constexpr (kStorage == Storage::kInt4 && Isa::kInt4Table) {
    if constexpr (kTail) return Isa::Add(sum, Isa::PickInt4Tail(row, d, tail, coefficient));
    return Isa::Add(sum, Isa::PickInt4(row, d, coefficient));
  } else {
    typename Isa::Vec value;
    if constexpr (kTail) {
      value = Isa::template LoadTail<kStorage>(row, d, tail);
    } else {
      value = Isa::template Load<kStorage>(row, d);
    }
    if constexpr (kCoefficient) return Isa::MulAdd(value, coefficient, sum);
    return Isa::Add(sum, value);
  }
}

// Adds kVectors vectors of row i, from `column` of the first row on, to as many accumulators.
template <class Isa, Storage kStorage, bool kCoefficient, int kVectors, bool kTail>
[[gnu::always_inline]] inline void AddRow(const std::byte* column, const Chunk& chunk, int64_t i,
                                          typename Isa::Tail tail, typename Isa::Vec* sums) {
  const std::byte* const row = column + chunk.offsets[i];
  const auto coefficient = Coefficient<Isa, kStorage, kCoefficient>(chunk, i);
#pragma GCC unroll 16
  for (int v = 0; v < kVectors - 1; ++v) {
    sums[v] = Accumulate<Isa, kStorage, kCoefficient, false>(row, v * Isa::kWidth, tail,
                                                             coefficient, sums[v]);
  }
  constexpr int kLast = kVectors - 1;
  sums[kLast] = Accumulate<Isa, kStorage, kCoefficient, kTail>(row, kLast * Isa::kWidth, tail,
                                                               coefficient, sums[kLast]);
}

// Where element `column` of the first row lies: a block of columns begins at an even one.
template <Storage kStorage>
const std::byte* ColumnOf(const std::byte* table, int64_t column) {
  if constexpr (kStorage == Storage::kF32) return table + 4 * column;
  if constexpr (kStorage == Storage::kF16 || kStorage == Storage::kBF16) return table + 2 * column;
  if constexpr (kStorage == Storage::kInt8) return table + column;
  return table + column / 2;
}

template <class Isa, Storage kStorage, bool kCoefficient, int kVectors, bool kTail>
void PoolBlock(const PoolArgs& args, int64_t column, PoolStep step, float bias, float scale) {
  using Vec = typename Isa::Vec;
  constexpr int kLast = kVectors - 1;
  constexpr bool kTwoRows = kVectors <= 2;  // too few accumulators to hide the latency of an add
  const typename Isa::Tail tail = Isa::MakeTail(args.tail);
  float* const out = args.out + column;
  Vec sums[kVectors];
  Vec odd[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    odd[v] = Isa::Zero();
    if (step.first) {
      sums[v] = Isa::Zero();
    } else if (kTail && v == kLast) {
      sums[v] = Isa::LoadF32Tail(out + v * Isa::kWidth, tail);
    } else {
      sums[v] = Isa::LoadF32(out + v * Isa::kWidth);
    }
  }
  const Chunk& chunk = *args.chunk;
  const DueRows& due = *args.due;
  const std::byte* const rows = ColumnOf<kStorage>(args.table, column);
  const int64_t size = chunk.size;
  int64_t i = 0;
  if constexpr (kTwoRows) {
    for (; i + 1 < size; i += 2) {
      PrefetchDue<Isa>(due, i);
      PrefetchDue<Isa>(due, i + 1);
      AddRow<Isa, kStorage, kCoefficient, kVectors, kTail>(rows, chunk, i, tail, sums);
      AddRow<Isa, kStorage, kCoefficient, kVectors, kTail>(rows, chunk, i + 1, tail, odd);
    }
  }
  for (; i < size; ++i) {
    PrefetchDue<Isa>(due, i);
    AddRow<Isa, kStorage, kCoefficient, kVectors, kTail>(rows, chunk, i, tail, sums);
  }
  if constexpr (kTwoRows) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[v] = Isa::Add(sums[v], odd[v]);
  }
  if (step.last) {
    const Vec shift = Isa::Set1(bias);
    const Vec factor = Isa::Set1(scale);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (IsQuantised(kStorage)) sums[v] = Isa::Add(sums[v], shift);
      sums[v] = Isa::Mul(sums[v], factor);
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    if (kTail && v == kLast) {
      Isa::StoreF32Tail(out + v * Isa::kWidth, tail, sums[v]);
    } else {
      Isa::StoreF32(out + v * Isa::kWidth, sums[v]);
    }
  }
}

// Rows that are written out, not summed.
struct GatherArgs {
  const std::byte* table;
  const Chunk* chunk;
  const DueRows* due;
  int64_t dim;
  int64_t params_offset;
  float* out;
  int64_t out_stride;  // floats between two output rows
};

// The loop over the columns of one output row: `full(d)` and `tail(d)` give the values.
template <class Isa, typename Full, typename Partial>
[[gnu::always_inline]] inline void WriteRow(int64_t dim, float* out, Full full, Partial partial) {
  const int64_t rest = dim % Isa::kWidth;
  const int64_t end = dim - rest;
  int64_t d = 0;
  for (; d < end; d += Isa::kWidth) Isa::StoreF32(out + d, full(d));
  if (rest != 0) {
    const typename Isa::Tail tail = Isa::MakeTail(rest);
    Isa::StoreF32Tail(out + d, tail, partial(d, tail));
  }
}

template <class Isa, Storage kStorage, bool kWeighted>
[[gnu::always_inline]] inline void GatherRow(const std::byte* row, int64_t dim,
                                             int64_t params_offset, float weight, float* out) {
  using Vec = typename Isa::Vec;
  using Tail = typename Isa::Tail;
  const Vec factor = Isa::Set1(weight);
  const auto weigh = [&](Vec value) {
    if constexpr (kWeighted) return Isa::Mul(value, factor);
    return value;
  };
  if constexpr (!IsQuantised(kStorage)) {
    WriteRow<Isa>(
        dim, out, [&](int64_t d) { return weigh(Isa::template Load<kStorage>(row, d)); },
        [&](int64_t d, Tail tail) {
          return weigh(Isa::template LoadTail<kStorage>(row, d, tail));
        });
  } else {
    const ScaleBias params = LoadParams<Isa, kStorage>(row + params_offset);
    const Vec scale = Isa::Set1(params.scale);
    const Vec bias = Isa::Set1(params.bias);
    if constexpr (kStorage == Storage::kInt4 && Isa::kInt4Table) {
      const Vec levels = weigh(Isa::Fma(Isa::Iota(), scale, bias));
      WriteRow<Isa>(
          dim, out, [&](int64_t d) { return Isa::PickInt4(row, d, levels); },
          [&](int64_t d, Tail tail) { return Isa::PickInt4Tail(row, d, tail, levels); });
    } else {
      WriteRow<Isa>(
          dim, out,
          [&](int64_t d) {
            return weigh(Isa::Fma(Isa::template Load<kStorage>(row, d), scale, bias));
          },
          [&](int64_t d, Tail tail) {
            return weigh(Isa::Fma(Isa::template LoadTail<kStorage>(row, d, tail), scale, bias));
          });
    }
  }
}

template <class Isa>
void ZeroRow(float* out, int64_t dim) {
  WriteRow<Isa>(
      dim, out, [](int64_t) { return Isa::Zero(); },
      [](int64_t, typename Isa::Tail) { return Isa::Zero(); });
}

template <class Isa, Storage kStorage, bool kWeighted>
void GatherRows(const GatherArgs& args) {
  const Chunk& chunk = *args.chunk;
  for (int64_t i = 0; i < chunk.size; ++i) {
    PrefetchDue<Isa>(*args.due, i);
    float* const out = args.out + i * args.out_stride;
    if (chunk.offsets[i] == kNoRow) [[unlikely]] {
      ZeroRow<Isa>(out, args.dim);
      continue;
    }
    GatherRow<Isa, kStorage, kWeighted>(args.table + chunk.offsets[i], args.dim, args.params_offset,
                                        kWeighted ? chunk.weights[i] : 1.0f, out);
  }
}

}  // namespace
}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_ROW_OPS_H_
