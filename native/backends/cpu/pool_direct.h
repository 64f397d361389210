// Pooling straight from ids, for the bags that most requests consist of: unweighted, without
// padding, of rows of whole vectors that fit the registers. A row takes a few instructions besides
// its loads: less than half of what the walk's chunks take (walk.h), and while rows come from
// memory every instruction between two prefetches counts. Zen 5, f32 rows of 256 and 512 bytes
// near, against a loop that checks nothing and prefetches sixteen rows ahead, times as fast: 0.75
// and 0.97 by chunks, 0.95 and 1.05 so; under Zipf 1.05 0.72 and 0.83, 0.89 and 0.94.
//
// Sums are those of PoolBlock to the bit, in the same order: which of the two pools a bag depends
// on what has been prefetched.
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_POOL_DIRECT_H_
#define GYRFALCON_BACKENDS_CPU_POOL_DIRECT_H_

#include "backends/cpu/row_ops.h"

namespace gyrfalcon {
namespace {

struct DirectArgs {
  const std::byte* table;
  const std::byte* ids;    // the bag's
  const std::byte* ahead;  // as many, whose rows are prefetched meanwhile; unused by kNothing
  int64_t add;             // to every id
  uint64_t rows;           // of the table
  int64_t size;            // ids of the bag, at least one
  int64_t chunk;           // GroupPlan's
  float* out;
};

// What a direct pool prefetches besides its rows, one row with each that it reads.
enum class Besides {
  kNothing,  // its rows have been prefetched in a burst
  kFar,      // into the second-level cache
  kNear,     // into the first
};

// False: an id is out of range; nothing is written.
using DirectFunction = bool (*)(const DirectArgs& args, float scale);

constexpr int64_t DirectRowBytes(Storage storage, int64_t dim) {
  switch (storage) {
    case Storage::kF16:
    case Storage::kBF16:
      return 2 * dim;
    case Storage::kInt8:
      return dim + 8;
    case Storage::kInt4:
      return dim / 2 + 4;
    case Storage::kF32:
      break;
  }
  return 4 * dim;
}

constexpr int64_t DirectLines(int64_t bytes) {
  const int64_t step = bytes & -bytes;
  return (bytes + 2 * kLineBytes - 1 - (step < kLineBytes ? step : kLineBytes)) / kLineBytes;
}

template <class Isa, Storage kStorage, typename Index, Besides kBesides, int kVectors>
class DirectPool {
  using Vec = typename Isa::Vec;
  static constexpr int64_t kDim = int64_t{kVectors} * Isa::kWidth;
  static constexpr int64_t kBytes = DirectRowBytes(kStorage, kDim);
  static constexpr int64_t kLines = DirectLines(kBytes);
  static constexpr int64_t kParams = kStorage == Storage::kInt4 ? kDim / 2 : kDim;
  static constexpr bool kQuantised = IsQuantised(kStorage);
  static constexpr bool kTwoRows = kVectors <= 2;  // as in PoolBlock
  // Elements that are kParts apart are summed side by side until the bag ends.
  static constexpr bool kPicks = kStorage == Storage::kInt4 && Isa::kInt4Table;
  static constexpr int kParts = !kPicks ? 1 : kVectors & -kVectors;

 public:
  static bool Run(const DirectArgs& args, float scale) {
    Vec sums[kVectors];
    Vec odd[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[v] = odd[v] = Isa::Zero();
    float bias = 0.0f;
    for (int64_t begin = 0; begin < args.size; begin += args.chunk) {
      const int64_t left = args.size - begin;
      const int64_t end = begin + (left < args.chunk ? left : args.chunk);
      float biases[4] = {};
      int64_t i = begin;
      Vec* const second = kTwoRows ? odd : sums;
      if constexpr (kQuantised) {
        for (; i + 3 < end; i += 4) {
          if (!Add(args, i, sums, &biases[0]) || !Add(args, i + 1, second, &biases[1]) ||
              !Add(args, i + 2, sums, &biases[2]) || !Add(args, i + 3, second, &biases[3])) {
            return false;
          }
        }
      }
      if constexpr (kTwoRows) {
        for (; i + 1 < end; i += 2) {
          if (!Add(args, i, sums, &biases[0]) || !Add(args, i + 1, odd, &biases[0])) return false;
        }
      }
      for (; i < end; ++i) {
        if (!Add(args, i, sums, &biases[0])) return false;
      }
      if constexpr (kQuantised) bias += (biases[0] + biases[1]) + (biases[2] + biases[3]);
      if constexpr (kTwoRows) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          sums[v] = Isa::Add(sums[v], odd[v]);
          odd[v] = Isa::Zero();
        }
      }
    }
    if constexpr (kParts > 1) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v += kParts) Order<kParts, 1>(sums + v);
    }
    const Vec shift = Isa::Set1(bias);
    const Vec factor = Isa::Set1(scale);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kQuantised) sums[v] = Isa::Add(sums[v], shift);
      Isa::StoreF32(args.out + v * Isa::kWidth, Isa::Mul(sums[v], factor));
    }
    return true;
  }

 private:
  // kSequences of kLength vectors each, one after another; element m of the j-th is number
  // kSequences * m + j of all. Puts all in order, two sequences at a time.
  template <int kSequences, int kLength>
  [[gnu::always_inline]] static void Order(Vec* all) {
    constexpr int kHalf = kSequences / 2;
    Vec merged[kSequences * kLength];
#pragma GCC unroll 16
    for (int at = 0; at < kHalf * kLength; ++at) {
      merged[2 * at] = all[at];
      merged[2 * at + 1] = all[at + kHalf * kLength];
      Isa::Interleave(&merged[2 * at], &merged[2 * at + 1]);
    }
#pragma GCC unroll 16
    for (int v = 0; v < kSequences * kLength; ++v) all[v] = merged[v];
    if constexpr (kHalf > 1) Order<kHalf, 2 * kLength>(all);
  }

  static uint64_t RowOf(const std::byte* ids, int64_t i, int64_t add) {
    const auto id = static_cast<int64_t>(LoadAs<Index>(ids + i * int64_t{sizeof(Index)}));
    return static_cast<uint64_t>(id) + static_cast<uint64_t>(add);
  }

  static void Touch(const std::byte* at) {
    if constexpr (kBesides == Besides::kNear) {
      Isa::PrefetchNear(at);
    } else {
      Isa::Prefetch(at);
    }
  }

  [[gnu::always_inline]] static bool Add(const DirectArgs& args, int64_t i, Vec* sums,
                                         float* bias) {
    if constexpr (kBesides != Besides::kNothing) {
      const uint64_t ahead = RowOf(args.ahead, i, args.add);
      if (ahead < args.rows) [[likely]] {
        const std::byte* const next = args.table + ahead * kBytes;
#pragma GCC unroll 16
        for (int64_t line = 0; line < kLines - 1; ++line) Touch(next + line * kLineBytes);
        Touch(next + kBytes - 1);
      }
    }
    const uint64_t at = RowOf(args.ids, i, args.add);
    if (at >= args.rows) [[unlikely]]
      return false;
    const std::byte* const row = args.table + at * kBytes;
    const typename Isa::Tail no_tail = Isa::MakeTail(0);
    Vec coefficient = Isa::Zero();
    if constexpr (kQuantised) {
      const ScaleBias params = LoadParams<Isa, kStorage>(row + kParams);
      *bias += params.bias;
      coefficient = Isa::Set1(params.scale);
      if constexpr (kStorage == Storage::kInt4 && Isa::kInt4Table) {
        coefficient = Isa::Mul(Isa::Iota(), coefficient);
      }
    }
    if constexpr (kParts > 1) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; v += kParts) {
        Vec parts[kParts];
        Isa::template PickInt4Parts<kParts>(row, int64_t{v} * Isa::kWidth, coefficient, parts);
#pragma GCC unroll 16
        for (int p = 0; p < kParts; ++p) sums[v + p] = Isa::Add(sums[v + p], parts[p]);
      }
      return true;
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = Accumulate<Isa, kStorage, kQuantised, false>(row, int64_t{v} * Isa::kWidth, no_tail,
                                                             coefficient, sums[v]);
    }
    return true;
  }
};

template <class Isa, Storage kStorage, typename Index, Besides kBesides, int kVectors = 1>
DirectFunction ChooseDirect(int64_t vectors) {
  if constexpr (kVectors < Isa::kBlock) {
    if (vectors > kVectors) {
      return ChooseDirect<Isa, kStorage, Index, kBesides, kVectors + 1>(vectors);
    }
  }
  return DirectPool<Isa, kStorage, Index, kBesides, kVectors>::Run;
}

}  // namespace
}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_POOL_DIRECT_H_
