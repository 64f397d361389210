#include "cusim/driver/driver.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "cusim/driver/control.h"

namespace cusim {
namespace {

const char* NameOf(const Object& object) {
  static constexpr const char* kNames[] = {"stream", "event", "module", "graph", "executable graph"};
  if (const auto* const allocated = std::get_if<Allocated>(&object.value)) {
    return allocated->host ? "pinned memory" : "device memory";
  }
  return kNames[object.value.index()];
}

}  // namespace

Driver& Driver::The() {
  static auto* const driver = new Driver;
  return *driver;
}

CUcontext ContextOf(int device) {
  return reinterpret_cast<CUcontext>(uint64_t{0x0050'0000'0000} + static_cast<uint64_t>(device) * 16);
}

std::vector<CUcontext>& Contexts() {
  thread_local std::vector<CUcontext> contexts;
  return contexts;
}

void Driver::AddAt(uint64_t handle, Object::Value value) {
  given_back_.erase(handle);
  objects[handle] = {std::move(value), Contexts().empty() ? nullptr : Contexts().back(), ++serial_};
}

Object* Driver::FindAny(uint64_t handle, const char* what) {
  const auto found = objects.find(handle);
  if (found == objects.end()) {
    const auto gone = given_back_.find(handle);
    Misuse(std::string(what) + (gone == given_back_.end()
                                    ? " that was never handed out"
                                    : " (number " + std::to_string(gone->second) +
                                          ") that was given back before"));
    return nullptr;
  }
  if (!Contexts().empty() && found->second.context != Contexts().back()) {
    Misuse(std::string(what) + " of another context");
    return nullptr;
  }
  return &found->second;
}

std::shared_ptr<Stream> Driver::FindStream(CUstream handle) {
  auto* const found = Find<std::shared_ptr<Stream>>(handle, "a stream");
  return found == nullptr ? nullptr : *found;
}

CUresult Driver::Forget(uint64_t handle, const char* what) {
  // Who gets the failure of work from it may call once more.
  if (sticky != CUDA_SUCCESS && given_back_.contains(handle)) return sticky;
  Object* const found = FindAny(handle, what);
  if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  given_back_[handle] = found->serial;
  objects.erase(handle);
  return sticky;
}

void Driver::Misuse(const std::string& what) {
  ++misuses;
  last_misuse = what;
  std::fprintf(stderr, "CUDA simulator: %s\n", what.c_str());
}

void Driver::Fail(const WorkFault& fault) {
  if (fault.error == CUDA_SUCCESS) return;
  if (!fault.report.empty()) Misuse(fault.report);
  sticky = fault.error;
  scheduler.DropAll();
}

void Driver::Plan(std::string_view setting) {
  fail = {};
  calls.clear();
  const size_t first = setting.find(':');
  const size_t second = first == std::string_view::npos ? first : setting.find(':', first + 1);
  if (second == std::string_view::npos) return;
  fail.function = setting.substr(0, first);
  fail.nth = std::atoi(std::string(setting.substr(first + 1)).c_str());
  fail.error =
      static_cast<CUresult>(std::atoi(std::string(setting.substr(second + 1)).c_str()));
}

void Driver::ReadEnvironment() {
  const auto read = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string setting = read("CUSIM_FAIL"); setting != fail_setting_) {
    fail_setting_ = std::move(setting);
    Plan(fail_setting_);
  }
  if (std::string setting = read("CUSIM_ORDER"); setting != order_setting_) {
    order_setting_ = std::move(setting);
    SetOrder(order_setting_);
  }
  if (const std::string setting = read("CUSIM_LIMIT"); !setting.empty()) {
    memory.set_limit(std::strtoull(setting.c_str(), nullptr, 10));
  }
}

std::string Driver::Leaks() const {
  std::string text;
  for (const auto& [handle, object] : objects) {
    text += std::string(NameOf(object)) + " (number " + std::to_string(object.serial) + ")";
    if (const auto* const allocated = std::get_if<Allocated>(&object.value)) {
      text += " of " + std::to_string(allocated->bytes) + " bytes";
    }
    text += "\n";
  }
  for (int device = 0; device < kDevices; ++device) {
    const int times = retained[static_cast<size_t>(device)];
    if (times == 0) continue;
    text += "context of device " + std::to_string(device) + ", retained " + std::to_string(times) +
            " times\n";
  }
  return text;
}

int Driver::Live() const {
  int live = static_cast<int>(objects.size());
  for (const int times : retained) live += times;
  return live;
}

CUresult Driver::WaitFor(std::unique_lock<std::mutex>* lock, const std::shared_ptr<Stream>& stream,
                         uint64_t position) {
  while (sticky == CUDA_SUCCESS && stream->done < position) {
    const uint64_t before = stream->done;
    WorkFault fault;
    if (!scheduler.Advance(stream.get(), &memory, &fault)) {
      Misuse("a wait for work that nothing can finish");
      return CUDA_ERROR_UNKNOWN;
    }
    if (stream->done != before && fail_work > 0 && --fail_work == 0) fault.error = fail_work_error;
    Fail(fault);
    // Other threads go on meanwhile.
    lock->unlock();
    if (scheduler.order == Order::kSeeded) std::this_thread::yield();
    lock->lock();
  }
  return sticky;
}

void Driver::Drift() {
  WorkFault fault;
  if (sticky == CUDA_SUCCESS) scheduler.Drift(&memory, &fault);
  Fail(fault);
}

CUresult Driver::Enqueue(Stream* stream, Work work, std::shared_ptr<Stream> waits_for) {
  if (stream->capture != nullptr && stream->capture->invalid) {
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  scheduler.Enqueue(stream, std::move(work), std::move(waits_for));
  Drift();
  return sticky;
}

bool Driver::InUse(uint64_t address, size_t bytes) const {
  for (const std::shared_ptr<Stream>& stream : scheduler.streams) {
    for (const std::unique_ptr<Task>& task : stream->queue) {
      if (task->Uses(address, bytes)) return true;
    }
  }
  return false;
}

void Driver::Reset() {
  scheduler.DropAll();
  sticky = CUDA_SUCCESS;
  misuses = 0;
  last_misuse.clear();
  fail_work = 0;
  Plan("");
}

Call::Call(const char* function, unsigned needs)
    : driver_(Driver::The()), lock_(driver_.mutex), early_(Begin(function, needs)) {}

CUresult Call::Begin(const char* function, unsigned needs) {
  driver_.ReadEnvironment();
  const int nth = ++driver_.calls[function];
  if (driver_.fail.function == function && driver_.fail.nth == nth) return driver_.fail.error;
  if (!driver_.initialized && (needs & kContext) != 0) return CUDA_ERROR_NOT_INITIALIZED;
  if (driver_.scheduler.order == Order::kSeeded) driver_.Drift();
  if ((needs & kNotCapturing) != 0) {
    for (const std::shared_ptr<Stream>& stream : driver_.scheduler.streams) {
      Capture* const capture = stream->capture.get();
      if (capture == nullptr || capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED) continue;
      if (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
          capture->thread != std::this_thread::get_id()) {
        continue;
      }
      capture->invalid = true;
      driver_.Misuse(std::string(function) + " while a stream is captured");
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
  }
  if ((needs & kContext) == 0) return CUDA_SUCCESS;
  if (driver_.sticky != CUDA_SUCCESS && (needs & kGivesBack) == 0) return driver_.sticky;
  if (Contexts().empty()) {
    driver_.Misuse(std::string(function) + " without a context");
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  return CUDA_SUCCESS;
}

CUresult Call::Done(CUresult result) const {
  return result != CUDA_SUCCESS ? result : driver_.sticky;
}

}  // namespace cusim
