// The simulated driver with a context, two streams and a kernel, as the header of NVIDIA declares
// its functions.
#ifndef GYRFALCON_CUSIM_TESTS_DRIVER_SUPPORT_H_
#define GYRFALCON_CUSIM_TESTS_DRIVER_SUPPORT_H_

#include <cuda.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "host_support.h"

namespace gyrfalcon::testing {

#define DRIVER_FUNCTIONS(X)                                                                     \
  X(cuInit) X(cuDeviceGet) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease)             \
  X(cuCtxPushCurrent) X(cuCtxPopCurrent) X(cuCtxGetCurrent) X(cuCtxSynchronize)                 \
  X(cuModuleLoadData) X(cuModuleUnload) X(cuModuleGetFunction) X(cuMemAlloc) X(cuMemFree)       \
  X(cuMemHostAlloc) X(cuMemFreeHost) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync)                  \
  X(cuMemcpyDtoDAsync) X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy)                  \
  X(cuStreamSynchronize) X(cuStreamQuery) X(cuStreamWaitEvent) X(cuStreamBeginCapture)          \
  X(cuStreamEndCapture) X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord)                     \
  X(cuEventSynchronize) X(cuEventQuery) X(cuGraphInstantiateWithFlags) X(cuGraphDestroy)        \
  X(cuGraphExecDestroy) X(cuGraphLaunch) X(cuLaunchKernel)

#define DRIVER_TEXT_OF(text) #text
// Of what the header makes of a name: cuMemAlloc_v2.
#define DRIVER_TEXT(name) DRIVER_TEXT_OF(name)

struct DriverFunctions {
#define DRIVER_MEMBER(name) decltype(&::name) name = nullptr;
  DRIVER_FUNCTIONS(DRIVER_MEMBER)
#undef DRIVER_MEMBER

  explicit DriverFunctions(void* library) {
#define DRIVER_FIND(name)                                                               \
  name = reinterpret_cast<decltype(&::name)>(dlsym(library, DRIVER_TEXT(name))); \
  EXPECT_NE(name, nullptr) << DRIVER_TEXT(name);
    DRIVER_FUNCTIONS(DRIVER_FIND)
#undef DRIVER_FIND
  }
};

inline constexpr size_t kNumbers = 64;
inline constexpr size_t kBytes = kNumbers * sizeof(uint32_t);

inline constexpr const char* kOrders[] = {"late", "prompt", "1", "2", "3", "4", "5", "6"};

struct Numbers {
  uint32_t* host = nullptr;  // [kNumbers], pinned
};

// to[i] = from[i] + 1, for 64 threads.
inline constexpr const char* kAddOne = R"(
.version 7.4
.target sm_75
.address_size 64
.visible .entry add_one(.param .u64 from, .param .u64 to)
.maxntid 64, 1, 1
{
.reg .b32 %r<4>;
.reg .b64 %rd<8>;
ld.param.u64 %rd1, [from];
ld.param.u64 %rd2, [to];
mov.u32 %r1, %tid.x;
mul.wide.u32 %rd3, %r1, 4;
add.s64 %rd4, %rd1, %rd3;
add.s64 %rd5, %rd2, %rd3;
ld.global.u32 %r2, [%rd4];
add.s32 %r3, %r2, 1;
st.global.u32 [%rd5], %r3;
ret;
}
)";

class DriverTest : public ::testing::Test {
 public:
  void SetUp() override {
    sim.reset();
    sim.order("late");
    EXPECT_EQ(cu.cuInit(0), CUDA_SUCCESS);
    CUdevice device = 0;
    EXPECT_EQ(cu.cuDeviceGet(&device, 0), CUDA_SUCCESS);
    CUcontext context = nullptr;
    EXPECT_EQ(cu.cuDevicePrimaryCtxRetain(&context, device), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuCtxPushCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamCreate(&a, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamCreate(&b, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuModuleLoadData(&module, kAddOne), CUDA_SUCCESS) << sim.LastMisuse();
    EXPECT_EQ(cu.cuModuleGetFunction(&function, module, "add_one"), CUDA_SUCCESS);
  }

  // Nothing may be left, and nothing be wrong with giving it back.
  void TearDown() override {
    sim.reset();
    for (const CUevent event : events) EXPECT_EQ(cu.cuEventDestroy(event), CUDA_SUCCESS);
    for (const CUdeviceptr address : memory) EXPECT_EQ(cu.cuMemFree(address), CUDA_SUCCESS);
    for (const Numbers& numbers : pinned) EXPECT_EQ(cu.cuMemFreeHost(numbers.host), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamDestroy(a), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuStreamDestroy(b), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuModuleUnload(module), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuCtxPopCurrent(nullptr), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
    EXPECT_EQ(sim.live(), 0) << sim.Leaks();
    sim.reset();
  }

  Numbers Pinned(uint32_t value) {
    void* made = nullptr;
    EXPECT_EQ(cu.cuMemHostAlloc(&made, kBytes, CU_MEMHOSTALLOC_DEVICEMAP), CUDA_SUCCESS);
    pinned.push_back({static_cast<uint32_t*>(made)});
    for (size_t i = 0; i < kNumbers; ++i) pinned.back().host[i] = value;
    return pinned.back();
  }
  CUdeviceptr Device() {
    CUdeviceptr made = 0;
    EXPECT_EQ(cu.cuMemAlloc(&made, kBytes), CUDA_SUCCESS);
    memory.push_back(made);
    return made;
  }
  CUevent Event() {
    CUevent made = nullptr;
    EXPECT_EQ(cu.cuEventCreate(&made, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
    events.push_back(made);
    return made;
  }
  CUresult AddOne(CUdeviceptr from, CUdeviceptr to, CUstream stream) {
    void* arguments[] = {&from, &to};
    return cu.cuLaunchKernel(function, 1, 1, 1, kNumbers, 1, 1, 0, stream, arguments, nullptr);
  }
  CUgraphExec EndCapture(CUstream stream) {
    CUgraph graph = nullptr;
    EXPECT_EQ(cu.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS) << sim.LastMisuse();
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cu.cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    EXPECT_EQ(cu.cuGraphDestroy(graph), CUDA_SUCCESS);
    return exec;
  }

  const Sim& sim = TheSim();
  const DriverFunctions cu{sim.library};
  CUresult (*const get_proc_address)(const char*, void**, int, cuuint64_t) =
      reinterpret_cast<CUresult (*)(const char*, void**, int, cuuint64_t)>(
          dlsym(sim.library, "cuGetProcAddress"));
  CUstream a = nullptr;
  CUstream b = nullptr;
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  std::vector<CUdeviceptr> memory;
  std::vector<Numbers> pinned;
  std::vector<CUevent> events;
};

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_CUSIM_TESTS_DRIVER_SUPPORT_H_
