// The cursor that runs ahead of a walk over a request, across bags and groups, and prefetches rows.
//
// Included only by the lookup_<isa>.cc files; the rules of row_ops.h hold here too.
#ifndef GYRFALCON_BACKENDS_CPU_AHEAD_H_
#define GYRFALCON_BACKENDS_CPU_AHEAD_H_

#include "backends/cpu/lookup_plan.h"
#include "backends/cpu/row_ops.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kLineBytes = 64;

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
    while (in_flight_ < target_) {
      if (left_ == 0 && !NextRun()) {
        target_ = INT64_MIN;
        return;
      }
      if (wide_ids_) {
        PrefetchRun<int64_t>();
      } else {
        PrefetchRun<int32_t>();
      }
    }
  }

 private:
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

  template <typename Index>
  void PrefetchRun() {
    const uint64_t row_bytes = plan_.row_bytes;
    const int64_t step = plan_.stream.step;
    // One for each line that a row can touch: a second for the same line is not free.
    const int64_t inner_bytes = (plan_.lines - 1) * kLineBytes;
    do {
      const auto id = static_cast<int64_t>(LoadAs<Index>(ids_));
      const uint64_t row = static_cast<uint64_t>(id) + static_cast<uint64_t>(*add_);
      if (row < rows_) [[likely]] {
        const std::byte* const begin = table_ + row * row_bytes;
        for (int64_t at = 0; at < inner_bytes; at += kLineBytes) Isa::Prefetch(begin + at);
        Isa::Prefetch(begin + row_bytes - 1);
      }
      add_ += plan_.stream.add_step;
      in_flight_ += plan_.lines;
      if (--left_ == 0) return;  // no pointer past the last id is formed
      ids_ += step;
    } while (in_flight_ < target_);
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
