// A bundle's directory becomes a Model.
#ifndef GYRFALCON_CORE_LOAD_MODEL_H_
#define GYRFALCON_CORE_LOAD_MODEL_H_

#include <memory>
#include <string>

#include "bundle/bundle.h"
#include "core/device_tables.h"
#include "core/model.h"
#include "engines/load_engine.h"

namespace gyrfalcon {

struct LoadModelOptions {
  LoadTableOptions tables;
  int device = -1;  // of CUDA; -1: the CPU
  TableCaches caches;
  OutOfRange policy = OutOfRange::kError;
  LoadEngineOptions engine;
};

// Reads manifest, engine and tables, in this order: what is refused is refused before tables are
// read. `progress` outlives the call and is not null. Errors: those of ReadManifest, LoadEngine,
// LoadTable or LoadTablesOnto, and Model::Create.
Result<std::shared_ptr<const Model>> LoadModel(const std::string& dir,
                                               const LoadModelOptions& options,
                                               LoadProgress* progress);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_LOAD_MODEL_H_
