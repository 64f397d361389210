// One lookup on several threads.
#ifndef GYRFALCON_CORE_LOOKUP_THREADS_H_
#define GYRFALCON_CORE_LOOKUP_THREADS_H_

#include "backends/lookup.h"

namespace gyrfalcon {

// Makes sure that RunLookup finds `threads` threads, the caller's included. Call while loading.
void PrepareLookupThreads(int threads);

// backend.run, on this thread and, where there is work enough for them, on up to threads - 1 idle
// helpers, those that engines use. Same results and report, bit for bit, as with one thread; under
// OutOfRange::kError a request that fails may have written any of its outputs. Allocates nothing.
void RunLookup(const LookupBackend& backend, const LookupRequest& request, int threads,
               LookupReport* report);

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_LOOKUP_THREADS_H_
