// A CUDA driver that runs the PTX of a fatbin on the simulator of test/cusim, for the host's code.
// Work on a stream waits until somebody synchronises with it: what the host frees, overwrites or
// reads too early shows. Environment (read at each call, so that a Node process can use it):
//   CUDASIM_FAIL    FUNCTION:NTH:ERROR, as cudasim_fail
//   CUDASIM_PROMPT  1: work is done at once
//   CUDASIM_LIMIT   bytes of the device's memory
//   CUDASIM_REPORT  a file that gets "LIVE MISUSE", in decimal, when the process ends
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backends/cuda/driver_api.h"
#include "cusim/machine.h"
#include "cusim/memory.h"
#include "cusim/ptx.h"

namespace {

using namespace gyrfalcon::cuda;  // NOLINT: the declarations under test

constexpr CuResult kInvalidValue = 1;
constexpr CuResult kInvalidContext = 201;
constexpr CuResult kInvalidHandle = 400;
constexpr CuResult kIllegalAddress = 700;

struct Op {
  // A copy,
  CuDevicePtr to = 0;
  const void* from = nullptr;
  size_t bytes = 0;
  // or a launch.
  const cusim::Kernel* kernel = nullptr;
  cusim::Dim3 grid;
  cusim::Dim3 block;
  std::vector<std::byte> parameters;
};

struct SimStream {
  std::vector<Op> queue;
  bool capturing = false;
  std::vector<Op> captured;
};

struct SimEvent {
  SimStream* stream = nullptr;
};

struct SimModule {
  cusim::Module* module = nullptr;  // of State::parsed
};

struct State {
  std::mutex mutex;
  cusim::Memory memory;
  std::set<SimStream*> streams;
  std::set<SimEvent*> events;
  std::set<SimModule*> modules;
  std::map<const void*, std::unique_ptr<cusim::Module>> parsed;  // by image: parsing takes long
  std::set<std::vector<Op>*> graphs;
  std::set<std::vector<Op>*> execs;
  std::map<std::string, int, std::less<>> calls;
  std::string fail;
  int fail_nth = 0;
  int fail_error = 0;
  std::string fail_setting;
  int contexts = 0;
  int misuse = 0;
  bool prompt = false;
  CuResult sticky = 0;
  uint64_t seed = 0;

  int Live() const {
    return contexts + static_cast<int>(streams.size() + events.size() + modules.size() +
                                       graphs.size() + execs.size() + memory.allocations().size());
  }
};

thread_local int current = 0;  // depth of contexts on this thread

State& S() {
  static auto* const state = new State;
  return *state;
}

void Misuse(const std::string& what) {
  ++S().misuse;
  std::fprintf(stderr, "CUDA simulator: %s\n", what.c_str());
}

void Plan(const char* function, int nth, int error) {
  S().fail = function == nullptr ? "" : function;
  S().fail_nth = nth;
  S().fail_error = error;
  S().calls.clear();
}

void ReadEnvironment() {
  const char* const fail = std::getenv("CUDASIM_FAIL");
  const std::string setting = fail == nullptr ? "" : fail;
  if (setting != S().fail_setting) {
    S().fail_setting = setting;
    const size_t first = setting.find(':');
    const size_t second = setting.find(':', first + 1);
    if (second == std::string::npos) {
      Plan(nullptr, 0, 0);
    } else {
      Plan(setting.substr(0, first).c_str(), std::atoi(setting.c_str() + first + 1),
           std::atoi(setting.c_str() + second + 1));
    }
  }
  if (const char* const prompt = std::getenv("CUDASIM_PROMPT")) S().prompt = *prompt == '1';
  if (const char* const limit = std::getenv("CUDASIM_LIMIT")) {
    S().memory.set_limit(std::strtoull(limit, nullptr, 10));
  }
}

// Counts a call; what it is to return when it is to fail.
CuResult Enter(const char* function, bool needs_context) {
  ReadEnvironment();
  const int nth = ++S().calls[function];
  if (S().fail == function && S().fail_nth == nth) return S().fail_error;
  if (S().sticky != 0 && needs_context) return S().sticky;
  if (needs_context && current == 0) {
    Misuse(std::string(function) + " without a context");
    return kInvalidContext;
  }
  return 0;
}

#define SIM_ENTER(function, needs_context) \
  const std::lock_guard lock(S().mutex);   \
  if (const CuResult entered = Enter(function, needs_context); entered != 0) return entered

void RunOp(const Op& op) {
  std::string fault;
  if (op.kernel == nullptr) {
    std::byte* const to = S().memory.At(op.to, op.bytes, 1, cusim::Memory::Access::kWrite, &fault);
    if (to == nullptr) {
      Misuse("copy: " + fault);
      S().sticky = kIllegalAddress;
      return;
    }
    std::memcpy(to, op.from, op.bytes);
    return;
  }
  cusim::Launch launch;
  launch.kernel = op.kernel;
  launch.grid = op.grid;
  launch.block = op.block;
  launch.parameters = op.parameters;
  launch.seed = ++S().seed;
  const cusim::LaunchResult result = cusim::RunLaunch(launch, &S().memory);
  if (result.fault != cusim::Fault::kNone) {
    Misuse(result.report);
    S().sticky = kIllegalAddress;
  }
}

void Run(SimStream* stream) {
  for (const Op& op : stream->queue) {
    if (S().sticky == 0) RunOp(op);
  }
  stream->queue.clear();
}

CuResult Enqueue(CuStream handle, Op op) {
  auto* const stream = reinterpret_cast<SimStream*>(handle);
  if (!S().streams.contains(stream)) {
    Misuse("unknown stream");
    return kInvalidHandle;
  }
  (stream->capturing ? stream->captured : stream->queue).push_back(std::move(op));
  if (S().prompt && !stream->capturing) Run(stream);
  return S().sticky;
}

CuResult Init(unsigned) {
  SIM_ENTER("cuInit", false);
  return 0;
}
CuResult DriverGetVersion(int* version) {
  SIM_ENTER("cuDriverGetVersion", false);
  *version = 12040;
  return 0;
}
CuResult GetErrorName(CuResult error, const char** name) {
  SIM_ENTER("cuGetErrorName", false);
  static const std::map<int, const char*> names = {{1, "CUDA_ERROR_INVALID_VALUE"},
                                                   {2, "CUDA_ERROR_OUT_OF_MEMORY"},
                                                   {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
                                                   {999, "CUDA_ERROR_UNKNOWN"}};
  const auto found = names.find(error);
  if (found == names.end()) return kInvalidValue;
  *name = found->second;
  return 0;
}
CuResult GetErrorString(CuResult error, const char** text) {
  SIM_ENTER("cuGetErrorString", false);
  *text = "simulated";
  return error >= 0 ? 0 : kInvalidValue;
}
CuResult DeviceGetCount(int* count) {
  SIM_ENTER("cuDeviceGetCount", false);
  *count = 2;
  return 0;
}
CuResult DeviceGet(CuDevice* device, int ordinal) {
  SIM_ENTER("cuDeviceGet", false);
  *device = ordinal;
  return 0;
}
CuResult DeviceGetName(char* name, int length, CuDevice device) {
  SIM_ENTER("cuDeviceGetName", false);
  std::snprintf(name, static_cast<size_t>(length), "Simulated device %d", device);
  return 0;
}
CuResult DeviceGetAttribute(int* value, int attribute, CuDevice device) {
  SIM_ENTER("cuDeviceGetAttribute", false);
  // Device 1 is too old for our kernels.
  *value = attribute == kCuAttributeMajor             ? (device == 0 ? 8 : 6)
           : attribute == kCuAttributeMinor           ? (device == 0 ? 0 : 1)
           : attribute == kCuAttributeMultiprocessors ? 4
                                                      : 1;
  return 0;
}
CuResult DeviceTotalMem(size_t* bytes, CuDevice) {
  SIM_ENTER("cuDeviceTotalMem", false);
  *bytes = S().memory.limit();
  return 0;
}
CuResult PrimaryCtxRetain(CuContext* context, CuDevice device) {
  SIM_ENTER("cuDevicePrimaryCtxRetain", false);
  ++S().contexts;
  *context = reinterpret_cast<CuContext>(static_cast<uintptr_t>(device) + 1);
  return S().sticky;
}
CuResult PrimaryCtxRelease(CuDevice) {
  SIM_ENTER("cuDevicePrimaryCtxRelease", false);
  if (--S().contexts < 0) Misuse("a context released twice");
  return 0;
}
CuResult CtxPush(CuContext context) {
  SIM_ENTER("cuCtxPushCurrent", false);
  if (context == nullptr || S().contexts == 0) {
    Misuse("unknown context");
    return kInvalidContext;
  }
  ++current;
  return 0;
}
CuResult CtxPop(CuContext* context) {
  SIM_ENTER("cuCtxPopCurrent", false);
  if (current == 0) return kInvalidContext;
  --current;
  *context = reinterpret_cast<CuContext>(uintptr_t{1});
  return 0;
}

// The PTX in a fatbin that was made without compression.
std::string_view PtxOf(const void* image) {
  const auto* const bytes = static_cast<const char*>(image);
  uint32_t magic = 0;
  uint64_t size = 0;
  std::memcpy(&magic, bytes, sizeof(magic));
  std::memcpy(&size, bytes + 8, sizeof(size));
  if (magic != 0xBA55ED50) return {};
  const std::string_view all(bytes, 16 + size);
  const size_t begin = all.find(".version ");
  if (begin == std::string_view::npos) return {};
  return all.substr(begin, all.find('\0', begin) - begin);
}

CuResult ModuleLoadData(CuModule* module, const void* image) {
  SIM_ENTER("cuModuleLoadData", true);
  std::unique_ptr<cusim::Module>& known = S().parsed[image];
  if (known == nullptr) {
    auto parsed = cusim::ParsePtx(PtxOf(image));
    if (const auto* const error = std::get_if<cusim::ParseError>(&parsed)) {
      Misuse("line " + std::to_string(error->line) + " of the PTX: " + error->message);
      return kCuNoBinaryForGpu;
    }
    known.reset(std::get<cusim::Module*>(parsed));
  }
  auto* const made = new SimModule{known.get()};
  S().modules.insert(made);
  *module = reinterpret_cast<CuModule>(made);
  return 0;
}

template <class T>
CuResult Forget(std::set<T*>* known, void* handle) {
  auto* const it = static_cast<T*>(handle);
  if (known->erase(it) == 0) {
    Misuse("unknown handle");
    return kInvalidHandle;
  }
  delete it;
  return 0;
}

CuResult ModuleUnload(CuModule module) {
  SIM_ENTER("cuModuleUnload", false);
  for (SimStream* stream : S().streams) {
    if (!stream->queue.empty()) Misuse("a module unloaded under a stream with work");
  }
  return Forget(&S().modules, module);
}
CuResult ModuleGetFunction(CuFunction* function, CuModule module, const char* name) {
  SIM_ENTER("cuModuleGetFunction", true);
  auto& kernels = reinterpret_cast<SimModule*>(module)->module->kernels;
  const auto found = kernels.find(std::string_view(name));
  if (found == kernels.end()) return 500;
  *function = reinterpret_cast<CuFunction>(&found->second);
  return 0;
}
CuResult MemGetInfo(size_t* free, size_t* total) {
  SIM_ENTER("cuMemGetInfo", true);
  *total = S().memory.limit();
  *free = *total - std::min(*total, S().memory.used());
  return 0;
}
CuResult MemAlloc(CuDevicePtr* address, size_t bytes) {
  SIM_ENTER("cuMemAlloc", true);
  if (bytes > S().memory.limit() - std::min(S().memory.limit(), S().memory.used())) {
    return kCuOutOfMemory;
  }
  *address = S().memory.AllocateDevice(bytes);
  return *address == 0 ? kCuOutOfMemory : 0;
}
// Freeing waits for the device.
void RunAll() {
  for (SimStream* stream : S().streams) Run(stream);
}
CuResult MemFree(CuDevicePtr address) {
  SIM_ENTER("cuMemFree", false);
  RunAll();
  if (S().memory.Free(address, false)) return 0;
  Misuse("unknown device memory freed");
  return kInvalidValue;
}
CuResult MemHostAlloc(void** memory, size_t bytes, unsigned) {
  SIM_ENTER("cuMemHostAlloc", true);
  *memory = S().memory.AllocateHost(bytes);
  if (*memory != nullptr) std::memset(*memory, 0xcd, bytes);
  return *memory == nullptr ? kCuOutOfMemory : 0;
}
CuResult MemFreeHost(void* memory) {
  SIM_ENTER("cuMemFreeHost", false);
  for (SimStream* stream : S().streams) {
    for (const Op& op : stream->queue) {
      if (op.kernel == nullptr && op.from == memory) Misuse("memory freed under a copy");
    }
  }
  RunAll();
  if (S().memory.Free(reinterpret_cast<uint64_t>(memory), true)) return 0;
  Misuse("unknown host memory freed");
  return kInvalidValue;
}
CuResult MemHostGetDevicePointer(CuDevicePtr* address, void* memory, unsigned) {
  SIM_ENTER("cuMemHostGetDevicePointer", true);
  *address = reinterpret_cast<CuDevicePtr>(memory);
  return 0;
}
CuResult MemcpyHtoD(CuDevicePtr to, const void* from, size_t bytes, CuStream stream) {
  SIM_ENTER("cuMemcpyHtoDAsync", true);
  Op op;
  op.to = to;
  op.from = from;
  op.bytes = bytes;
  return Enqueue(stream, std::move(op));
}
CuResult StreamCreate(CuStream* stream, unsigned) {
  SIM_ENTER("cuStreamCreate", true);
  auto* const made = new SimStream;
  S().streams.insert(made);
  *stream = reinterpret_cast<CuStream>(made);
  return 0;
}
CuResult StreamDestroy(CuStream stream) {
  SIM_ENTER("cuStreamDestroy", false);
  auto* const it = reinterpret_cast<SimStream*>(stream);
  if (S().streams.contains(it) && !it->queue.empty()) Misuse("a stream destroyed with work in it");
  return Forget(&S().streams, stream);
}
CuResult StreamSynchronize(CuStream stream) {
  SIM_ENTER("cuStreamSynchronize", true);
  Run(reinterpret_cast<SimStream*>(stream));
  return S().sticky;
}
CuResult StreamBeginCapture(CuStream stream, int) {
  SIM_ENTER("cuStreamBeginCapture", true);
  auto* const it = reinterpret_cast<SimStream*>(stream);
  it->capturing = true;
  it->captured.clear();
  return 0;
}
CuResult StreamEndCapture(CuStream stream, CuGraph* graph) {
  SIM_ENTER("cuStreamEndCapture", true);
  auto* const it = reinterpret_cast<SimStream*>(stream);
  if (!it->capturing) return 901;
  it->capturing = false;
  auto* const made = new std::vector<Op>(std::move(it->captured));
  S().graphs.insert(made);
  *graph = reinterpret_cast<CuGraph>(made);
  return 0;
}
CuResult EventCreate(CuEvent* event, unsigned) {
  SIM_ENTER("cuEventCreate", true);
  auto* const made = new SimEvent;
  S().events.insert(made);
  *event = reinterpret_cast<CuEvent>(made);
  return 0;
}
CuResult EventDestroy(CuEvent event) {
  SIM_ENTER("cuEventDestroy", false);
  return Forget(&S().events, event);
}
CuResult EventRecord(CuEvent event, CuStream stream) {
  SIM_ENTER("cuEventRecord", true);
  reinterpret_cast<SimEvent*>(event)->stream = reinterpret_cast<SimStream*>(stream);
  return 0;
}
CuResult EventSynchronize(CuEvent event) {
  SIM_ENTER("cuEventSynchronize", true);
  SimStream* const stream = reinterpret_cast<SimEvent*>(event)->stream;
  if (stream != nullptr && S().streams.contains(stream)) Run(stream);
  return S().sticky;
}
CuResult GraphInstantiate(CuGraphExec* exec, CuGraph graph, unsigned long long) {
  SIM_ENTER("cuGraphInstantiateWithFlags", true);
  auto* const made = new std::vector<Op>(*reinterpret_cast<std::vector<Op>*>(graph));
  S().execs.insert(made);
  *exec = reinterpret_cast<CuGraphExec>(made);
  return 0;
}
CuResult GraphDestroy(CuGraph graph) {
  SIM_ENTER("cuGraphDestroy", false);
  return Forget(&S().graphs, graph);
}
CuResult GraphExecDestroy(CuGraphExec exec) {
  SIM_ENTER("cuGraphExecDestroy", false);
  return Forget(&S().execs, exec);
}
CuResult GraphLaunch(CuGraphExec exec, CuStream stream) {
  SIM_ENTER("cuGraphLaunch", true);
  for (const Op& op : *reinterpret_cast<std::vector<Op>*>(exec)) {
    if (const CuResult result = Enqueue(stream, op); result != 0) return result;
  }
  return 0;
}
CuResult LaunchKernel(CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned,
                      CuStream stream, void** arguments, void**) {
  SIM_ENTER("cuLaunchKernel", true);
  Op op;
  op.kernel = reinterpret_cast<const cusim::Kernel*>(function);
  op.grid = {grid_x, grid_y, grid_z};
  op.block = {block_x, block_y, block_z};
  op.parameters.resize(op.kernel->parameter_bytes);
  for (size_t i = 0; i < op.kernel->parameters.size(); ++i) {
    const cusim::Parameter& parameter = op.kernel->parameters[i];
    std::memcpy(op.parameters.data() + parameter.offset, arguments[i], parameter.bytes);
  }
  return Enqueue(stream, std::move(op));
}

// In the order of the table, so that each has the type that is declared there.
const DriverApi kApi = {&Init,
                        &DriverGetVersion,
                        &GetErrorName,
                        &GetErrorString,
                        &DeviceGetCount,
                        &DeviceGet,
                        &DeviceGetName,
                        &DeviceGetAttribute,
                        &DeviceTotalMem,
                        &PrimaryCtxRetain,
                        &PrimaryCtxRelease,
                        &CtxPush,
                        &CtxPop,
                        &ModuleLoadData,
                        &ModuleUnload,
                        &ModuleGetFunction,
                        &MemGetInfo,
                        &MemAlloc,
                        &MemFree,
                        &MemHostAlloc,
                        &MemFreeHost,
                        &MemHostGetDevicePointer,
                        &MemcpyHtoD,
                        &StreamCreate,
                        &StreamDestroy,
                        &StreamSynchronize,
                        &StreamBeginCapture,
                        &StreamEndCapture,
                        &EventCreate,
                        &EventDestroy,
                        &EventRecord,
                        &EventSynchronize,
                        &GraphInstantiate,
                        &GraphDestroy,
                        &GraphExecDestroy,
                        &GraphLaunch,
                        &LaunchKernel};

struct AtExit {
  ~AtExit() {
    const char* const path = std::getenv("CUDASIM_REPORT");
    if (path == nullptr) return;
    if (FILE* const file = std::fopen(path, "w")) {
      std::fprintf(file, "%d %d\n", S().Live(), S().misuse);
      std::fclose(file);
    }
  }
} at_exit;

}  // namespace

#define EXPORT __attribute__((visibility("default")))

extern "C" {

EXPORT int cuGetProcAddress(const char* symbol, void** function, int, uint64_t) {
#define SIM_FIND(name, text, parameters)            \
  if (std::string_view(symbol) == text) {           \
    *function = reinterpret_cast<void*>(kApi.name); \
    return 0;                                       \
  }
  GYR_CUDA_FUNCTIONS(SIM_FIND)
#undef SIM_FIND
  return 500;
}

EXPORT void cudasim_fail(const char* function, int nth, int error) {
  const std::lock_guard lock(S().mutex);
  Plan(function, nth, error);
}
EXPORT int cudasim_calls(const char* function) {
  const std::lock_guard lock(S().mutex);
  return S().calls[function];
}
EXPORT int cudasim_live() {
  const std::lock_guard lock(S().mutex);
  return S().Live();
}
EXPORT int cudasim_misuse() {
  const std::lock_guard lock(S().mutex);
  return S().misuse;
}
EXPORT void cudasim_prompt(int prompt) {
  const std::lock_guard lock(S().mutex);
  S().prompt = prompt != 0;
}
EXPORT void cudasim_limit(unsigned long long bytes) {
  const std::lock_guard lock(S().mutex);
  S().memory.set_limit(bytes);
}

}  // extern "C"
