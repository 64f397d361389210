// The part of NVIDIA's driver API that is used, declared here so that a build needs no CUDA
// headers.
#ifndef GYRFALCON_BACKENDS_CUDA_DRIVER_API_H_
#define GYRFALCON_BACKENDS_CUDA_DRIVER_API_H_

#include <cstddef>
#include <cstdint>

namespace gyrfalcon::cuda {

using CuResult = int;
using CuDevice = int;
using CuDevicePtr = unsigned long long;
struct CuContextObject;
struct CuModuleObject;
struct CuFunctionObject;
struct CuStreamObject;
struct CuEventObject;
struct CuGraphObject;
struct CuGraphExecObject;
using CuContext = CuContextObject*;
using CuModule = CuModuleObject*;
using CuFunction = CuFunctionObject*;
using CuStream = CuStreamObject*;
using CuEvent = CuEventObject*;
using CuGraph = CuGraphObject*;
using CuGraphExec = CuGraphExecObject*;

inline constexpr CuResult kCuSuccess = 0;
inline constexpr CuResult kCuOutOfMemory = 2;
inline constexpr CuResult kCuNoDevice = 100;
inline constexpr CuResult kCuNoBinaryForGpu = 209;

inline constexpr int kCuAttributeMultiprocessors = 16;
inline constexpr int kCuAttributeCanMapHostMemory = 19;
inline constexpr int kCuAttributeMajor = 75;
inline constexpr int kCuAttributeMinor = 76;

inline constexpr unsigned kCuStreamNonBlocking = 1;
inline constexpr unsigned kCuEventBlockingSync = 1;
inline constexpr unsigned kCuEventDisableTiming = 2;
inline constexpr unsigned kCuHostPortable = 1;
inline constexpr unsigned kCuHostDeviceMap = 2;
// Calls of other threads do not break a capture.
inline constexpr int kCuCaptureThreadLocal = 1;

// The first driver whose cuGetProcAddress can be used, and the version of the functions asked for.
inline constexpr int kMinDriverVersion = 11040;

// X(name in this table, name in the library, parameters)
#define GYR_CUDA_FUNCTIONS(X)                                                                      \
  X(init, "cuInit", (unsigned flags))                                                              \
  X(driver_get_version, "cuDriverGetVersion", (int* version))                                      \
  X(get_error_name, "cuGetErrorName", (CuResult error, const char** name))                         \
  X(get_error_string, "cuGetErrorString", (CuResult error, const char** text))                     \
  X(device_get_count, "cuDeviceGetCount", (int* count))                                            \
  X(device_get, "cuDeviceGet", (CuDevice * device, int ordinal))                                   \
  X(device_get_name, "cuDeviceGetName", (char* name, int length, CuDevice device))                 \
  X(device_get_attribute, "cuDeviceGetAttribute", (int* value, int attribute, CuDevice device))    \
  X(device_total_mem, "cuDeviceTotalMem", (size_t * bytes, CuDevice device))                       \
  X(primary_ctx_retain, "cuDevicePrimaryCtxRetain", (CuContext * context, CuDevice device))        \
  X(primary_ctx_release, "cuDevicePrimaryCtxRelease", (CuDevice device))                           \
  X(ctx_push_current, "cuCtxPushCurrent", (CuContext context))                                     \
  X(ctx_pop_current, "cuCtxPopCurrent", (CuContext * context))                                     \
  X(module_load_data, "cuModuleLoadData", (CuModule * module, const void* image))                  \
  X(module_unload, "cuModuleUnload", (CuModule module))                                            \
  X(module_get_function, "cuModuleGetFunction",                                                    \
    (CuFunction * function, CuModule module, const char* name))                                    \
  X(mem_get_info, "cuMemGetInfo", (size_t * free, size_t * total))                                 \
  X(mem_alloc, "cuMemAlloc", (CuDevicePtr * address, size_t bytes))                                \
  X(mem_free, "cuMemFree", (CuDevicePtr address))                                                  \
  X(mem_host_alloc, "cuMemHostAlloc", (void** memory, size_t bytes, unsigned flags))               \
  X(mem_free_host, "cuMemFreeHost", (void* memory))                                                \
  X(mem_host_get_device_pointer, "cuMemHostGetDevicePointer",                                      \
    (CuDevicePtr * address, void* memory, unsigned flags))                                         \
  X(memcpy_htod_async, "cuMemcpyHtoDAsync",                                                        \
    (CuDevicePtr to, const void* from, size_t bytes, CuStream stream))                             \
  X(stream_create, "cuStreamCreate", (CuStream * stream, unsigned flags))                          \
  X(stream_destroy, "cuStreamDestroy", (CuStream stream))                                          \
  X(stream_synchronize, "cuStreamSynchronize", (CuStream stream))                                  \
  X(stream_begin_capture, "cuStreamBeginCapture", (CuStream stream, int mode))                     \
  X(stream_end_capture, "cuStreamEndCapture", (CuStream stream, CuGraph * graph))                  \
  X(event_create, "cuEventCreate", (CuEvent * event, unsigned flags))                              \
  X(event_destroy, "cuEventDestroy", (CuEvent event))                                              \
  X(event_record, "cuEventRecord", (CuEvent event, CuStream stream))                               \
  X(event_synchronize, "cuEventSynchronize", (CuEvent event))                                      \
  X(graph_instantiate, "cuGraphInstantiateWithFlags",                                              \
    (CuGraphExec * exec, CuGraph graph, unsigned long long flags))                                 \
  X(graph_destroy, "cuGraphDestroy", (CuGraph graph))                                              \
  X(graph_exec_destroy, "cuGraphExecDestroy", (CuGraphExec exec))                                  \
  X(graph_launch, "cuGraphLaunch", (CuGraphExec exec, CuStream stream))                            \
  X(launch_kernel, "cuLaunchKernel",                                                               \
    (CuFunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,     \
     unsigned block_y, unsigned block_z, unsigned shared_bytes, CuStream stream, void** arguments, \
     void** extra))

// The driver's functions, found by cuGetProcAddress.
struct DriverApi {
#define GYR_CUDA_DECLARE(name, symbol, parameters) CuResult(*name) parameters = nullptr;
  GYR_CUDA_FUNCTIONS(GYR_CUDA_DECLARE)
#undef GYR_CUDA_DECLARE
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_DRIVER_API_H_
