#include "allocation_counter.h"

#include <cstdlib>
#include <new>

namespace {

thread_local size_t allocations = 0;

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

// The array and nothrow forms call these.
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

#endif

namespace gyrfalcon::testing {

AllocationCounter::AllocationCounter() : start_(allocations) {}

size_t AllocationCounter::count() const { return allocations - start_; }

bool AllocationCounter::Works() {
  const AllocationCounter counter;
  // Through pointers, or the compiler sees free() for what operator new returned, and warns.
  void* (*const volatile allocate)(size_t) = &::operator new;
  void (*const volatile release)(void*) = &::operator delete;
  release(allocate(3));
  return counter.count() == 1;
}

}  // namespace gyrfalcon::testing
