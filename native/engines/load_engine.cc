#include "engines/load_engine.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "bundle/bundle.h"
#include "core/limits.h"
#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"
#include "engines/onnxruntime/ort_engine.h"

namespace gyrfalcon {
namespace {

Result<std::shared_ptr<Engine>> LoadFused(const std::string& dir, const ModelSpec& spec,
                                          const LoadEngineOptions& options) {
  Result<fused::LoadedGraph> graph = fused::LoadGraph(dir, spec.fused, spec.symbols);
  if (!graph.ok()) return graph.status();
  fused::FusedOptions fused;
  fused.threads = options.engine.threads;
  fused.precision = options.precision.value_or(spec.fused.precision);
  return fused::CreateFusedEngine(std::move(graph).value(), fused);
}

Result<std::shared_ptr<Engine>> LoadOrt(const std::string& dir, const ModelSpec& spec,
                                        const LoadEngineOptions& options) {
  if (options.ort_library.empty()) return {ErrorCode::kEngineUnavailable, options.ort_missing};
  Result<std::shared_ptr<OrtLibrary>> library = OpenOrtLibrary(options.ort_library);
  if (!library.ok()) return library.status();
  Result<std::vector<std::byte>> graph =
      ReadBundleFile(dir, spec.dense_file, spec.dense_xxh64, limits::kMaxDenseGraphBytes);
  if (!graph.ok()) return graph.status();
  return CreateOrtEngine(*library, *graph, options.engine);
}

}  // namespace

Result<std::shared_ptr<Engine>> LoadEngine(const std::string& dir, const ModelSpec& spec,
                                           const LoadEngineOptions& options) {
  const bool has_fused = !spec.fused.file.empty();
  const bool reduced = options.precision.value_or(Precision::kF32) != Precision::kF32;
  if (has_fused && options.which != EngineChoice::kOnnxRuntime) {
    return LoadFused(dir, spec, options);
  }
  if (options.which == EngineChoice::kFused || reduced) {
    return {ErrorCode::kEngineUnavailable,
            has_fused ? "expected precision f32 for engine onnxruntime"
                      : "expected a bundle with a fused graph for engine fused or a precision "
                        "other than f32, but its dense network has operators that the fused "
                        "engine does not cover"};
  }
  return LoadOrt(dir, spec, options);
}

}  // namespace gyrfalcon
