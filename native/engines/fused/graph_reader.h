// Reading fused.json and its weights: hostile input in, a Graph whose size-independent rules hold
// out. docs/fused-format.md has the rules; shapes.h checks what depends on sizes.
#ifndef GYRFALCON_ENGINES_FUSED_GRAPH_READER_H_
#define GYRFALCON_ENGINES_FUSED_GRAPH_READER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/table_memory.h"
#include "core/model_spec.h"
#include "core/status.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

// A graph and the memory that its constants point into.
struct LoadedGraph {
  Graph graph;
  std::vector<std::string> symbols;      // by Extent::symbol
  std::vector<int64_t> symbol_defaults;  // 0: none
  TableMemory weights;
};

// Parses the text alone; constants have null data.
//
// kBundleInvalid, kLimitExceeded: with the place of the value, such as "nodes[3].in".
Result<LoadedGraph> ParseGraph(std::string_view json, const std::vector<SymbolSpec>& symbols);

// Reads both files of the bundle `dir`. Also kChecksumMismatch, kPathEscape, kIoError,
// kOutOfMemory.
Result<LoadedGraph> LoadGraph(const std::string& dir, const FusedSpec& files,
                              const std::vector<SymbolSpec>& symbols);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_GRAPH_READER_H_
