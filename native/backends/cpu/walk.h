// The walk over a request that all vector backends share: one pass over (group, row, position) with
// a second cursor that runs ahead of it, across bags and groups, and prefetches rows.
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_WALK_H_
#define GYRFALCON_BACKENDS_CPU_WALK_H_

#include "backends/cpu/ahead.h"
#include "backends/cpu/lookup_plan.h"
#include "backends/cpu/pool_direct.h"
#include "backends/cpu/row_ops.h"

namespace gyrfalcon {
namespace {

// Positions one after another: those of a bag, or, where all bags hold one id, those of all rows.
struct Positions {
  const std::byte* ids;
  int64_t id_step;  // bytes
  const int64_t* add;
  int64_t add_step;
  const float* weights;  // or null
  int64_t weight_step;
};

struct Resolved {
  int64_t counted = 0;
  int64_t zeroed = 0;
  int64_t bad = -1;  // the first position out of range under kError, and its id
  int64_t bad_id = 0;
};

// Loads and checks ids [begin, begin + size) and writes where their rows lie. kCompact: positions
// that contribute nothing are left out; else they become kNoRow.
template <typename Index, bool kCompact>
Resolved Resolve(const BagGroup& group, uint64_t row_bytes, OutOfRange policy,
                 const Positions& positions, int64_t begin, int64_t size, Chunk* chunk) {
  Resolved resolved;
  const auto rows = static_cast<uint64_t>(group.table.rows);
  const std::byte* const ids = positions.ids + begin * positions.id_step;
  const int64_t* const add = positions.add + begin * positions.add_step;
  const float* const weights = positions.weights;
  if (weights == nullptr && !group.has_padding && positions.add_step == 0 &&
      positions.id_step == int64_t{sizeof(Index)} &&
      OffsetsOf<Index>(ids, static_cast<uint64_t>(*add), rows, row_bytes, size, chunk->offsets)) {
    resolved.counted = chunk->size = size;
    return resolved;
  }
  int64_t kept = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto id = static_cast<int64_t>(LoadAs<Index>(ids + i * positions.id_step));
    const uint64_t row =
        static_cast<uint64_t>(id) + static_cast<uint64_t>(add[i * positions.add_step]);
    const bool padding = group.has_padding && id == group.padding;
    const bool in_range = row < rows;
    if (weights != nullptr) chunk->weights[kept] = weights[(begin + i) * positions.weight_step];
    if (in_range && !padding) [[likely]] {
      chunk->offsets[kept++] = row * row_bytes;
      ++resolved.counted;
      continue;
    }
    if (!padding) {
      if (policy == OutOfRange::kError) {
        resolved.bad = begin + i;
        resolved.bad_id = id;
        return resolved;
      }
      ++resolved.zeroed;
      ++resolved.counted;
    }
    if constexpr (!kCompact) chunk->offsets[kept++] = kNoRow;
  }
  chunk->size = kept;
  return resolved;
}

// What to do with the rows of one group; chosen once per group.
struct PoolOps {
  PoolFunction full;                                       // kBlock full vectors
  PoolFunction last;                                       // the rest, 1 to kBlock vectors
  float (*fold)(const std::byte*, int64_t, bool, Chunk*);  // or null
};

template <class Isa, Storage kStorage, bool kCoefficient, bool kTail, int kVectors = 1>
PoolFunction ChoosePool(int64_t vectors) {
  if constexpr (kVectors < Isa::kBlock) {
    if (vectors > kVectors) {
      return ChoosePool<Isa, kStorage, kCoefficient, kTail, kVectors + 1>(vectors);
    }
  }
  return PoolBlock<Isa, kStorage, kCoefficient, kVectors, kTail>;
}

template <class Isa, Storage kStorage, bool kCoefficient>
PoolOps PoolOpsOf(int64_t last_vectors, bool tail) {
  PoolOps ops;
  ops.full = PoolBlock<Isa, kStorage, kCoefficient, Isa::kBlock, false>;
  ops.last = tail ? ChoosePool<Isa, kStorage, kCoefficient, true>(last_vectors)
                  : ChoosePool<Isa, kStorage, kCoefficient, false>(last_vectors);
  ops.fold = nullptr;
  if constexpr (IsQuantised(kStorage)) ops.fold = FoldParams<Isa, kStorage>;
  return ops;
}

// Calls `use` with the storage as a template argument.
template <typename Use>
auto WithStorage(Storage storage, Use use) {
  switch (storage) {
    case Storage::kF16:
      return use.template operator()<Storage::kF16>();
    case Storage::kBF16:
      return use.template operator()<Storage::kBF16>();
    case Storage::kInt8:
      return use.template operator()<Storage::kInt8>();
    case Storage::kInt4:
      return use.template operator()<Storage::kInt4>();
    case Storage::kF32:
      break;
  }
  return use.template operator()<Storage::kF32>();
}

template <class Isa>
PoolOps ChoosePoolOps(const BagGroup& group, int64_t last_vectors) {
  const bool tail = group.table.dim % Isa::kWidth != 0;
  return WithStorage(group.table.storage, [&]<Storage kStorage>() {
    if constexpr (!IsQuantised(kStorage)) {
      if (group.weights == nullptr) return PoolOpsOf<Isa, kStorage, false>(last_vectors, tail);
    }
    return PoolOpsOf<Isa, kStorage, true>(last_vectors, tail);
  });
}

template <class Isa>
auto ChooseGather(const BagGroup& group) -> void (*)(const GatherArgs&) {
  return WithStorage(group.table.storage, [&]<Storage kStorage>() {
    return group.weights != nullptr ? GatherRows<Isa, kStorage, true>
                                    : GatherRows<Isa, kStorage, false>;
  });
}

// Null where bags of the group are not pooled straight from ids.
template <class Isa, typename Index>
DirectFunction DirectOf(const BagGroup& group, const GroupPlan& plan, PrefetchOrder order) {
  const int64_t dim = group.table.dim;
  const bool usual = group.weights == nullptr && !group.has_padding && plan.stream.add_step == 0 &&
                     plan.stream.step == int64_t{sizeof(Index)};
  if (!usual || dim % Isa::kWidth != 0 || dim > int64_t{Isa::kBlock} * Isa::kWidth) return nullptr;
  return WithStorage(group.table.storage, [&]<Storage kStorage>() -> DirectFunction {
    if (DirectRowBytes(kStorage, dim) != static_cast<int64_t>(plan.row_bytes)) return nullptr;
    const int64_t vectors = dim / Isa::kWidth;
    switch (order) {
      case PrefetchOrder::kSteady:
        return ChooseDirect<Isa, kStorage, Index, Besides::kFar>(vectors);
      case PrefetchOrder::kNear:
        return ChooseDirect<Isa, kStorage, Index, Besides::kNear>(vectors);
      case PrefetchOrder::kMixed:  // never a group's
      case PrefetchOrder::kBursts:
        break;
    }
    return ChooseDirect<Isa, kStorage, Index, Besides::kNothing>(vectors);
  });
}

// The walk over one group. Index: int32_t or int64_t.
template <class Isa, typename Index>
class GroupWalk {
 public:
  GroupWalk(const LookupRequest& request, size_t group, Ahead<Isa>* ahead, LookupReport* report)
      : request_(request),
        group_(request.groups[group]),
        group_number_(group),
        range_(GroupRows(request, group)),
        plan_(PlanGroup(group_, range_)),
        ahead_(ahead),
        report_(report),
        order_(ahead->OrderIn(group_, plan_)),
        gather_(ChooseGather<Isa>(group_)) {}

  // False when a position is out of range under kError.
  bool Run() {
    const int64_t begin = range_.begin;
    const int64_t rows = range_.end - begin;
    if (rows <= 0) return true;
    if (group_.offsets == nullptr && group_.count == 1) {
      const Positions positions =
          PositionsAt(begin * group_.index_row_stride, group_.index_row_stride,
                      begin * group_.weight_row_stride, group_.weight_row_stride);
      const int64_t bad = Gather(positions, rows, OutputRow(begin), group_.out_row_stride);
      return bad < 0 || Fail(begin + bad, 0);
    }
    if (group_.pooling != Pooling::kNone) PreparePool();
    for (int64_t row = begin; row < range_.end; ++row) {
      int64_t length = group_.count;
      Positions positions{};
      if (group_.offsets != nullptr) {
        const int64_t first = RaggedOffset(group_, row);
        length = RaggedOffset(group_, row + 1) - first;
        if (length > 0) positions = PositionsAt(first, 1, first, 1);
      } else if (length > 0) {
        positions = PositionsAt(row * group_.index_row_stride, group_.index_step,
                                row * group_.weight_row_stride, group_.weight_step);
      }
      const int64_t bad = group_.pooling == Pooling::kNone
                              ? Gather(positions, length, OutputRow(row), group_.table.dim)
                              : Pool(positions, length, OutputRow(row));
      if (bad >= 0) return Fail(row, bad);
    }
    return true;
  }

 private:
  float* OutputRow(int64_t row) const { return group_.out + row * group_.out_row_stride; }

  // The positions from element `first` on; weights, when present, from `weight`.
  Positions PositionsAt(int64_t first, int64_t step, int64_t weight, int64_t weight_step) const {
    Positions positions;
    positions.ids =
        static_cast<const std::byte*>(group_.indices) + first * static_cast<int64_t>(sizeof(Index));
    positions.id_step = step * static_cast<int64_t>(sizeof(Index));
    positions.add = plan_.stream.add;
    positions.add_step = plan_.stream.add_step;
    positions.weights = group_.weights == nullptr ? nullptr : group_.weights + weight;
    positions.weight_step = weight_step;
    return positions;
  }

  bool Fail(int64_t row, int64_t position) {
    report_->failed = true;
    report_->group = group_number_;
    report_->row = row;
    report_->position = position;
    report_->value = bad_id_;
    return false;
  }

  template <bool kCompact>
  Resolved Next(const Positions& positions, int64_t at, int64_t size) {
    ahead_->Consume(size * plan_.lines);
    const Resolved resolved = Resolve<Index, kCompact>(group_, plan_.row_bytes, request_.policy,
                                                       positions, at, size, &chunk_);
    report_->zeroed += resolved.zeroed;
    bad_id_ = resolved.bad_id;
    return resolved;
  }

  // Writes one output row per position. The first bad position, or -1.
  int64_t Gather(const Positions& positions, int64_t length, float* out, int64_t out_stride) {
    const int64_t chunk = plan_.chunk;
    GatherArgs args{group_.table.data,   &chunk_, &ahead_->due(), group_.table.dim,
                    plan_.params_offset, nullptr, out_stride};
    for (int64_t at = 0; at < length; at += chunk) {
      const int64_t size = length - at < chunk ? length - at : chunk;
      const Resolved resolved = Next<false>(positions, at, size);
      if (resolved.bad >= 0) return resolved.bad;
      args.out = out + at * out_stride;
      gather_(args);
      ahead_->FinishDue(chunk_.size);
    }
    return -1;
  }

  void PreparePool() {
    const int64_t vectors = (group_.table.dim + Isa::kWidth - 1) / Isa::kWidth;
    full_blocks_ = (vectors - 1) / Isa::kBlock;
    pool_ = ChoosePoolOps<Isa>(group_, vectors - full_blocks_ * Isa::kBlock);
    if constexpr (Isa::kWidth > 1) direct_ = DirectOf<Isa, Index>(group_, plan_, order_);
  }

  // False: not this bag. Nothing is written then, and nothing has changed.
  bool PoolDirectly(const Positions& positions, int64_t length, float* out) {
    const bool bursts = order_ == PrefetchOrder::kBursts;
    const std::byte* ids = nullptr;
    if (bursts) {
      if (!ahead_->Ready(length, plan_.lines)) return false;
    } else {
      ids = ahead_->Beside(group_number_, length);
      if (ids == nullptr) return false;
    }
    const DirectArgs args{group_.table.data,
                          positions.ids,
                          ids,
                          *plan_.stream.add,
                          static_cast<uint64_t>(group_.table.rows),
                          length,
                          plan_.chunk,
                          out};
    const bool mean = group_.pooling == Pooling::kMean;
    if (!direct_(args, mean ? 1.0f / static_cast<float>(length) : 1.0f)) return false;
    if (bursts) {
      ahead_->Pass(length, plan_.lines);
    } else {
      ahead_->PassBeside(length);
    }
    return true;
  }

  // Sums a bag into its output row. The first bad position, or -1.
  int64_t Pool(const Positions& positions, int64_t length, float* out) {
    // A bag of one id is its row: dequantised exactly, without the folded bias.
    if (length == 1) return Gather(positions, length, out, group_.table.dim);
    if (length == 0) {
      ZeroRow<Isa>(out, group_.table.dim);
      return -1;
    }
    if (direct_ != nullptr && PoolDirectly(positions, length, out)) return -1;
    const int64_t chunk = plan_.chunk;
    const PoolArgs args{group_.table.data, &chunk_, &ahead_->due(), out,
                        group_.table.dim % Isa::kWidth};
    float bias = 0.0f;
    float scale = 1.0f;
    int64_t counted = 0;
    for (int64_t at = 0; at < length; at += chunk) {
      const int64_t size = length - at < chunk ? length - at : chunk;
      const Resolved resolved = Next<true>(positions, at, size);
      if (resolved.bad >= 0) return resolved.bad;
      counted += resolved.counted;
      if (pool_.fold != nullptr) {
        bias +=
            pool_.fold(group_.table.data, plan_.params_offset, group_.weights != nullptr, &chunk_);
      }
      const PoolStep step{at == 0, at + size == length};
      if (step.last && group_.pooling == Pooling::kMean && counted > 0) {
        scale = 1.0f / static_cast<float>(counted);
      }
      int64_t column = 0;
      for (int64_t block = 0; block < full_blocks_; ++block) {
        pool_.full(args, column, step, bias, scale);
        ahead_->FinishDue(chunk_.size);
        column += Isa::kBlock * Isa::kWidth;
      }
      pool_.last(args, column, step, bias, scale);
      ahead_->FinishDue(chunk_.size);
    }
    return -1;
  }

  const LookupRequest& request_;
  const BagGroup& group_;
  size_t group_number_;
  RowRange range_;
  GroupPlan plan_;
  Ahead<Isa>* ahead_;
  LookupReport* report_;
  PrefetchOrder order_;
  void (*gather_)(const GatherArgs&);
  PoolOps pool_{};
  DirectFunction direct_ = nullptr;
  int64_t full_blocks_ = 0;
  int64_t bad_id_ = 0;
  Chunk chunk_;
};

template <class Isa>
void Walk(const LookupRequest& request, LookupReport* report) {
  Ahead<Isa> ahead(request);
  for (size_t g = 0; g < request.num_groups; ++g) {
    const bool ok = request.groups[g].indices_are_64
                        ? GroupWalk<Isa, int64_t>(request, g, &ahead, report).Run()
                        : GroupWalk<Isa, int32_t>(request, g, &ahead, report).Run();
    if (!ok) return;
  }
}

}  // namespace
}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_WALK_H_
