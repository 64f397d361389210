// What a graph says about its inputs and outputs against the memory that is bound to them.
#ifndef GYRFALCON_ENGINES_FUSED_BINDINGS_H_
#define GYRFALCON_ENGINES_FUSED_BINDINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "engines/engine.h"
#include "engines/fused/graph.h"

namespace gyrfalcon::fused {

// Null when no binding has the name.
const EngineBinding* FindBinding(const std::vector<EngineBinding>& bindings,
                                 const std::string& name);

// The sizes of the symbols that inputs and outputs are bound with; 0 for those that none has.
// kShapeMismatch, kDtypeMismatch, kInvalidArgument: a binding does not fit or is missing.
Result<std::vector<int64_t>> SymbolsOf(const Graph& graph, const std::vector<EngineBinding>& inputs,
                                       const std::vector<EngineBinding>& outputs);

// Checks the memory of a binding of `elements` a row; `max_rows` becomes the most rows that it has
// room for, if that is less. kInvalidArgument.
Status MeasureBinding(const EngineBinding& binding, const char* what, bool batched,
                      int64_t elements, int64_t* max_rows);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_BINDINGS_H_
