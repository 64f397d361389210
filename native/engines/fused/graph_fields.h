// The kinds of value that fused.json is made of, and the nodes. Steps of ParseGraph.
#ifndef GYRFALCON_ENGINES_FUSED_GRAPH_FIELDS_H_
#define GYRFALCON_ENGINES_FUSED_GRAPH_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "bundle/json_cursor.h"
#include "bundle/manifest_fields.h"
#include "core/limits.h"
#include "core/status.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

inline constexpr size_t kMaxNodes = 65536;
inline constexpr size_t kMaxConstants = 65536;
inline constexpr size_t kMaxListEntries = size_t{1} << 20;  // of pairs, indices
inline constexpr size_t kMaxInnerRank = limits::kMaxRank - 1;

// What is being read. Inputs and constants are complete when nodes are read.
struct GraphReading {
  Graph graph;
  NameIndex symbols;

  int first_constant() const { return static_cast<int>(graph.inputs.size()); }
  int first_node() const { return first_constant() + static_cast<int>(graph.constants.size()); }
  bool IsConstant(int value) const { return value >= first_constant() && value < first_node(); }
  const GraphConstant& constant(int value) const {
    return graph.constants[static_cast<size_t>(value - first_constant())];
  }
};

// A finite number that is one in f32 too.
Status ReadNumber(const JsonCursor& at, float* number);

// An integer >= 1 or the name of a symbol.
Status ReadExt(const JsonCursor& at, const NameIndex& symbols, Extent* extent);

// Inner extents; -1 (kUnknown) once where `free` says so.
enum class FreeExtent : uint8_t { kRefuse, kAllow };
Status ReadInnerShape(const JsonCursor& at, const NameIndex& symbols, FreeExtent free,
                      Shape* shape);

// A value number below `end`.
Status ReadValue(const JsonCursor& at, int end, int* value);

// Appends the node; `position` is its number in "nodes".
Status ReadNode(const JsonCursor& at, size_t position, GraphReading* reading);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GRAPH_FIELDS_H_
