#include "allocation_counter.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>

namespace {

thread_local size_t allocations = 0;
thread_local gyrfalcon::testing::LiveMemory live;
thread_local size_t until_failure = 0;  // 0: none is to fail
thread_local bool fails_forever = false;
thread_local bool has_failed = false;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Whether this allocation is to fail.
bool Fails() {
  if (until_failure == 0) return false;
  if (until_failure > 1) {
    --until_failure;
    return false;
  }
  if (!fails_forever) until_failure = 0;
  has_failed = true;
  return true;
}
#endif

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// The array and nothrow forms call these.
void* operator new(size_t size) {
  ++allocations;
  void* memory = Fails() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  ++live.blocks;
  return memory;
}

void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  void* memory = nullptr;
  if (Fails() || posix_memalign(&memory, static_cast<size_t>(alignment), size == 0 ? 1 : size)) {
    throw std::bad_alloc();
  }
  ++live.blocks;
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) --live.blocks;
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { ::operator delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { ::operator delete(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { ::operator delete(memory); }

// The program's definitions go before the C library's.
extern "C" {

void* aligned_alloc(size_t alignment, size_t size) noexcept {
  void* memory = nullptr;
  return Fails() || posix_memalign(&memory, alignment, size) != 0 ? nullptr : memory;
}

void* mmap(void* address, size_t bytes, int protection, int flags, int file,
           off_t offset) noexcept {
  if (Fails()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  const long made = syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
  if (made == -1) return MAP_FAILED;
  live.mapped += static_cast<long long>(bytes);
  return reinterpret_cast<void*>(made);
}

int munmap(void* address, size_t bytes) noexcept {
  live.mapped -= static_cast<long long>(bytes);
  return static_cast<int>(syscall(SYS_munmap, address, bytes));
}

}  // extern "C"

#endif

namespace gyrfalcon::testing {

AllocationCounter::AllocationCounter() : start_(allocations) {}

size_t AllocationCounter::count() const { return allocations - start_; }

AllocationFailure::AllocationFailure(size_t nth, bool forever) {
  until_failure = nth;
  fails_forever = forever;
  has_failed = false;
}

AllocationFailure::~AllocationFailure() { until_failure = 0; }

bool AllocationFailure::happened() const { return has_failed; }

LiveMemory Live() { return live; }

bool AllocationCounter::Works() {
  const AllocationCounter counter;
  // Through pointers, or the compiler sees free() for what operator new returned, and warns.
  void* (*const volatile allocate)(size_t) = &::operator new;
  void (*const volatile release)(void*) = &::operator delete;
  release(allocate(3));
  return counter.count() == 1;
}

}  // namespace gyrfalcon::testing
