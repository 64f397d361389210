// Which engine runs a bundle's dense network, and loading it.
#ifndef GYRFALCON_ENGINES_LOAD_ENGINE_H_
#define GYRFALCON_ENGINES_LOAD_ENGINE_H_

#include <memory>
#include <optional>
#include <string>

#include "core/model_spec.h"
#include "core/status.h"
#include "engines/engine.h"

namespace gyrfalcon {

enum class EngineChoice { kAuto, kFused, kOnnxRuntime };

struct LoadEngineOptions {
  EngineOptions engine;
  EngineChoice which = EngineChoice::kAuto;  // the fused engine where the bundle has its graph
  std::optional<Precision> precision;        // none: the bundle's, where it can be had
  std::string ort_library;                   // a path; empty: there is none
  std::string ort_missing;                   // why there is none
};

// kEngineUnavailable when the engine or the precision that is asked for cannot be had; otherwise as
// fused::LoadGraph, ReadBundleFile and the engines.
Result<std::shared_ptr<Engine>> LoadEngine(const std::string& dir, const ModelSpec& spec,
                                           const LoadEngineOptions& options);

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_LOAD_ENGINE_H_
