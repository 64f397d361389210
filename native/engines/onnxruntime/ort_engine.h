// ONNX Runtime behind the Engine interface. The library is opened at run time through its C API and
// is never closed; one environment serves the whole process and is leaked on purpose.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_ENGINE_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_ENGINE_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "engines/engine.h"

namespace gyrfalcon {

class OrtLibrary;  // the opened library: API table, version, environment

// Opens `path` (an absolute path to libonnxruntime.so.1) or returns the library this process opened
// before. kEngineUnavailable says what was tried, what is missing, or which version was found.
//
// onnxruntime-node in the same process: the same file is shared, and so is its one environment with
// the logger of whoever came first. Different files live side by side, but an addon that names only
// libonnxruntime.so.1 gets the copy that was loaded first, so the two should be of one version.
// Thread-safe.
Result<std::shared_ptr<OrtLibrary>> OpenOrtLibrary(const std::string& path);

std::string OrtLibraryVersion(const OrtLibrary& library);

// A session over serialised ONNX bytes. Nothing in them may refer to other files.
Result<std::shared_ptr<Engine>> CreateOrtEngine(std::shared_ptr<OrtLibrary> library,
                                                std::span<const std::byte> model,
                                                const EngineOptions& options);

// A session over a file, which may have external data beside it: for models whose files the caller
// trusts or has checked (the importer's verification).
Result<std::shared_ptr<Engine>> CreateOrtEngineFromFile(std::shared_ptr<OrtLibrary> library,
                                                        const std::string& path,
                                                        const EngineOptions& options);

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_ENGINE_H_
