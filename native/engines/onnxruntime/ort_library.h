// The opened library. One per process; see ort_engine.h for how it is obtained.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_LIBRARY_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_LIBRARY_H_

#include <string>
#include <utility>

#include "engines/onnxruntime/ort_api.h"

namespace gyrfalcon {

// Immutable and shared by threads.
class OrtLibrary {
 public:
  OrtLibrary(ort::Api api, ort::OrtEnv* env, const ort::OrtMemoryInfo* cpu,
             ort::OrtAllocator* allocator, std::string version)
      : api_(api), env_(env), cpu_(cpu), allocator_(allocator), version_(std::move(version)) {}

  ort::Api api() const { return api_; }
  ort::OrtEnv* env() const { return env_; }
  const ort::OrtMemoryInfo* cpu() const { return cpu_; }
  ort::OrtAllocator* allocator() const { return allocator_; }  // the library's default one
  const std::string& version() const { return version_; }

 private:
  ort::Api api_;
  ort::OrtEnv* env_;
  const ort::OrtMemoryInfo* cpu_;
  ort::OrtAllocator* allocator_;
  std::string version_;
};

namespace ort {
// True for "1.30", "1.30.0", "1.30.1-dev", "2.0"; false for what is older or no version.
bool IsSupportedVersion(const std::string& version);
}  // namespace ort

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_LIBRARY_H_
