// Where a program finds the functions: by name and by the version that it was written for.
#include <string_view>

#include "cusim/driver/driver.h"

using namespace cusim;  // NOLINT: every function here is the driver's

namespace {

struct Symbol {
  std::string_view name;
  int since;
  void* function;
};

// Names are stringised before cuda.h makes them those of the newest version.
#define CUSIM_SYMBOL(name, since) \
  { #name, since, reinterpret_cast<void*>(&name) }

const Symbol kSymbols[] = {
    CUSIM_SYMBOL(cuInit, 2000),
    CUSIM_SYMBOL(cuDriverGetVersion, 2020),
    CUSIM_SYMBOL(cuGetErrorName, 6000),
    CUSIM_SYMBOL(cuGetErrorString, 6000),
    CUSIM_SYMBOL(cuDeviceGetCount, 2000),
    CUSIM_SYMBOL(cuDeviceGet, 2000),
    CUSIM_SYMBOL(cuDeviceGetName, 2000),
    CUSIM_SYMBOL(cuDeviceGetAttribute, 2000),
    CUSIM_SYMBOL(cuDeviceTotalMem, 3020),
    CUSIM_SYMBOL(cuDevicePrimaryCtxRetain, 7000),
    CUSIM_SYMBOL(cuDevicePrimaryCtxRelease, 11000),
    CUSIM_SYMBOL(cuCtxPushCurrent, 4000),
    CUSIM_SYMBOL(cuCtxPopCurrent, 4000),
    CUSIM_SYMBOL(cuCtxGetCurrent, 4000),
    CUSIM_SYMBOL(cuCtxSynchronize, 2000),
    CUSIM_SYMBOL(cuModuleLoadData, 2000),
    CUSIM_SYMBOL(cuModuleUnload, 2000),
    CUSIM_SYMBOL(cuModuleGetFunction, 2000),
    CUSIM_SYMBOL(cuMemGetInfo, 3020),
    CUSIM_SYMBOL(cuMemAlloc, 3020),
    CUSIM_SYMBOL(cuMemFree, 3020),
    CUSIM_SYMBOL(cuMemHostAlloc, 2020),
    CUSIM_SYMBOL(cuMemFreeHost, 2000),
    CUSIM_SYMBOL(cuMemHostGetDevicePointer, 3020),
    CUSIM_SYMBOL(cuMemcpyHtoDAsync, 3020),
    CUSIM_SYMBOL(cuMemcpyDtoHAsync, 3020),
    CUSIM_SYMBOL(cuMemcpyDtoDAsync, 3020),
    CUSIM_SYMBOL(cuMemsetD8Async, 3020),
    CUSIM_SYMBOL(cuStreamCreate, 2000),
    CUSIM_SYMBOL(cuStreamDestroy, 4000),
    CUSIM_SYMBOL(cuStreamSynchronize, 2000),
    CUSIM_SYMBOL(cuStreamQuery, 2000),
    CUSIM_SYMBOL(cuStreamWaitEvent, 3020),
    CUSIM_SYMBOL(cuStreamBeginCapture, 10010),
    CUSIM_SYMBOL(cuStreamEndCapture, 10000),
    CUSIM_SYMBOL(cuEventCreate, 2000),
    CUSIM_SYMBOL(cuEventDestroy, 4000),
    CUSIM_SYMBOL(cuEventRecord, 2000),
    CUSIM_SYMBOL(cuEventSynchronize, 2000),
    CUSIM_SYMBOL(cuEventQuery, 2000),
    CUSIM_SYMBOL(cuGraphInstantiateWithFlags, 11040),
    CUSIM_SYMBOL(cuGraphDestroy, 10000),
    CUSIM_SYMBOL(cuGraphExecDestroy, 10000),
    CUSIM_SYMBOL(cuGraphLaunch, 10000),
    CUSIM_SYMBOL(cuLaunchKernel, 4000),
};

}  // namespace

// The first of its versions, which has no word for why a function was not found.
#undef cuGetProcAddress

#pragma GCC visibility push(default)
extern "C" {

CUresult CUDAAPI cuGetProcAddress(const char* name, void** function, int version,
                                  cuuint64_t flags) {
  CUSIM_CALL(cuGetProcAddress, Call::kNothing);
  if (name == nullptr || function == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  *function = nullptr;
  for (const Symbol& symbol : kSymbols) {
    if (symbol.name == name && symbol.since <= version) *function = symbol.function;
  }
  return *function == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}

}  // extern "C"
#pragma GCC visibility pop
