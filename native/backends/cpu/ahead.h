// The cursor that runs ahead of a walk over a request, across bags and groups, and prefetches rows.
//
// It does so in bursts. Zen 4, f32 rows of 256 and 512 bytes in bags of 20 ids, nanoseconds a row
// with 192 lines ahead: prefetching as many lines as were read, row by row, takes 20 and 37 from
// memory (uniform ids; 9 and 15 under Zipf 1.05), a bag's lines at a time 15 and 25 (10 and 15),
// 256 lines at a time 12 and 25 (10 and 14). Reads in between delay the misses behind them.
//
// Or, where that is better (OwnPrefetching), row by row: then it keeps the rows whose turn comes
// next, and who reads the walk's rows prefetches one of them with each. Or near: as many rows as
// the walk reads next, and few ahead, because they go to the first-level cache. Which of these it
// is may change from group to group (OrderOf).
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_AHEAD_H_
#define GYRFALCON_BACKENDS_CPU_AHEAD_H_

#include "backends/cpu/lookup_plan.h"
#include "backends/cpu/row_ops.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kBurstLines = 256;
// Steadily, no more rows ahead than these: the first ones of a request come in one burst.
constexpr int64_t kSteadyRows = 192;

// It counts cache lines, not rows, so that the distance fits wide and narrow tables alike. It reads
// ids only to prefetch: the walk loads and checks them again.
template <class Isa>
class Ahead {
 public:
  explicit Ahead(const LookupRequest& request) : request_(request) {
    const Prefetching prefetch = PrefetchTarget(request.prefetch, Isa::kPrefetchLines);
    lines_ = target_ = prefetch.lines;
    asked_ = prefetch.order;
    due_.size = 0;
  }

  // The walk is about to read rows of `lines` lines in all.
  void Consume(int64_t lines) {
    in_flight_ -= lines;
    if (in_flight_ < target_) Refill();
  }

  // Where the ids of the next `size` rows to prefetch lie, one after another, when they are of
  // `group` and the walk may prefetch one of them with each row that it reads, instead of Consume.
  // Else null. `group` adds one number to all ids.
  const std::byte* Beside(size_t group, int64_t size) {
    if (order_ == PrefetchOrder::kBursts || in_flight_ < target_) return nullptr;
    if (left_ == 0) {
      if (runs_left_ == 0) return nullptr;
      NextRun();
    }
    return group_ == group + 1 && left_ >= size ? ids_ : nullptr;
  }

  // Of a group, whether or not it is the one that is prefetched.
  PrefetchOrder OrderIn(const BagGroup& group, const GroupPlan& plan) const {
    return OrderOf(asked_, group, plan);
  }

  // In bursts: the walk may read `size` rows of `lines` lines each at once, and Pass them then,
  // instead of Consume. False: too many to be prefetched before the first of them is read.
  bool Ready(int64_t size, int64_t lines) {
    if (lines_ == INT64_MIN) return true;  // nothing is prefetched
    if (size > kBurstLines || size * lines > kBurstLines) return false;
    if (target_ != INT64_MIN && in_flight_ < (target_ > size * lines ? target_ : size * lines)) {
      Refill();
      FinishDue(0);
    }
    return true;
  }

  void Pass(int64_t size, int64_t lines) { in_flight_ -= size * lines; }

  // The walk has read `size` rows and prefetched those that Beside told of.
  void PassBeside(int64_t size) {
    left_ -= size;
    if (left_ > 0) ids_ += size * plan_.stream.step;
  }

  // Rows to be prefetched while those that Consume was told of are read, one with each.
  const DueRows& due() const { return due_; }

  // The first `done` of them are prefetched.
  void FinishDue(int64_t done) {
    if (done < due_.size) PrefetchRows<Isa, false>(due_, done);
    due_.size = 0;
  }

 private:
  // Rows of `lines` lines in `all` lines, at most kMaxChunk. Few calls divide.
  static int64_t RowsOf(int64_t all, int64_t lines) {
    if (all >= kMaxChunk * lines) return kMaxChunk;
    return (all + lines - 1) / lines;
  }

  void Refill() {
    for (;;) {
      if (left_ == 0 && !NextRun()) {
        target_ = INT64_MIN;
        return;
      }
      // Looked at here, because a group of shorter rows has a lower target.
      if (in_flight_ >= target_ + burst_) return;
      if (wide_ids_) {
        Advance<int64_t>();
      } else {
        Advance<int32_t>();
      }
    }
  }

  bool NextRun() {
    while (left_ == 0) {
      if (runs_left_ == 0) {
        if (group_ == request_.num_groups) return false;
        const BagGroup& group = request_.groups[group_];
        plan_ = PlanGroup(group, GroupRows(request_, group_));
        ++group_;
        order_ = OrderOf(asked_, group, plan_);
        burst_ = order_ == PrefetchOrder::kBursts ? kBurstLines : 0;
        const int64_t most = kSteadyRows * plan_.lines;
        target_ = order_ == PrefetchOrder::kSteady && lines_ > most ? most : lines_;
        table_ = group.table.data;
        rows_ = static_cast<uint64_t>(group.table.rows);
        wide_ids_ = group.indices_are_64;
        runs_left_ = plan_.stream.runs;
        run_ids_ = plan_.stream.ids;
        continue;
      }
      --runs_left_;
      ids_ = run_ids_;
      add_ = plan_.stream.add;
      left_ = plan_.stream.run_length;
      if (runs_left_ > 0) run_ids_ += plan_.stream.run_stride;
    }
    return true;
  }

  // The next rows of the run: at least one, and no more than are wanted or a chunk.
  template <typename Index>
  void Advance() {
    const int64_t wanted = RowsOf(target_ + burst_ - in_flight_, plan_.lines);
    // Short runs as a whole, so that Beside finds as many ids as the next bag has.
    const bool all = left_ < wanted || (burst_ == 0 && left_ <= kMaxChunk);
    const int64_t size = all ? left_ : wanted;
    const auto add = static_cast<uint64_t>(*add_);
    const int64_t step = plan_.stream.step;
    const int64_t add_step = plan_.stream.add_step;
    FinishDue(0);
    due_.lines = plan_.lines;
    due_.last_byte = static_cast<int64_t>(plan_.row_bytes) - 1;
    uint64_t offsets[kMaxChunk];
    if (step == int64_t{sizeof(Index)} && add_step == 0 &&
        OffsetsOf<Index>(ids_, add, rows_, plan_.row_bytes, size, offsets)) {
      for (int64_t i = 0; i < size; ++i) due_.rows[i] = table_ + offsets[i];
      due_.size = size;
    } else {
      for (int64_t i = 0; i < size; ++i) {
        const auto id = static_cast<int64_t>(LoadAs<Index>(ids_ + i * step));
        const uint64_t row = static_cast<uint64_t>(id) + static_cast<uint64_t>(add_[i * add_step]);
        if (row < rows_) [[likely]]
          due_.rows[due_.size++] = table_ + row * plan_.row_bytes;
      }
    }
    if (order_ == PrefetchOrder::kBursts) {
      FinishDue(0);
    } else if (order_ == PrefetchOrder::kNear) {
      PrefetchRows<Isa, true>(due_, 0);
      due_.size = 0;
    }
    in_flight_ += size * plan_.lines;
    left_ -= size;
    if (left_ == 0) return;  // no pointer past the last id is formed
    ids_ += size * step;
    add_ += size * add_step;
  }

  const LookupRequest& request_;
  int64_t lines_;  // asked for
  int64_t target_;
  PrefetchOrder asked_;
  PrefetchOrder order_ = PrefetchOrder::kBursts;  // of the group that is prefetched
  int64_t burst_ = 0;  // lines that are prefetched at a time; 0: as many as are read
  int64_t in_flight_ = 0;
  DueRows due_;
  GroupPlan plan_{};
  const std::byte* table_ = nullptr;
  uint64_t rows_ = 0;
  bool wide_ids_ = false;
  size_t group_ = 0;  // the next group
  int64_t runs_left_ = 0;
  const std::byte* run_ids_ = nullptr;
  const std::byte* ids_ = nullptr;
  const int64_t* add_ = nullptr;
  int64_t left_ = 0;  // ids of this run
};

}  // namespace
}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_AHEAD_H_
