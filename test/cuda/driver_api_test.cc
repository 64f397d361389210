// What driver_api.h declares, against NVIDIA's header.
#include <cuda.h>
#include <gtest/gtest.h>

#include <type_traits>
#include <utility>

#include "backends/cuda/driver_api.h"

namespace gyrfalcon::testing {
namespace {

// Types that are passed alike: pointers, or numbers and enumerations of one size.
template <class Ours, class Theirs>
constexpr bool kAlike =
    std::is_pointer_v<Ours> ? std::is_pointer_v<Theirs>
                            : !std::is_pointer_v<Theirs> && sizeof(Ours) == sizeof(Theirs);

template <class Ours, class Theirs>
struct Same : std::false_type {};

template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) struct Same<R (*)(A...), S (*)(B...)>
    : std::bool_constant<sizeof(R) == sizeof(S) && (kAlike<A, B> && ...)> {
};

#define API_CHECK(ours, theirs) \
  static_assert(Same<decltype(cuda::DriverApi::ours), decltype(&::theirs)>::value)

API_CHECK(init, cuInit);
API_CHECK(driver_get_version, cuDriverGetVersion);
API_CHECK(get_error_name, cuGetErrorName);
API_CHECK(get_error_string, cuGetErrorString);
API_CHECK(device_get_count, cuDeviceGetCount);
API_CHECK(device_get, cuDeviceGet);
API_CHECK(device_get_name, cuDeviceGetName);
API_CHECK(device_get_attribute, cuDeviceGetAttribute);
API_CHECK(device_total_mem, cuDeviceTotalMem);
API_CHECK(primary_ctx_retain, cuDevicePrimaryCtxRetain);
API_CHECK(primary_ctx_release, cuDevicePrimaryCtxRelease);
API_CHECK(ctx_push_current, cuCtxPushCurrent);
API_CHECK(ctx_pop_current, cuCtxPopCurrent);
API_CHECK(module_load_data, cuModuleLoadData);
API_CHECK(module_unload, cuModuleUnload);
API_CHECK(module_get_function, cuModuleGetFunction);
API_CHECK(mem_get_info, cuMemGetInfo);
API_CHECK(mem_alloc, cuMemAlloc);
API_CHECK(mem_free, cuMemFree);
API_CHECK(mem_host_alloc, cuMemHostAlloc);
API_CHECK(mem_free_host, cuMemFreeHost);
API_CHECK(mem_host_get_device_pointer, cuMemHostGetDevicePointer);
API_CHECK(memcpy_htod_async, cuMemcpyHtoDAsync);
API_CHECK(stream_create, cuStreamCreate);
API_CHECK(stream_destroy, cuStreamDestroy);
API_CHECK(stream_synchronize, cuStreamSynchronize);
API_CHECK(stream_begin_capture, cuStreamBeginCapture);
API_CHECK(stream_end_capture, cuStreamEndCapture);
API_CHECK(event_create, cuEventCreate);
API_CHECK(event_destroy, cuEventDestroy);
API_CHECK(event_record, cuEventRecord);
API_CHECK(event_synchronize, cuEventSynchronize);
API_CHECK(graph_instantiate, cuGraphInstantiateWithFlags);
API_CHECK(graph_destroy, cuGraphDestroy);
API_CHECK(graph_exec_destroy, cuGraphExecDestroy);
API_CHECK(graph_launch, cuGraphLaunch);
API_CHECK(launch_kernel, cuLaunchKernel);

static_assert(sizeof(cuda::DriverApi) == 37 * sizeof(void*),
              "a function that is not checked above");
static_assert(!Same<decltype(cuda::DriverApi::mem_alloc), decltype(&::cuMemFree)>::value);

TEST(DriverApiTest, ConstantsAreThoseOfTheHeader) {
  const std::pair<int, int> constants[] = {
      {cuda::kCuSuccess, CUDA_SUCCESS},
      {cuda::kCuOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY},
      {cuda::kCuNoDevice, CUDA_ERROR_NO_DEVICE},
      {cuda::kCuNoBinaryForGpu, CUDA_ERROR_NO_BINARY_FOR_GPU},
      {cuda::kCuAttributeMultiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
      {cuda::kCuAttributeCanMapHostMemory, CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY},
      {cuda::kCuAttributeMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
      {cuda::kCuAttributeMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
      {cuda::kCuStreamNonBlocking, CU_STREAM_NON_BLOCKING},
      {cuda::kCuEventBlockingSync, CU_EVENT_BLOCKING_SYNC},
      {cuda::kCuEventDisableTiming, CU_EVENT_DISABLE_TIMING},
      {cuda::kCuHostPortable, CU_MEMHOSTALLOC_PORTABLE},
      {cuda::kCuHostDeviceMap, CU_MEMHOSTALLOC_DEVICEMAP},
      {cuda::kCuCaptureThreadLocal, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL}};
  for (const auto& [ours, theirs] : constants) EXPECT_EQ(ours, theirs);
}

}  // namespace
}  // namespace gyrfalcon::testing
