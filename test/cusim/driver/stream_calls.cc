// Streams, events, graphs, and launches.
#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "cusim/driver/driver.h"

using namespace cusim;  // NOLINT: every function here is the driver's

namespace {

std::shared_ptr<Event> FindEvent(Driver& driver, CUevent handle) {
  auto* const found = driver.Find<std::shared_ptr<Event>>(handle, "an event");
  return found == nullptr ? nullptr : *found;
}

// A stream that is asked how far it is. Of one that is captured that ends the capture.
CUresult FindUncaptured(Driver& driver, CUstream handle, const char* what,
                        std::shared_ptr<Stream>* stream) {
  *stream = driver.FindStream(handle);
  if (*stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  Capture* const capture = (*stream)->capture.get();
  if (capture == nullptr) return CUDA_SUCCESS;
  capture->invalid = true;
  driver.Misuse(std::string(what) + " of a stream that is captured");
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

// Whether all that was captured comes before the end of the stream that the capture began with.
bool Joined(const Capture& capture) {
  std::set<size_t> before;
  std::vector<size_t> next = capture.origin->tail;
  while (!next.empty()) {
    const size_t node = next.back();
    next.pop_back();
    if (!before.insert(node).second) continue;
    const std::vector<size_t>& after = capture.nodes[node].after;
    next.insert(next.end(), after.begin(), after.end());
  }
  return before.size() == capture.nodes.size();
}

bool FitsDevice(const Launch& launch) {
  const Dim3& grid = launch.grid;
  const Dim3& block = launch.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535) {
    return false;
  }
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > 1024 || block.y > 1024 ||
      block.z > 64) {
    return false;
  }
  return uint64_t{block.x} * block.y * block.z <= 1024 &&
         launch.dynamic_shared + launch.kernel->shared_bytes <= 49152;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned flags) {
  CUSIM_CALL(cuStreamCreate, Call::kContext);
  if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_shared<Stream>();
  driver.scheduler.streams.push_back(made);
  *stream = driver.Add<CUstream>(std::move(made));
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamDestroy(CUstream handle) {
  CUSIM_CALL(cuStreamDestroy, Call::kContext | Call::kGivesBack);
  if (driver.sticky == CUDA_SUCCESS) {
    const std::shared_ptr<Stream> stream = driver.FindStream(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->queue.empty()) driver.Misuse("a stream that is destroyed under its work");
    if (stream->capture != nullptr) driver.Misuse("a stream that is destroyed while captured");
    // Events still know it; its work is dropped.
    stream->queue.clear();
    stream->waits_for.clear();
    stream->done = stream->enqueued;
    std::erase(driver.scheduler.streams, stream);
  }
  return driver.Forget(reinterpret_cast<uint64_t>(handle), "a stream");
}

CUresult CUDAAPI cuStreamSynchronize(CUstream handle) {
  CUSIM_CALL(cuStreamSynchronize, Call::kContext);
  std::shared_ptr<Stream> stream;
  const CUresult found = FindUncaptured(driver, handle, "a wait", &stream);
  if (found != CUDA_SUCCESS) return found;
  return call.Done(driver.WaitFor(call.lock(), stream, stream->enqueued));
}

CUresult CUDAAPI cuStreamQuery(CUstream handle) {
  CUSIM_CALL(cuStreamQuery, Call::kContext);
  std::shared_ptr<Stream> stream;
  const CUresult found = FindUncaptured(driver, handle, "a query", &stream);
  if (found != CUDA_SUCCESS) return found;
  return stream->queue.empty() ? call.Done() : CUDA_ERROR_NOT_READY;
}

CUresult CUDAAPI cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned flags) {
  CUSIM_CALL(cuStreamWaitEvent, Call::kContext);
  const std::shared_ptr<Stream> stream = driver.FindStream(handle);
  const std::shared_ptr<Event> event = FindEvent(driver, event_handle);
  if (stream == nullptr || event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (event->capture != nullptr) {
    if (stream->capture == nullptr) {
      // Work of the stream that is not captured would come before what is.
      if (!stream->queue.empty()) driver.Misuse("a stream with work that joins a capture");
      stream->capture = event->capture;
      stream->capture->streams.insert(stream.get());
      stream->tail = event->nodes;
      return CUDA_SUCCESS;
    }
    if (stream->capture != event->capture) return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    stream->tail.insert(stream->tail.end(), event->nodes.begin(), event->nodes.end());
    return CUDA_SUCCESS;
  }
  if (stream->capture != nullptr) return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  if (event->stream == nullptr) return CUDA_SUCCESS;
  return driver.Enqueue(stream.get(), WaitWork(event->stream, event->position), event->stream);
}

CUresult CUDAAPI cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
  CUSIM_CALL(cuStreamBeginCapture, Call::kContext);
  const std::shared_ptr<Stream> stream = driver.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>();
  capture->origin = stream.get();
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams.insert(stream.get());
  stream->capture = std::move(capture);
  stream->tail.clear();
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  CUSIM_CALL(cuStreamEndCapture, Call::kContext);
  *graph = nullptr;
  const std::shared_ptr<Stream> stream = driver.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  if (capture->origin != stream.get()) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
      capture->thread != std::this_thread::get_id()) {
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  }
  const bool joined = Joined(*capture);
  for (Stream* each : capture->streams) {
    each->capture = nullptr;
    each->tail.clear();
  }
  if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!joined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  *graph = driver.Add<CUgraph>(std::make_shared<GraphNodes>(std::move(capture->nodes)));
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned flags) {
  CUSIM_CALL(cuEventCreate, Call::kContext);
  if (flags > (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)) return CUDA_ERROR_INVALID_VALUE;
  *event = driver.Add<CUevent>(std::make_shared<Event>());
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventDestroy(CUevent event) {
  CUSIM_CALL(cuEventDestroy, Call::kContext | Call::kGivesBack);
  return driver.Forget(reinterpret_cast<uint64_t>(event), "an event");
}

CUresult CUDAAPI cuEventRecord(CUevent handle, CUstream stream_handle) {
  CUSIM_CALL(cuEventRecord, Call::kContext);
  const std::shared_ptr<Event> event = FindEvent(driver, handle);
  const std::shared_ptr<Stream> stream = driver.FindStream(stream_handle);
  if (event == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  event->capture = stream->capture;
  event->nodes = stream->tail;
  event->stream = stream;
  event->position = stream->enqueued;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventSynchronize(CUevent handle) {
  CUSIM_CALL(cuEventSynchronize, Call::kContext);
  const std::shared_ptr<Event> event = FindEvent(driver, handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture != nullptr) {
    event->capture->invalid = true;
    return CUDA_ERROR_CAPTURED_EVENT;
  }
  if (event->stream == nullptr) return call.Done();
  return call.Done(driver.WaitFor(call.lock(), event->stream, event->position));
}

CUresult CUDAAPI cuEventQuery(CUevent handle) {
  CUSIM_CALL(cuEventQuery, Call::kContext);
  const std::shared_ptr<Event> event = FindEvent(driver, handle);
  if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (event->capture != nullptr) return CUDA_ERROR_CAPTURED_EVENT;
  const bool done = event->stream == nullptr || event->stream->done >= event->position;
  return done ? call.Done() : CUDA_ERROR_NOT_READY;
}

CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph,
                                             unsigned long long flags) {
  CUSIM_CALL(cuGraphInstantiateWithFlags, Call::kContext);
  auto* const nodes = driver.Find<std::shared_ptr<GraphNodes>>(graph, "a graph");
  if (nodes == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  *exec = driver.Add<CUgraphExec>(GraphExec{std::make_shared<const GraphNodes>(**nodes)});
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  CUSIM_CALL(cuGraphDestroy, Call::kContext | Call::kGivesBack);
  return driver.Forget(reinterpret_cast<uint64_t>(graph), "a graph");
}

CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec handle) {
  CUSIM_CALL(cuGraphExecDestroy, Call::kContext | Call::kGivesBack);
  if (driver.sticky == CUDA_SUCCESS) {
    const auto* const exec = driver.Find<GraphExec>(handle, "an executable graph");
    if (exec == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    // A launch that is under way holds the nodes, and so does its recipe while it is made.
    if (exec->nodes.use_count() > 1) driver.Misuse("an executable graph destroyed while it runs");
  }
  return driver.Forget(reinterpret_cast<uint64_t>(handle), "an executable graph");
}

CUresult CUDAAPI cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  CUSIM_CALL(cuGraphLaunch, Call::kContext);
  const auto* const exec = driver.Find<GraphExec>(handle, "an executable graph");
  const std::shared_ptr<Stream> stream = driver.FindStream(stream_handle);
  if (exec == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return driver.Enqueue(stream.get(), GraphWork(exec->nodes));
}

CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y,
                                unsigned grid_z, unsigned block_x, unsigned block_y,
                                unsigned block_z, unsigned shared_bytes, CUstream stream_handle,
                                void** arguments, void** extra) {
  CUSIM_CALL(cuLaunchKernel, Call::kContext);
  const std::shared_ptr<Stream> stream = driver.FindStream(stream_handle);
  const auto known = driver.functions.find(reinterpret_cast<uint64_t>(function));
  if (stream == nullptr || known == driver.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
  Launch launch;
  launch.kernel = known->second.second;
  launch.grid = {grid_x, grid_y, grid_z};
  launch.block = {block_x, block_y, block_z};
  launch.dynamic_shared = shared_bytes;
  const std::vector<Parameter>& parameters = launch.kernel->parameters;
  if (!FitsDevice(launch) || extra != nullptr || (arguments == nullptr && !parameters.empty())) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (uint64_t{block_x} * block_y * block_z > launch.kernel->max_threads) {
    return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  }
  // Arguments are taken now, and so in a graph.
  launch.parameters.resize(launch.kernel->parameter_bytes);
  for (size_t i = 0; i < parameters.size(); ++i) {
    std::memcpy(launch.parameters.data() + parameters[i].offset, arguments[i],
                parameters[i].bytes);
  }
  return driver.Enqueue(stream.get(), LaunchWork(std::move(launch), &driver.totals));
}

}  // extern "C"
#pragma GCC visibility pop
