// The state of the simulated driver, and what each of its functions begins with.
#ifndef GYRFALCON_CUSIM_DRIVER_DRIVER_H_
#define GYRFALCON_CUSIM_DRIVER_DRIVER_H_

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cusim/driver/work.h"
#include "cusim/ptx.h"

namespace cusim {

struct Event {
  std::shared_ptr<Stream> stream;  // null: not recorded yet
  uint64_t position = 0;
  std::shared_ptr<Capture> capture;  // recorded into a graph
  std::vector<size_t> nodes;
};

struct LoadedModule {
  const Module* module = nullptr;
};

struct GraphExec {
  std::shared_ptr<const GraphNodes> nodes;
};

struct Allocated {
  size_t bytes = 0;
  bool host = false;
};

// What was handed out and not given back.
struct Object {
  using Value = std::variant<std::shared_ptr<Stream>, std::shared_ptr<Event>, LoadedModule,
                             std::shared_ptr<GraphNodes>, GraphExec, Allocated>;
  Value value;
  CUcontext context = nullptr;
  uint64_t serial = 0;
};

struct FailPlan {
  std::string function;
  int nth = 0;
  CUresult error = CUDA_SUCCESS;
};

class Driver {
 public:
  static constexpr int kDevices = 2;

  // Leaked: objects of the host that are destroyed with the process still call the driver.
  static Driver& The();

  // Never used again, so that a handle that was given back is always known as such.
  uint64_t NextHandle() { return kFirstHandle + 16 * ++handles_; }

  template <class H>
  H Add(Object::Value value) {
    const uint64_t handle = NextHandle();
    AddAt(handle, std::move(value));
    return reinterpret_cast<H>(handle);
  }
  void AddAt(uint64_t handle, Object::Value value);

  // Null, and a misuse, when there is no such object of this context.
  template <class T>
  T* Find(const void* handle, const char* what) {
    Object* const found = FindAny(reinterpret_cast<uint64_t>(handle), what);
    T* const value = found == nullptr ? nullptr : std::get_if<T>(&found->value);
    if (found != nullptr && value == nullptr) Misuse(std::string("expected ") + what);
    return value;
  }
  // CUDA_SUCCESS, or what a function that gives back returns.
  CUresult Forget(uint64_t handle, const char* what);

  // Null, and a misuse, as well.
  std::shared_ptr<Stream> FindStream(CUstream handle);

  void Misuse(const std::string& what);
  // Work that failed: every call fails from now on.
  void Fail(const WorkFault& fault);
  void ReadEnvironment();
  void Plan(std::string_view setting);
  std::string Leaks() const;
  int Live() const;
  CUresult WaitFor(std::unique_lock<std::mutex>* lock, const std::shared_ptr<Stream>& stream,
                   uint64_t position);
  void Drift();
  // Into the stream, or the graph that it is captured into.
  CUresult Enqueue(Stream* stream, Work work, std::shared_ptr<Stream> waits_for = nullptr);
  // Whether work that is under way names memory of this range.
  bool InUse(uint64_t address, size_t bytes) const;
  // Forgets a failure of work, as the end of the process would, and all that was reported.
  void Reset();

  std::mutex mutex;
  Memory memory;
  Scheduler scheduler;
  LaunchTotals totals;
  std::map<uint64_t, Object> objects;
  std::map<std::string, std::unique_ptr<Module>, std::less<>> parsed;  // by text
  std::map<uint64_t, std::pair<CUmodule, const Kernel*>> functions;
  std::array<int, kDevices> retained{};
  std::map<std::string, int, std::less<>> calls;
  FailPlan fail;
  int fail_work = 0;  // so many pieces of work from now one fails
  CUresult fail_work_error = CUDA_SUCCESS;
  int misuses = 0;
  std::string last_misuse;
  CUresult sticky = CUDA_SUCCESS;
  bool initialized = false;

 private:
  static constexpr uint64_t kFirstHandle = 0x0051'0000'0000;

  Object* FindAny(uint64_t handle, const char* what);

  uint64_t handles_ = 0;
  uint64_t serial_ = 0;
  std::map<uint64_t, uint64_t> given_back_;  // handles, and their serials
  std::string fail_setting_;
  std::string order_setting_;
};

CUcontext ContextOf(int device);
// The contexts of this thread, the current one last.
std::vector<CUcontext>& Contexts();

// The begin of every function: takes the lock, counts the call, lets time pass, and says what is to
// be returned when the call cannot go on.
class Call {
 public:
  enum Needs : unsigned {
    kNothing = 0,
    kContext = 1,       // a current context, and none whose work failed
    kGivesBack = 2,     // goes on after a failure of work, and returns that
    kNotCapturing = 4,  // may not be called by a thread that captures a stream
  };
  Call(const char* function, unsigned needs);

  CUresult early() const { return early_; }
  // What a function that got through returns.
  CUresult Done(CUresult result = CUDA_SUCCESS) const;
  std::unique_lock<std::mutex>* lock() { return &lock_; }

 private:
  CUresult Begin(const char* function, unsigned needs);

  Driver& driver_;
  std::unique_lock<std::mutex> lock_;
  CUresult early_;
};

#define CUSIM_CALL(function, needs)                   \
  [[maybe_unused]] Driver& driver = Driver::The();    \
  Call call(#function, needs);                        \
  if (call.early() != CUDA_SUCCESS) return call.early()

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_DRIVER_DRIVER_H_
