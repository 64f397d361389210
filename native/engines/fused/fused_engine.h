// Our own engine for dense networks that the importer could lower (docs/fused-format.md), behind
// the Engine interface. Weights are packed once, for the active instruction set, and shared by
// contexts.
#ifndef GYRFALCON_ENGINES_FUSED_FUSED_ENGINE_H_
#define GYRFALCON_ENGINES_FUSED_FUSED_ENGINE_H_

#include <memory>
#include <vector>

#include "bundle/table_memory.h"
#include "core/status.h"
#include "engines/engine.h"
#include "engines/fused/gemm/gemm.h"
#include "engines/fused/graph_reader.h"
#include "engines/fused/ops/ops.h"

namespace gyrfalcon::fused {

struct FusedOptions {
  int threads = 1;
  Precision precision = Precision::kF32;
  // Null: the active ones.
  const GemmKernels* gemm = nullptr;
  const OpKernels* ops = nullptr;
};

// What contexts share. Immutable.
struct FusedModel {
  Graph graph;  // constants that only products read have null data
  std::vector<std::string> symbols;
  std::vector<PackedWeights> weights;  // by constant; k == 0: not packed
  TableMemory memory;                  // of constants and packed weights
  const OpKernels* ops = nullptr;
  Precision precision = Precision::kF32;
  int threads = 1;
};

// kBundleInvalid, kLimitExceeded: operands do not fit (checked now when all symbols have default
// sizes, else when a context is made). kInvalidArgument: threads. kDeviceUnavailable:
// GYRFALCON_CPU_ISA names what cannot run here. kOutOfMemory.
Result<std::shared_ptr<Engine>> CreateFusedEngine(LoadedGraph loaded, const FusedOptions& options);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_FUSED_ENGINE_H_
