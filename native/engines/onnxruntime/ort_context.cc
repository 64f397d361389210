#include "engines/onnxruntime/ort_context.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "bundle/quote.h"
#include "core/limits.h"
#include "engines/onnxruntime/ort_status.h"

namespace gyrfalcon {

using ort::TakeStatus;

Result<std::unique_ptr<EngineContext>> OrtContext::Create(std::shared_ptr<const OrtGraph> graph,
                                                          std::vector<EngineBinding> inputs,
                                                          std::vector<EngineBinding> outputs) {
  OrtRowLimits limits;
  limits.max_rows = limits::kMaxBatchRows;
  Result<std::vector<OrtTensor>> in =
      MatchBindings(graph->inputs(), std::move(inputs), "input", &limits);
  if (!in.ok()) return in.status();
  Result<std::vector<OrtTensor>> out =
      MatchBindings(graph->outputs(), std::move(outputs), "output", &limits);
  if (!out.ok()) return out.status();
  const size_t input_count = in->size();
  std::move(out->begin(), out->end(), std::back_inserter(*in));
  std::unique_ptr<OrtContext> context(
      new OrtContext(std::move(graph), std::move(*in), input_count, std::move(limits)));
  GYR_RETURN_IF_ERROR(context->Prepare());
  return std::unique_ptr<EngineContext>(std::move(context));
}

OrtContext::OrtContext(std::shared_ptr<const OrtGraph> graph, std::vector<OrtTensor> tensors,
                       size_t input_count, OrtRowLimits limits)
    : graph_(std::move(graph)),
      tensors_(std::move(tensors)),
      input_count_(input_count),
      source_(tensors_.size(), kNone),
      limits_(std::move(limits)),
      fixed_(tensors_.size()),
      run_options_(graph_->api()) {}

// ONNX Runtime does not copy an input that is an output too: it puts the input's value in the place
// of the bound one. Such outputs are not bound; they are copied after the run.
Status OrtContext::FindPassedThrough() {
  for (size_t out = input_count_; out < tensors_.size(); ++out) {
    const OrtTensor& output = tensors_[out];
    for (size_t in = 0; in < input_count_; ++in) {
      const OrtTensor& input = tensors_[in];
      if (input.binding.name != output.binding.name) continue;
      if (input.per_row != output.per_row || input.row_bytes != output.row_bytes) {
        return Status(ErrorCode::kShapeMismatch, "expected the shape of input " +
                                                     Quote(input.binding.name) +
                                                     " for the output of that name");
      }
      source_[out] = in;
    }
    runs_graph_ = runs_graph_ || source_[out] == kNone;
  }
  return Status::Ok();
}

Status OrtContext::Prepare() {
  GYR_RETURN_IF_ERROR(FindPassedThrough());
  const ort::Api api = graph_->api();
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kCreateRunOptions](run_options_.Out()), "preparing a run"));
  GYR_RETURN_IF_ERROR(TakeStatus(
      api, api[ort::kRunOptionsSetRunLogSeverityLevel](run_options_.get(), ort::kLogFatal),
      "preparing a run"));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].per_row) continue;
    fixed_[i] = ort::Handle<ort::OrtValue>(api);
    GYR_RETURN_IF_ERROR(MakeValue(graph_->library(), tensors_[i], 0, &fixed_[i]));
  }
  return Status::Ok();
}

Status OrtContext::Run(int64_t rows) {
  GYR_RETURN_IF_ERROR(CheckRows(limits_, rows));
  if (!limits_.has_per_row) {
    rows = 0;  // every run is the same: one binding serves them all
  } else if (rows == 0) {
    return Status::Ok();  // kernels divide by dims; and there is nothing to compute
  }
  state_.store(State::kRunning);
  Status status;
  if (runs_graph_) {
    Result<Bound*> bound = Find(rows);
    status = bound.ok() ? RunBound(*bound) : bound.status();
  }
  if (status.ok()) CopyPassedThrough(rows);
  if (FinishRun()) return Status(ErrorCode::kAborted, "the run was cancelled");
  return status;
}

// Leaves kRunning. True when the run was cancelled.
bool OrtContext::FinishRun() {
  State state = State::kRunning;
  if (state_.compare_exchange_strong(state, State::kIdle)) return false;
  // A canceller holds the run options until it says kCancelled: they outlive its call this way, and
  // its flag cannot reach the next run.
  state_.wait(State::kCancelling);
  const ort::Api api = graph_->api();
  // Only a null argument makes this fail.
  (void)TakeStatus(api, api[ort::kRunOptionsUnsetTerminate](run_options_.get()), "resetting a run");
  state_.store(State::kIdle);
  return true;
}

void OrtContext::Cancel() {
  State state = State::kRunning;
  if (!state_.compare_exchange_strong(state, State::kCancelling)) return;
  const ort::Api api = graph_->api();
  (void)TakeStatus(api, api[ort::kRunOptionsSetTerminate](run_options_.get()), "cancelling a run");
  state_.store(State::kCancelled);
  state_.notify_all();
}

Result<OrtContext::Bound*> OrtContext::Find(int64_t rows) {
  Bound* oldest = &bounds_[0];
  for (Bound& bound : bounds_) {
    if (bound.rows == rows) {
      bound.last_used = ++runs_;
      return &bound;
    }
    if (bound.last_used < oldest->last_used) oldest = &bound;
  }
  GYR_RETURN_IF_ERROR(Bind(rows, oldest));
  oldest->last_used = ++runs_;
  return oldest;
}

Status OrtContext::Bind(int64_t rows, Bound* bound) {
  const ort::Api api = graph_->api();
  const bool first = !bound->binding;
  bound->rows = -1;
  bound->in_place = false;
  if (first) {
    ort::Handle<ort::OrtIoBinding> binding(api);
    GYR_RETURN_IF_ERROR(TakeStatus(
        api, api[ort::kCreateIoBinding](graph_->session(), binding.Out()), "binding memory"));
    bound->values.clear();
    bound->values.resize(tensors_.size());
    bound->binding = std::move(binding);
  }
  // Fixed tensors are bound again too: a binding that failed half-way must not stay half done.
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (source_[i] != kNone) continue;
    const OrtTensor& tensor = tensors_[i];
    const ort::OrtValue* value = fixed_[i].get();
    if (tensor.per_row) {
      ort::Handle<ort::OrtValue> fresh(api);
      GYR_RETURN_IF_ERROR(MakeValue(graph_->library(), tensor, rows, &fresh));
      bound->values[i] = std::move(fresh);
      value = bound->values[i].get();
    }
    const auto slot = i < input_count_ ? ort::kBindInput : ort::kBindOutput;
    GYR_RETURN_IF_ERROR(
        TakeStatus(api, api[slot](bound->binding.get(), tensor.binding.name.c_str(), value),
                   "binding memory"));
  }
  bound->rows = rows;
  return Status::Ok();
}

Status OrtContext::RunBound(Bound* bound) {
  const ort::Api api = graph_->api();
  Status status = TakeStatus(
      api, api[ort::kRunWithBinding](graph_->session(), run_options_.get(), bound->binding.get()),
      "running the graph");
  if (!status.ok()) {
    bound->rows = -1;  // what a failed run leaves in the binding is not documented
    return status;
  }
  if (!bound->in_place) {
    status = CheckInPlace(*bound);
    bound->in_place = status.ok();
    if (!status.ok()) bound->rows = -1;
  }
  return status;
}

void OrtContext::CopyPassedThrough(int64_t rows) const {
  for (size_t i = input_count_; i < tensors_.size(); ++i) {
    if (source_[i] == kNone) continue;
    const OrtTensor& output = tensors_[i];
    const size_t bytes = output.Bytes(rows);
    if (bytes != 0) {
      std::memmove(output.binding.data, tensors_[source_[i]].binding.data, bytes);
    }
  }
}

// The library writes into bound memory or fails; this makes sure of it once per binding, since a
// run that put its result elsewhere would leave old scores in the batch.
Status OrtContext::CheckInPlace(const Bound& bound) const {
  const ort::Api api = graph_->api();
  ort::OrtAllocator* const allocator = graph_->library().allocator();
  ort::OrtValue** values = nullptr;
  size_t count = 0;
  GYR_RETURN_IF_ERROR(TakeStatus(
      api, api[ort::kGetBoundOutputValues](bound.binding.get(), allocator, &values, &count),
      "reading outputs"));
  Status status;
  size_t next = input_count_;  // values come in the order of binding
  for (size_t i = 0; i < count; ++i) {
    const ort::Handle<ort::OrtValue> value(api, values[i]);
    while (source_[next] != kNone) ++next;
    const OrtTensor& tensor = tensors_[next++];
    void* data = nullptr;
    if (status.ok()) {
      status =
          TakeStatus(api, api[ort::kGetTensorMutableData](value.get(), &data), "reading outputs");
    }
    if (status.ok() && tensor.Bytes(bound.rows) != 0 && data != tensor.binding.data) {
      status = Status(ErrorCode::kEngineFailed,
                      "expected output " + Quote(tensor.binding.name) +
                          " in the bound memory but ONNX Runtime put it elsewhere");
    }
  }
  if (values != nullptr) {
    (void)TakeStatus(api, api[ort::kAllocatorFree](allocator, values), "reading outputs");
  }
  return status;
}

}  // namespace gyrfalcon
