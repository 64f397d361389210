// One batch's run of a fused graph: a plan over bound memory, and the memory of its threads.
#ifndef GYRFALCON_ENGINES_FUSED_FUSED_CONTEXT_H_
#define GYRFALCON_ENGINES_FUSED_FUSED_CONTEXT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "bundle/table_memory.h"
#include "core/status.h"
#include "engines/engine.h"
#include "engines/fused/fused_engine.h"
#include "engines/fused/plan.h"
#include "engines/fused/shared_run.h"

namespace gyrfalcon::fused {

// kInvalidArgument unless 0 <= rows <= kMaxBatchRows.
Status CheckRowCount(int64_t rows);

class FusedContext final : public EngineContext {
 public:
  static Result<std::unique_ptr<EngineContext>> Create(std::shared_ptr<const FusedModel> model,
                                                       const std::vector<EngineBinding>& inputs,
                                                       const std::vector<EngineBinding>& outputs);

  Status Run(int64_t rows) override;
  void Cancel() override;

 private:
  enum class State : int { kIdle, kRunning, kCancelled };

  explicit FusedContext(std::shared_ptr<const FusedModel> model) : model_(std::move(model)) {}

  Status Bind(const std::vector<EngineBinding>& inputs, const std::vector<EngineBinding>& outputs);
  Status Allocate();
  Frame FrameOf(int thread) const;
  static void RunSteps(const std::vector<Step>& steps, const Frame& frame);
  static void RunBlocks(void* self, int thread);
  static void RunShared(void* self, int thread);
  void LeadShared();

  std::shared_ptr<const FusedModel> model_;
  Plan plan_;
  int64_t max_rows_ = 0;
  int threads_ = 1;
  size_t thread_bytes_ = 0;
  TableMemory memory_;  // of the threads, then what is shared
  // Of the run under way.
  int64_t rows_ = 0;
  int64_t block_ = 1;
  std::atomic<int64_t> next_row_{0};
  std::atomic<State> state_{State::kIdle};
  SharedRun shared_;
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_FUSED_CONTEXT_H_
