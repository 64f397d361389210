// Memory, and copies.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cusim/driver/driver.h"

using namespace cusim;  // NOLINT: every function here is the driver's

namespace {

constexpr unsigned kHostFlags = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP |
                                CU_MEMHOSTALLOC_WRITECOMBINED;

CUresult Free(Driver& driver, uint64_t address, bool host) {
  const char* const what = host ? "pinned memory" : "device memory";
  if (driver.sticky == CUDA_SUCCESS) {
    const auto* const allocated = driver.Find<Allocated>(reinterpret_cast<void*>(address), what);
    if (allocated == nullptr || allocated->host != host) return CUDA_ERROR_INVALID_VALUE;
    if (driver.InUse(address, allocated->bytes)) {
      driver.Misuse(std::string(what) + " that is freed under work which names it");
    }
  }
  // Work that reaches it by other ways finds it freed: stricter than CUDA, which waits.
  driver.memory.Free(address, host);
  return driver.Forget(address, what);
}

// Of memory that is pinned, or of the device. 0: an ordinary address.
bool IsKnown(Driver& driver, uint64_t address) {
  return driver.memory.IsDevice(address) || driver.memory.Find(address) != nullptr;
}

CUresult Enqueue(Driver& driver, CUstream handle, Work work) {
  const std::shared_ptr<Stream> stream = driver.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return driver.Enqueue(stream.get(), std::move(work));
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

CUresult CUDAAPI cuMemGetInfo(size_t* free, size_t* total) {
  CUSIM_CALL(cuMemGetInfo, Call::kContext);
  *total = driver.memory.limit();
  *free = *total - std::min(*total, driver.memory.used());
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  CUSIM_CALL(cuMemAlloc, Call::kContext | Call::kNotCapturing);
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t made = driver.memory.used() > driver.memory.limit()
                            ? 0
                            : driver.memory.AllocateDevice(bytes);
  if (made == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  driver.AddAt(made, Allocated{bytes, false});
  *address = made;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
  CUSIM_CALL(cuMemFree, Call::kContext | Call::kGivesBack | Call::kNotCapturing);
  return Free(driver, address, false);
}

CUresult CUDAAPI cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  CUSIM_CALL(cuMemHostAlloc, Call::kContext | Call::kNotCapturing);
  if (bytes == 0 || (flags & ~kHostFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  void* const made = driver.memory.AllocateHost(bytes);
  if (made == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(made, 0xcd, bytes);
  driver.AddAt(reinterpret_cast<uint64_t>(made), Allocated{bytes, true});
  *memory = made;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFreeHost(void* memory) {
  CUSIM_CALL(cuMemFreeHost, Call::kContext | Call::kGivesBack | Call::kNotCapturing);
  return Free(driver, reinterpret_cast<uint64_t>(memory), true);
}

CUresult CUDAAPI cuMemHostGetDevicePointer(CUdeviceptr* address, void* memory, unsigned flags) {
  CUSIM_CALL(cuMemHostGetDevicePointer, Call::kContext);
  const Allocation* const found = driver.memory.Find(reinterpret_cast<uint64_t>(memory));
  if (flags != 0 || found == nullptr || !found->host) return CUDA_ERROR_INVALID_VALUE;
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes,
                                   CUstream stream) {
  CUSIM_CALL(cuMemcpyHtoDAsync, Call::kContext);
  if (from == nullptr || to == 0) return CUDA_ERROR_INVALID_VALUE;
  const auto source = reinterpret_cast<uint64_t>(from);
  // Of memory that is not pinned the driver takes a copy at once.
  if (IsKnown(driver, source)) return Enqueue(driver, stream, CopyWork(to, source, bytes));
  const auto* const first = static_cast<const std::byte*>(from);
  return Enqueue(driver, stream, StagedCopyWork(to, {first, first + bytes}));
}

CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  CUSIM_CALL(cuMemcpyDtoHAsync, Call::kContext);
  const auto target = reinterpret_cast<uint64_t>(to);
  if (!IsKnown(driver, target)) {
    driver.Misuse("a copy to memory that is not pinned");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  return Enqueue(driver, stream, CopyWork(target, from, bytes));
}

CUresult CUDAAPI cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                                   CUstream stream) {
  CUSIM_CALL(cuMemcpyDtoDAsync, Call::kContext);
  return Enqueue(driver, stream, CopyWork(to, from, bytes));
}

CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count,
                                 CUstream stream) {
  CUSIM_CALL(cuMemsetD8Async, Call::kContext);
  return Enqueue(driver, stream, FillWork(to, std::byte{value}, count));
}

}  // extern "C"
#pragma GCC visibility pop
