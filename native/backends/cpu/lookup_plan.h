// What the walk over a request derives from a group, and the switch boards of the CPU backends.
// Compiled without ISA flags: the files that are compiled for AVX2 or AVX-512 call these functions
// and must define no function with external linkage besides their entry point, or the linker
// could keep their copy for CPUs that cannot execute it.
#ifndef GYRFALCON_BACKENDS_CPU_LOOKUP_PLAN_H_
#define GYRFALCON_BACKENDS_CPU_LOOKUP_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "backends/lookup.h"

namespace gyrfalcon {

struct CpuFeatures;

inline constexpr int64_t kMaxChunk = 32;

// No default member initialisers below: they would make constructors that -O0 emits in the ISA
// files.

// The ids of one group for the rows of a request: `runs` runs, each of `run_length` ids. Bags whose
// ids lie one after another make a single run.
struct IdStream {
  const std::byte* ids;
  int64_t runs;
  int64_t run_length;
  int64_t run_stride;  // bytes between the first ids of two runs
  int64_t step;        // bytes between two ids of a run
  const int64_t* add;
  int64_t add_step;  // 0: one value for all
};

// The batch rows [begin, end) of one group of a request.
struct RowRange {
  int64_t begin;
  int64_t end;
};

RowRange GroupRows(const LookupRequest& request, size_t group);

struct GroupPlan {
  IdStream stream;
  uint64_t row_bytes;
  int64_t lines;          // 64-byte lines that a row touches at most
  int64_t chunk;          // positions that are resolved and then read at a time
  int64_t params_offset;  // bytes from a quantised row's start to its scale
};

GroupPlan PlanGroup(const BagGroup& group, RowRange rows);

// offsets[row] of a ragged group.
int64_t RaggedOffset(const BagGroup& group, int64_t row);

// kBursts, kSteady or kNear: kMixed is one of them for each group.
PrefetchOrder OrderOf(PrefetchOrder order, const BagGroup& group, const GroupPlan& plan);

// What a kernel whose own distance is `lines` chooses on such a CPU.
Prefetching OwnPrefetching(const CpuFeatures& cpu, int64_t lines);

// How the walk prefetches: `requested`, what SetPrefetching said, or OwnPrefetching of this CPU and
// `own`, the first of them that is not kUsualPrefetch. INT64_MIN lines for not at all.
Prefetching PrefetchTarget(Prefetching requested, int64_t own);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_LOOKUP_PLAN_H_
