// One batch's bound memory. See EngineContext for the contract.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_CONTEXT_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_CONTEXT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engines/engine.h"
#include "engines/onnxruntime/ort_graph.h"
#include "engines/onnxruntime/ort_tensors.h"

namespace gyrfalcon {

class OrtContext final : public EngineContext {
 public:
  static Result<std::unique_ptr<EngineContext>> Create(std::shared_ptr<const OrtGraph> graph,
                                                       std::vector<EngineBinding> inputs,
                                                       std::vector<EngineBinding> outputs);

  Status Run(int64_t rows) override;
  void Cancel() override;

 private:
  // The binding of one number of rows. The last few are kept, so that sizes that take turns do not
  // rebind.
  struct Bound {
    int64_t rows = -1;  // -1: none
    bool in_place = false;
    uint64_t last_used = 0;
    ort::Handle<ort::OrtIoBinding> binding;
    std::vector<ort::Handle<ort::OrtValue>> values;  // as tensors_; empty handles for fixed ones
  };
  static constexpr size_t kBounds = 8;
  static constexpr size_t kNone = SIZE_MAX;

  enum class State : int { kIdle, kRunning, kCancelling, kCancelled };

  OrtContext(std::shared_ptr<const OrtGraph> graph, std::vector<OrtTensor> tensors,
             size_t input_count, OrtRowLimits limits);
  Status Prepare();
  Status FindPassedThrough();
  Result<Bound*> Find(int64_t rows);
  Status Bind(int64_t rows, Bound* bound);
  Status RunBound(Bound* bound);
  void CopyPassedThrough(int64_t rows) const;
  Status CheckInPlace(const Bound& bound) const;
  bool FinishRun();

  std::shared_ptr<const OrtGraph> graph_;
  std::vector<OrtTensor> tensors_;  // inputs, then outputs
  size_t input_count_;
  std::vector<size_t> source_;  // of each tensor: the input that passes through to it, or kNone
  bool runs_graph_ = false;     // an output is computed
  OrtRowLimits limits_;
  std::vector<ort::Handle<ort::OrtValue>> fixed_;  // values that do not depend on rows
  ort::Handle<ort::OrtRunOptions> run_options_;
  std::array<Bound, kBounds> bounds_;
  uint64_t runs_ = 0;
  std::atomic<State> state_{State::kIdle};
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_CONTEXT_H_
