// Where a thread runs at the moment.
#ifndef GYRFALCON_CORE_CURRENT_CPU_H_
#define GYRFALCON_CORE_CURRENT_CPU_H_

#include <optional>

#if defined(__linux__)
#include <sched.h>
#endif

namespace gyrfalcon {

// Number of the core; nothing where the system does not say. Some nanoseconds.
inline std::optional<int> CurrentCpu() {
#if defined(__linux__)
  const int cpu = sched_getcpu();
  if (cpu >= 0) return cpu;
#endif
  return std::nullopt;
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_CURRENT_CPU_H_
