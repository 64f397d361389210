// Counts what the calling thread allocates with operator new, from when the counter was made, and
// lets its allocations fail.
#ifndef GYRFALCON_TEST_NATIVE_ALLOCATION_COUNTER_H_
#define GYRFALCON_TEST_NATIVE_ALLOCATION_COUNTER_H_

#include <cstddef>

namespace gyrfalcon::testing {

class AllocationCounter {
 public:
  AllocationCounter();
  size_t count() const;

  // False under a sanitizer, which needs operator new for itself.
  static bool Works();

 private:
  size_t start_;
};

// While one exists, the calling thread's `nth` (from 1) allocation fails, and with `forever` all
// after it: operator new, aligned_alloc, mmap.
class AllocationFailure {
 public:
  AllocationFailure(size_t nth, bool forever);
  ~AllocationFailure();
  AllocationFailure(const AllocationFailure&) = delete;
  AllocationFailure& operator=(const AllocationFailure&) = delete;

  bool happened() const;
};

// What the calling thread has from operator new, in blocks, and from mmap, in bytes.
struct LiveMemory {
  long long blocks = 0;
  long long mapped = 0;
  bool operator==(const LiveMemory&) const = default;
};
LiveMemory Live();

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_ALLOCATION_COUNTER_H_
