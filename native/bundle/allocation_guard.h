// Where exhausted memory becomes a Status: at the entrances of this room.
#ifndef GYRFALCON_BUNDLE_ALLOCATION_GUARD_H_
#define GYRFALCON_BUNDLE_ALLOCATION_GUARD_H_

#include <new>
#include <string>

#include "core/status.h"

namespace gyrfalcon {

// Runs `body`, which returns a Result; kOutOfMemory when an allocation in it fails. The message is
// short enough for std::string to hold it without allocating.
template <typename Body>
auto GuardAllocation(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, "out of memory");
  }
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_ALLOCATION_GUARD_H_
