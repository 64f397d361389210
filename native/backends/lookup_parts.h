// A request cut into parts that read about as many bytes each, for several threads. Parts are
// intervals of the walk over (group, row): a batch of one row is cut between its tables, a single
// table between its rows; a bag is never cut, so that results do not depend on the parts.
#ifndef GYRFALCON_BACKENDS_LOOKUP_PARTS_H_
#define GYRFALCON_BACKENDS_LOOKUP_PARTS_H_

#include <cstddef>
#include <cstdint>

#include "backends/lookup.h"

namespace gyrfalcon {

// What a request costs, in 64-byte lines that it reads or writes at most.
int64_t LookupLines(const LookupRequest& request);

// Where a part begins: rows before `row` of `group`, and all groups before it, belong to others.
struct LookupCut {
  size_t group;
  int64_t row;
};

// The first cut with at least `lines` lines before it; the request's end when there is none.
LookupCut CutLookup(const LookupRequest& request, int64_t lines);

// What lies between two cuts of `request`, which outlives the part. Its groups are counted from
// begin.group on: add that to a report's `group`. No groups when nothing lies between.
LookupRequest LookupPart(const LookupRequest& request, LookupCut begin, LookupCut end);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_LOOKUP_PARTS_H_
