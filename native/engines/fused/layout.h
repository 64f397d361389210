// Where the values of a graph lie while it runs: views of one another, places in a concatenation or
// in a bound output, and blocks of scratch memory that are used again.
#ifndef GYRFALCON_ENGINES_FUSED_LAYOUT_H_
#define GYRFALCON_ENGINES_FUSED_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "engines/fused/graph.h"
#include "engines/fused/shapes.h"

namespace gyrfalcon::fused {

// A value is its root's elements from `offset` on. What a root is:
enum class RootKind : uint8_t {
  kUnused,    // no output needs it
  kInput,     // read where it is bound
  kConstant,  // of the graph
  kFixed,     // shared; depends on constants alone: computed when a context is made
  kShared,    // shared; depends on shared inputs: computed once a run
  kScratch,   // batched, in a thread's memory
  kOutput     // batched, in the memory that output `index` is bound to
};

struct ValuePlace {
  int root = -1;       // value number
  int64_t offset = 0;  // elements
};

struct RootPlace {
  RootKind kind = RootKind::kUnused;
  int index = -1;      // kOutput
  int parent = -1;     // a root that it is a part of (a concatenation), or -1
  int64_t offset = 0;  // elements; kScratch: from the start of the block; kFixed, kShared: from the
                       // start of the shared memory; kOutput: from the start of the row
  int64_t stride = 0;  // elements between rows; 0 when shared
};

struct Layout {
  std::vector<ValuePlace> values;
  std::vector<RootPlace> roots;        // by value number
  std::vector<bool> placed;            // root was written straight into a concatenation
  std::vector<bool> output_is_direct;  // by output
  int64_t block_rows = 1;
  int64_t scratch_elements = 0;  // of one thread, for block_rows
  int64_t shared_elements = 0;   // kFixed and kShared

  bool IsView(int value) const { return values[static_cast<size_t>(value)].root != value; }
  const RootPlace& root(int value) const {
    return roots[static_cast<size_t>(values[static_cast<size_t>(value)].root)];
  }
};

// `block_limit` is the most rows of a block; fewer when the memory of a block would not stay in the
// second-level cache.
Layout LayOut(const Graph& graph, const std::vector<ValueShape>& shapes, int64_t block_limit);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_LAYOUT_H_
