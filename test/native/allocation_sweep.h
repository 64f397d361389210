// Lets every allocation of an operation fail, once in turn and then for good.
#ifndef GYRFALCON_TEST_NATIVE_ALLOCATION_SWEEP_H_
#define GYRFALCON_TEST_NATIVE_ALLOCATION_SWEEP_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <new>
#include <optional>

#include "allocation_counter.h"
#include "core/status.h"

namespace gyrfalcon::testing {

using Operation = std::function<Status()>;

// As native/napi/guard.h does.
inline Status AtTheBoundary(const Operation& operation) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfMemory, "out of memory"};
  }
}

// Where the memory is the sanitizer's, nothing fails and the operation only runs.
inline void Sweep(const Operation& operation) {
  ASSERT_TRUE(AtTheBoundary(operation).ok());  // also what is allocated once and kept
  size_t failures = 0;
  for (const bool forever : {false, true}) {
    for (size_t nth = 1;; ++nth) {
      const LiveMemory before = Live();
      std::optional<Status> status;
      bool happened = false;
      {
        const AllocationFailure failure(nth, forever);
        status.emplace(AtTheBoundary(operation));
        happened = failure.happened();
      }
      const bool ok = status->ok();
      const ErrorCode code = status->code();
      status.reset();
      ASSERT_EQ(Live().blocks, before.blocks) << nth << (forever ? " and all after" : "");
      ASSERT_EQ(Live().mapped, before.mapped) << nth << (forever ? " and all after" : "");
      ASSERT_TRUE(ok || code == ErrorCode::kOutOfMemory) << nth << ": " << ErrorCodeName(code);
      ASSERT_TRUE(ok || happened);
      if (!happened) break;
      ++failures;
      ASSERT_LT(nth, 100000U);
    }
  }
  ASSERT_TRUE(AtTheBoundary(operation).ok());
  if (AllocationCounter::Works()) {
    EXPECT_GT(failures, 0U);
  }
}

template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.status();
}

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_NATIVE_ALLOCATION_SWEEP_H_
