// The cursor that runs ahead of a walk over a request, across bags and groups, and prefetches rows.
//
// It does so in bursts. Zen 4, f32 rows of 256 and 512 bytes in bags of 20 ids, nanoseconds a row
// with 192 lines ahead: prefetching as many lines as were read, row by row, takes 20 and 37 from
// memory (uniform ids; 9 and 15 under Zipf 1.05), a bag's lines at a time 15 and 25 (10 and 15),
// 256 lines at a time 12 and 25 (10 and 14). Reads in between delay the misses behind them.
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_AHEAD_H_
#define GYRFALCON_BACKENDS_CPU_AHEAD_H_

#include "backends/cpu/lookup_plan.h"
#include "backends/cpu/row_ops.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kBurstLines = 256;

// It counts cache lines, not rows, so that the distance fits wide and narrow tables alike. It reads
// ids only to prefetch: the walk loads and checks them again.
template <class Isa>
class Ahead {
 public:
  explicit Ahead(const LookupRequest& request)
      : request_(request), target_(PrefetchTarget(request.prefetch_lines, Isa::kPrefetchLines)) {}

  // The walk is about to read rows of `lines` lines in all.
  void Consume(int64_t lines) {
    in_flight_ -= lines;
    if (in_flight_ < target_) Refill();
  }

 private:
  // Rows of `lines` lines in `all` lines, at most kMaxChunk. Few calls divide.
  static int64_t RowsOf(int64_t all, int64_t lines) {
    if (all >= kMaxChunk * lines) return kMaxChunk;
    return (all + lines - 1) / lines;
  }

  void Refill() {
    while (in_flight_ < target_ + kBurstLines) {
      if (left_ == 0 && !NextRun()) {
        target_ = INT64_MIN;
        return;
      }
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

  // Prefetches some rows of the run: at least one, and no more than are wanted or a chunk.
  template <typename Index>
  void Advance() {
    const int64_t wanted = RowsOf(target_ + kBurstLines - in_flight_, plan_.lines);
    const int64_t size = left_ < wanted ? left_ : wanted;
    const auto add = static_cast<uint64_t>(*add_);
    const int64_t step = plan_.stream.step;
    const int64_t add_step = plan_.stream.add_step;
    const auto last_byte = static_cast<int64_t>(plan_.row_bytes) - 1;
    uint64_t offsets[kMaxChunk];
    if (step == int64_t{sizeof(Index)} && add_step == 0 &&
        OffsetsOf<Index>(ids_, add, rows_, plan_.row_bytes, size, offsets)) {
      for (int64_t i = 0; i < size; ++i) {
        PrefetchRow<Isa>(table_ + offsets[i], plan_.lines, last_byte);
      }
    } else {
      for (int64_t i = 0; i < size; ++i) {
        const auto id = static_cast<int64_t>(LoadAs<Index>(ids_ + i * step));
        const uint64_t row = static_cast<uint64_t>(id) + static_cast<uint64_t>(add_[i * add_step]);
        if (row < rows_) [[likely]] {
          PrefetchRow<Isa>(table_ + row * plan_.row_bytes, plan_.lines, last_byte);
        }
      }
    }
    in_flight_ += size * plan_.lines;
    left_ -= size;
    if (left_ == 0) return;  // no pointer past the last id is formed
    ids_ += size * step;
    add_ += size * add_step;
  }

  const LookupRequest& request_;
  int64_t target_;
  int64_t in_flight_ = 0;
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
