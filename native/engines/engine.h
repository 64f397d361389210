// The dense network behind one interface. An Engine is immutable and shared by threads; an
// EngineContext belongs to one batch and runs on one thread at a time.
#ifndef GYRFALCON_ENGINES_ENGINE_H_
#define GYRFALCON_ENGINES_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/status.h"

namespace gyrfalcon {

struct EngineTensorSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> dims;       // -1: free
  std::vector<std::string> names;  // symbolic name of each free dim, "" when it has none
  bool has_shape = true;           // false: the graph does not declare it, dims is empty
};

// Memory that a context reads or writes. dims[0] == kRows stands for the rows of a run.
struct EngineBinding {
  static constexpr int64_t kRows = -1;
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> dims;
  void* data = nullptr;  // 64-byte aligned, large enough for the capacity
  size_t bytes = 0;      // size of the memory at data
};

// An output of RunOnce, with its own memory.
struct EngineOutput {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> dims;
  std::vector<std::byte> data;
};

class EngineContext {
 public:
  virtual ~EngineContext() = default;
  // Runs on the bound memory; dims that are kRows are `rows`. Allocates nothing in the steady state
  // (the same number of rows as in the run before).
  virtual Status Run(int64_t rows) = 0;
  // May be called from another thread while Run is under way; Run then returns kAborted soon. Does
  // nothing when no run is under way: who cancels before Run keeps a flag. The caller keeps the
  // context alive until Cancel returns.
  virtual void Cancel() = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;                    // "onnxruntime", "fused", ...
  virtual std::string_view version() const = 0;                 // of the library behind it
  virtual std::string_view precision() const { return "f32"; }  // of the weights: f32, bf16, int8
  virtual const std::vector<EngineTensorSpec>& inputs() const = 0;
  virtual const std::vector<EngineTensorSpec>& outputs() const = 0;

  // Binds memory once. Every input and output of the graph must be bound, with its dtype.
  virtual Result<std::unique_ptr<EngineContext>> CreateContext(
      std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs) = 0;

  // Runs once on given inputs with outputs that the engine allocates, and copies them out in the
  // graph's order: for graphs whose output shapes are not declared, and for one-off runs. Slow
  // path.
  virtual Result<std::vector<EngineOutput>> RunOnce(const std::vector<EngineBinding>& inputs,
                                                    int64_t rows) = 0;
};

struct EngineOptions {
  int threads = 1;  // that one run may use
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ENGINE_H_
