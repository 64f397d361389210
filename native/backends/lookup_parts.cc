#include "backends/lookup_parts.h"

#include <algorithm>

#include "backends/cpu/lookup_plan.h"

namespace gyrfalcon {
namespace {

// A group's cost: that of its ids and that of its rows, ids or not.
struct Cost {
  int64_t id = 0;
  int64_t row = 0;
};

Cost CostOf(const BagGroup& group) {
  constexpr int64_t kFloatsPerLine = 16;
  const int64_t written = (group.table.dim + kFloatsPerLine - 1) / kFloatsPerLine;
  Cost cost;
  cost.id = PlanGroup(group, {0, 0}).lines;
  if (group.pooling == Pooling::kNone) {
    cost.id += written;
  } else {
    cost.row = written;
  }
  return cost;
}

// Lines of the group's rows [rows.begin, row).
int64_t LinesBefore(const BagGroup& group, Cost cost, RowRange rows, int64_t row) {
  const int64_t ids = group.offsets != nullptr
                          ? RaggedOffset(group, row) - RaggedOffset(group, rows.begin)
                          : (row - rows.begin) * group.count;
  return ids * cost.id + (row - rows.begin) * cost.row;
}

}  // namespace

int64_t LookupLines(const LookupRequest& request) {
  int64_t lines = 0;
  for (size_t g = 0; g < request.num_groups; ++g) {
    const BagGroup& group = request.groups[g];
    const RowRange rows = GroupRows(request, g);
    if (rows.begin < rows.end) lines += LinesBefore(group, CostOf(group), rows, rows.end);
  }
  return lines;
}

LookupCut CutLookup(const LookupRequest& request, int64_t lines) {
  for (size_t g = 0; g < request.num_groups; ++g) {
    const BagGroup& group = request.groups[g];
    const RowRange rows = GroupRows(request, g);
    if (rows.begin >= rows.end) continue;
    const Cost cost = CostOf(group);
    const int64_t here = LinesBefore(group, cost, rows, rows.end);
    if (here < lines) {
      lines -= here;
      continue;
    }
    int64_t low = rows.begin;
    int64_t high = rows.end;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (LinesBefore(group, cost, rows, middle) < lines) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return {g, low};
  }
  if (request.num_groups == 0) return {0, request.row_end};
  const size_t last = request.num_groups - 1;
  return {last, GroupRows(request, last).end};
}

LookupRequest LookupPart(const LookupRequest& request, LookupCut begin, LookupCut end) {
  LookupRequest part = request;
  part.groups = request.groups + begin.group;
  part.num_groups = 0;
  part.late_rows = 0;
  part.early_rows = 0;
  if (begin.group > end.group || (begin.group == end.group && begin.row >= end.row)) return part;
  part.num_groups = end.group - begin.group + 1;
  part.late_rows = begin.row - request.row_begin;
  part.early_rows = request.row_end - end.row;
  return part;
}

}  // namespace gyrfalcon
