// Functions of the interpreter of fused graphs: written from docs/fused-format.md, apart from the
// engine's own on purpose.
#ifndef GYRFALCON_TEST_NATIVE_FUSED_INTERPRETER_FUNCTIONS_H_
#define GYRFALCON_TEST_NATIVE_FUSED_INTERPRETER_FUNCTIONS_H_

#include <map>

#include "engines/fused/graph.h"
#include "fused_random_graph.h"

namespace gyrfalcon::fused::testing {

// At a column of x; c: the graph's constants by value.
double ActOf(const Act& act, double x, size_t column, const std::map<int, const RowValue*>& c);
double BinaryOf(BinaryFn fn, double a, double b);

}  // namespace gyrfalcon::fused::testing

#endif  // GYRFALCON_TEST_NATIVE_FUSED_INTERPRETER_FUNCTIONS_H_
