#include "engines/fused/fused_context.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "core/limits.h"
#include "core/row_helpers.h"
#include "engines/fused/bindings.h"

namespace gyrfalcon::fused {
namespace {

// Below this much work a second thread costs more than it gives.
constexpr double kAloneNanoseconds = 15000.0;
// Multiplications and additions, as plans count them, that a thread does in a nanosecond.
constexpr double kOperationsPerNanosecond = 50.0;
// What a block of rows reads of weights, from caches.
constexpr double kBytesPerNanosecond = 40.0;
// Up to so many rows, weights take longer to read than to multiply.
constexpr int64_t kFewRows = 16;

// From so many bytes of weights on, threads share products when there are few rows: what does not
// fit a core's own cache comes from one that is shared, at a third of the speed, and with two
// threads each reads half. With less, waiting for each other costs what that saves (an eighth more
// and an eighth less at 3/4 of a cache of 2 MiB).
double SharedBytes() {
  constexpr long kUsual = long{1} << 20;
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
  static const long cache = kUsual;
#endif
  return 0.75 * static_cast<double>(cache > 0 ? cache : kUsual);
}

// Memory up to here is touched when it is made, so that the first run does not pay for it.
constexpr size_t kTouchBytes = size_t{64} << 20;

}  // namespace

Status CheckRowCount(int64_t rows) {
  if (rows >= 0 && rows <= limits::kMaxBatchRows) return Status::Ok();
  return {ErrorCode::kInvalidArgument, "expected 0 to " + std::to_string(limits::kMaxBatchRows) +
                                           " rows but received " + std::to_string(rows)};
}

Result<std::unique_ptr<EngineContext>> FusedContext::Create(
    std::shared_ptr<const FusedModel> model, const std::vector<EngineBinding>& inputs,
    const std::vector<EngineBinding>& outputs) {
  std::unique_ptr<FusedContext> context(new FusedContext(std::move(model)));
  GYR_RETURN_IF_ERROR(context->Bind(inputs, outputs));
  GYR_RETURN_IF_ERROR(context->Allocate());
  return std::unique_ptr<EngineContext>(std::move(context));
}

Status FusedContext::Bind(const std::vector<EngineBinding>& inputs,
                          const std::vector<EngineBinding>& outputs) {
  const Graph& graph = model_->graph;
  if (inputs.size() != graph.inputs.size() || outputs.size() != graph.outputs.size()) {
    return {ErrorCode::kInvalidArgument,
            "expected one binding for each input and output of the graph"};
  }
  const Result<std::vector<int64_t>> symbols = SymbolsOf(graph, inputs, outputs);
  if (!symbols.ok()) return symbols.status();
  Result<std::vector<ValueShape>> shapes = InferShapes(graph, symbols.value());
  if (!shapes.ok()) return shapes.status();
  max_rows_ = limits::kMaxBatchRows;
  PlanInputs plan;
  plan.graph = &graph;
  plan.ops = model_->ops;
  plan.weights = &model_->weights;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const EngineBinding& binding = *FindBinding(inputs, graph.inputs[i].name);
    GYR_RETURN_IF_ERROR(MeasureBinding(binding, "input", graph.inputs[i].batched,
                                       (*shapes)[i].elements, &max_rows_));
    plan.inputs.push_back(static_cast<std::byte*>(binding.data));
  }
  for (const GraphOutput& output : graph.outputs) {
    const EngineBinding& binding = *FindBinding(outputs, output.name);
    GYR_RETURN_IF_ERROR(MeasureBinding(binding, "output", true,
                                       (*shapes)[static_cast<size_t>(output.value)].elements,
                                       &max_rows_));
    plan.outputs.push_back(static_cast<std::byte*>(binding.data));
  }
  plan.block_limit = std::clamp<int64_t>(max_rows_, 1, kMaxBlockRows);
  Result<Plan> made = MakePlan(plan, *shapes);
  if (!made.ok()) return made.status();
  plan_ = std::move(made).value();
  return Status::Ok();
}

Status FusedContext::Allocate() {
  const auto round = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  thread_bytes_ =
      round(static_cast<size_t>(plan_.layout.scratch_elements) * sizeof(float)) + plan_.aux_bytes;
  const size_t shared = static_cast<size_t>(plan_.layout.shared_elements) * sizeof(float);
  // A thread for every block that there can be, or for parts of products.
  const int64_t most = plan_.shared_bytes >= SharedBytes() ? model_->threads : max_rows_;
  threads_ = static_cast<int>(std::clamp<int64_t>(most, 1, model_->threads));
  const size_t each = std::max<size_t>(thread_bytes_, 1);
  threads_ = static_cast<int>(
      std::clamp<size_t>(kMaxScratchBytes / each, 1, static_cast<size_t>(threads_)));
  const size_t total = thread_bytes_ * static_cast<size_t>(threads_) + shared + 64;
  Result<TableMemory> memory = TableMemory::Allocate(total);
  if (!memory.ok()) return memory.status();
  memory_ = std::move(memory).value();
  if (total <= kTouchBytes) std::memset(memory_.data(), 0, total);
  auto* const at = memory_.data() + thread_bytes_ * static_cast<size_t>(threads_);
  PlaceShared(&plan_, reinterpret_cast<float*>(at));
  Frame frame = FrameOf(0);
  frame.rows = 1;
  RunSteps(plan_.fixed, frame);
  return Status::Ok();
}

Frame FusedContext::FrameOf(int thread) const {
  std::byte* const at = memory_.data() + thread_bytes_ * static_cast<size_t>(thread);
  Frame frame;
  frame.scratch = reinterpret_cast<float*>(at);
  frame.aux = at + thread_bytes_ - plan_.aux_bytes;
  return frame;
}

void FusedContext::RunSteps(const std::vector<Step>& steps, const Frame& frame) {
  for (const Step& step : steps) step.run(step, frame);
}

void FusedContext::RunBlocks(void* self, int thread) {
  auto* const context = static_cast<FusedContext*>(self);
  Frame frame = context->FrameOf(thread);
  frame.run_rows = context->rows_;
  while (context->state_.load(std::memory_order_relaxed) != State::kCancelled) {
    frame.row = context->next_row_.fetch_add(context->block_, std::memory_order_relaxed);
    if (frame.row >= context->rows_) return;
    frame.rows = std::min(context->block_, context->rows_ - frame.row);
    RunSteps(context->plan_.blocks, frame);
  }
}

void FusedContext::RunShared(void* self, int thread) {
  auto* const context = static_cast<FusedContext*>(self);
  if (thread == 0) {
    context->LeadShared();
  } else {
    context->shared_.Help(context->FrameOf(thread).aux);
  }
}

void FusedContext::LeadShared() {
  Frame frame = FrameOf(0);
  frame.rows = frame.run_rows = rows_;
  for (const Step& step : plan_.blocks) {
    if (state_.load(std::memory_order_relaxed) == State::kCancelled) break;
    if (step.most_parts > 1) {
      shared_.Lead(step, frame, threads_);
    } else {
      step.run(step, frame);
    }
  }
  shared_.Close();
}

Status FusedContext::Run(int64_t rows) {
  if (rows < 0 || rows > max_rows_) {
    return {ErrorCode::kInvalidArgument, "expected 0 to " + std::to_string(max_rows_) +
                                             " rows but received " + std::to_string(rows)};
  }
  if (rows == 0) return Status::Ok();
  state_.store(State::kRunning);
  if (!plan_.shared.empty()) {
    Frame frame = FrameOf(0);
    frame.rows = 1;
    RunSteps(plan_.shared, frame);
  }
  rows_ = rows;
  block_ = plan_.layout.block_rows;
  next_row_.store(0, std::memory_order_relaxed);
  const double nanoseconds =
      plan_.row_operations * static_cast<double>(rows) / kOperationsPerNanosecond +
      plan_.weight_bytes / kBytesPerNanosecond;
  const auto whole_nanoseconds = static_cast<int64_t>(std::min(nanoseconds, 1e15));
  const int threads = static_cast<int>(std::clamp<int64_t>(rows / plan_.least_rows, 1, threads_));
  if (threads_ == 1 || nanoseconds < kAloneNanoseconds) {
    RunBlocks(this, 0);
  } else if (rows <= std::min(kFewRows, block_) && plan_.shared_bytes >= SharedBytes()) {
    shared_.Open();
    RunWithHelpers({&FusedContext::RunShared, this}, threads_ - 1, whole_nanoseconds);
  } else if (threads == 1) {
    RunBlocks(this, 0);
  } else {
    // As many blocks for each thread, of one size.
    const int64_t blocks = (rows + block_ - 1) / block_;
    const int64_t even = (blocks + threads - 1) / threads * threads;
    block_ = (rows + even - 1) / even;
    RunWithHelpers({&FusedContext::RunBlocks, this}, threads - 1, whole_nanoseconds);
  }
  if (state_.exchange(State::kIdle) == State::kCancelled) {
    return {ErrorCode::kAborted, "the run was cancelled"};
  }
  return Status::Ok();
}

void FusedContext::Cancel() {
  State running = State::kRunning;
  state_.compare_exchange_strong(running, State::kCancelled);
}

}  // namespace gyrfalcon::fused
