// Threads that help one score: with lookups, and with an engine's blocks of rows. One set a
// process, started when a model first asks for them and leaked on purpose: at process exit they are
// parked in a wait, and the addon is never unloaded.
#ifndef GYRFALCON_CORE_ROW_HELPERS_H_
#define GYRFALCON_CORE_ROW_HELPERS_H_

#include <cstdint>

namespace gyrfalcon {

inline constexpr int kMaxHelpers = 63;

// Makes sure that `count` (at most kMaxHelpers) helpers exist, as far as the system has threads.
void StartHelpers(int count);

// Work that any number of threads may do at once; `thread` is 1 … helpers, 0 is the caller.
struct HelpedWork {
  void (*run)(void* context, int thread);
  void* context;
};

// Runs work on this thread and on up to `helpers` idle ones, and returns when all of them are done.
// Helpers that do not start before this thread is done are not waited for. `nanoseconds` is about
// how long this thread would need alone: for little work, helpers that sleep are left asleep unless
// more such work is to be expected. Allocates nothing.
void RunWithHelpers(const HelpedWork& work, int helpers, int64_t nanoseconds);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_ROW_HELPERS_H_
