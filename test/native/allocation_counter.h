// Counts what the calling thread allocates with operator new, from when the counter was made.
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

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_ALLOCATION_COUNTER_H_
